//! A disk in memory whose image can be taken at any write, as a crash would leave it.

use std::io;
use std::sync::{Arc, Mutex};

use redb::{Database, StorageBackend};

/// What a crash leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crash {
    /// The process is gone, the machine is not: everything that was written is there.
    Killed,
    /// The power went: only what was synced is there.
    PowerCut,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    written: Vec<u8>,
    synced: Vec<u8>,
    /// Writes, changes of length and syncs so far.
    calls: usize,
    fuse: Option<(usize, Crash)>,
    image: Option<Vec<u8>>,
}

impl Disk {
    pub(super) fn with_image(image: Vec<u8>) -> Self {
        let state = State { written: image.clone(), synced: image, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(super) fn open(&self) -> Database {
        Database::builder().create_with_backend(self.clone()).expect("the image is a database")
    }

    pub(super) fn calls(&self) -> usize {
        self.state().calls
    }

    /// Takes an image right before the call with this number.
    pub(super) fn take_image_at(&self, call: usize, crash: Crash) {
        self.state().fuse = Some((call, crash));
    }

    /// The image, if the fuse has burnt down.
    pub(super) fn image(&self) -> Option<Vec<u8>> {
        self.state().image.take()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no test panics under this lock")
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        if let Some((call, crash)) = state.fuse
            && call == state.calls
        {
            let image = if crash == Crash::Killed { &state.written } else { &state.synced };
            state.image = Some(image.clone());
        }
        state.calls += 1;
        change(&mut state)
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = offset as usize;
        out.copy_from_slice(&self.state().written[start..start + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(|state| state.written.resize(len as usize, 0));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(|state| state.synced.clone_from(&state.written));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = offset as usize;
        self.change(|state| state.written[start..start + data.len()].copy_from_slice(data));
        Ok(())
    }
}

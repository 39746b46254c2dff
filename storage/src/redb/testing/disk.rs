//! A disk in memory whose image can be taken at any write, as a crash would leave it.

use std::io;
use std::sync::{Arc, Mutex};

use redb::{Database, StorageBackend};

/// What a crash leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The process is gone, the machine is not: everything that was written is there.
    Killed,
    /// The power went: what was synced is there, and of every other write since, in no order, it is
    /// chance; the number chooses.
    PowerCut(u64),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
enum Write {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

#[derive(Debug, Default)]
struct State {
    written: Vec<u8>,
    synced: Vec<u8>,
    since: Vec<Write>,
    /// The most bytes that were written between two syncs.
    written_at_once: usize,
    /// Writes, changes of length and syncs so far.
    calls: usize,
    fuse: Option<(usize, Crash)>,
    image: Option<Vec<u8>>,
}

impl Disk {
    pub(crate) fn with_image(image: Vec<u8>) -> Self {
        let state = State { written: image.clone(), synced: image, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn open(&self) -> Database {
        let mut builder = Database::builder();
        builder.set_repair_callback(|_| panic!("an archive never needs a full repair, however it was left"));
        builder.create_with_backend(self.clone()).expect("the image is a database")
    }

    /// Opens a database that may need a full repair, as a journal does.
    pub(crate) fn open_repairing(&self) -> Database {
        Database::builder().create_with_backend(self.clone()).expect("the image is a database")
    }

    /// What a killed process would leave now.
    pub(crate) fn image_now(&self) -> Vec<u8> {
        self.left_by(Crash::Killed)
    }

    /// What a crash would leave now.
    pub(crate) fn left_by(&self, crash: Crash) -> Vec<u8> {
        self.state().left_by(crash)
    }

    /// The most bytes that were written between two syncs, since this was last asked.
    pub(crate) fn written_at_once(&self) -> usize {
        std::mem::take(&mut self.state().written_at_once)
    }

    pub(crate) fn calls(&self) -> usize {
        self.state().calls
    }

    /// Takes an image right before the call with this number.
    pub(crate) fn take_image_at(&self, call: usize, crash: Crash) {
        self.state().fuse = Some((call, crash));
    }

    /// The image, if the fuse has burnt down.
    pub(crate) fn image(&self) -> Option<Vec<u8>> {
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
            state.image = Some(state.left_by(crash));
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
        self.change(|state| state.write(Write::Length(len as usize)));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(|state| {
            let written: usize = state.since.iter().map(Write::bytes).sum();
            state.written_at_once = state.written_at_once.max(written);
            for write in std::mem::take(&mut state.since) {
                write.to(&mut state.synced);
            }
        });
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = offset as usize;
        self.change(|state| state.write(Write::Bytes(start, data.to_vec())));
        Ok(())
    }
}

impl State {
    fn write(&mut self, write: Write) {
        write.to(&mut self.written);
        self.since.push(write);
    }

    fn left_by(&self, crash: Crash) -> Vec<u8> {
        let Crash::PowerCut(mut chance) = crash else { return self.written.clone() };
        let mut image = self.synced.clone();
        for write in &self.since {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if chance >> 63 == 0 {
                write.to(&mut image);
            }
        }
        image
    }
}

impl Write {
    fn bytes(&self) -> usize {
        match self {
            Self::Length(_) => 0,
            Self::Bytes(_, bytes) => bytes.len(),
        }
    }

    fn to(&self, image: &mut Vec<u8>) {
        match self {
            Self::Length(length) => image.resize(*length, 0),
            Self::Bytes(start, bytes) => {
                // A write behind the end of what is left made the file longer all the same.
                image.resize(image.len().max(start + bytes.len()), 0);
                image[*start..start + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}

//! A thread that looks after the files of an open store when nobody writes: it leaves a full disk when
//! there is room again, and writes the sidecar when it is due. It never touches a database.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use super::sidecar::Sidecar;
use super::space::Space;
use crate::limits::KEEPER_TICK_MS;

/// The thread, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Keeper {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(super) fn start(spaces: [Arc<Space>; 2], sidecar: Arc<Sidecar>) -> io::Result<Self> {
        let (stop, stopped) = bounded(0);
        let run = move || {
            let mut fails = false;
            while stopped.recv_timeout(Duration::from_millis(KEEPER_TICK_MS))
                == Err(RecvTimeoutError::Timeout)
            {
                spaces.iter().for_each(|space| space.recover());
                fails = write(&sidecar, fails);
            }
        };
        let thread = std::thread::Builder::new().name("tapeline-keeper".to_owned()).spawn(run)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

/// Writes the sidecar if it is due. Says so once if that begins to fail: the store is as safe as
/// before, only the check at the next start is weaker.
fn write(sidecar: &Sidecar, failed: bool) -> bool {
    match sidecar.write_if_due() {
        Ok(()) => false,
        Err(error) => {
            if !failed {
                tracing::warn!(%error, "cannot write the sidecar; trying again later");
            }
            true
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked in a way that matters to who closes the store.
            let _ = thread.join();
        }
    }
}

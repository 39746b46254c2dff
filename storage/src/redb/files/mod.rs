//! The files of a data directory: made, opened, locked, and kept away from a full disk. What is in the
//! two databases is not known here; nothing here is on the path of an append but the backend.

mod disk;
mod dir;
mod create;
mod database;
mod backend;
mod ballast;
mod space;
mod sidecar;
mod keeper;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use redb::Database;

#[cfg(any(test, feature = "test-util"))]
pub(crate) use disk::{Disk, Op, Place};
pub(crate) use sidecar::Sidecar;
pub(crate) use space::Space;

use super::error::EngineError;
use crate::limits::IO_FAILED_MARK_MAX_MS;
use crate::{OpenError, StoreId};
use dir::{ARCHIVE, Dir, IO_FAILED, JOURNAL};
#[cfg(not(any(test, feature = "test-util")))]
use disk::{Disk, Place};
use keeper::Keeper;

/// Makes an empty database what it shall be, in durable commits.
pub(crate) type Init = fn(&Database, StoreId) -> Result<(), EngineError>;

/// How the two databases of a new store begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inits {
    pub(crate) journal: Init,
    pub(crate) archive: Init,
}

/// The files of an open store. `dir` must be dropped last: with it goes the lock.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) store_id: StoreId,
    pub(crate) journal: Database,
    pub(crate) archive: Database,
    pub(crate) journal_space: Arc<Space>,
    pub(crate) archive_space: Arc<Space>,
    pub(crate) sidecar: Arc<Sidecar>,
    pub(crate) dir: DirGuard,
}

/// Keeps the data directory to this process, and its files looked after, until it is dropped.
#[derive(Debug)]
pub(crate) struct DirGuard {
    /// Before the lock, so that the thread has ended when another process may come.
    _keeper: Keeper,
    _lock: File,
    dir: Dir,
}

/// Opens the store in a directory, or makes one if there is nothing of a store in it.
pub(crate) fn open(path: &Path, inits: Inits) -> Result<Files, OpenError> {
    open_on(disk::standard(), path, inits)
}

/// The same on a disk that a test may have scripted.
pub(crate) fn open_on(disk: Arc<dyn Disk>, path: &Path, inits: Inits) -> Result<Files, OpenError> {
    let dir = Dir::make(path, disk)?;
    let lock = dir.lock()?;
    dir.remove_leftovers()?;
    create::create_if_new(&dir, &inits)?;
    let contents = sidecar::read(&dir)?;
    let journal_space = Arc::new(Space::open(&dir, Place::Journal)?);
    let archive_space = Arc::new(Space::open(&dir, Place::Archive)?);
    let doubt = dir.has(IO_FAILED)?;
    let journal = database::open(&dir, Place::Journal, JOURNAL, &journal_space, doubt)?;
    let archive = database::open(&dir, Place::Archive, ARCHIVE, &archive_space, doubt)?;
    if doubt {
        dir.remove(IO_FAILED).and_then(|()| dir.sync()).map_err(dir.error("remove", IO_FAILED))?;
    }
    let spaces = [journal_space.clone(), archive_space.clone()];
    spaces.iter().for_each(|space| space.recover());
    dir.sync().map_err(dir.error("sync", ""))?;
    let sidecar = Arc::new(Sidecar::new(dir.clone(), contents));
    let keeper = Keeper::start(spaces, sidecar.clone()).map_err(dir.error("start a thread for", ""))?;
    let store_id = contents.store_id;
    let dir = DirGuard { _keeper: keeper, _lock: lock, dir };
    Ok(Files { store_id, journal, archive, journal_space, archive_space, sidecar, dir })
}

impl DirGuard {
    /// Leaves word for the next start that a call on one of the databases failed, so that it does not
    /// trust what it finds. The process must end now.
    ///
    /// The disk may hang as well as fail, and then those who wait for an answer must still get one: after
    /// [`IO_FAILED_MARK_MAX_MS`] the mark is given up.
    pub(crate) fn mark_io_failed(&self) {
        let dir = self.dir.clone();
        let (done, marked) = mpsc::channel();
        let marking = thread::Builder::new().name("tapeline-mark".to_owned()).spawn(move || {
            // Nobody listens any more if it took too long.
            let _ = done.send(leave_mark(&dir));
        });
        let wait = Duration::from_millis(IO_FAILED_MARK_MAX_MS);
        let left = marking
            .and_then(|_| marked.recv_timeout(wait).unwrap_or_else(|late| Err(io::Error::other(late))));
        if let Err(error) = left {
            tracing::error!(%error, "cannot leave the mark of a failed call; check the store before the next start");
        }
    }
}

fn leave_mark(dir: &Dir) -> io::Result<()> {
    dir.create(Place::Directory, IO_FAILED)?.sync_all()?;
    dir.sync()
}

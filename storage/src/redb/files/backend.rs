//! One database file as redb sees it: redb's own file backend, with room kept for every write. Each
//! method is handed on, the six of locking and `close` too: one that were not would silently lose the
//! lock that keeps a second process out of the file.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};

use super::disk::{Disk, Op, Place};
use super::space::Space;

/// The file of one database. `space` is absent while the store is being made: then a full disk is
/// simply an error.
#[derive(Debug)]
pub(super) struct Backend {
    file: FileBackend,
    disk: Arc<dyn Disk>,
    place: Place,
    space: Option<Arc<Space>>,
}

impl Backend {
    pub(super) fn new(
        file: File,
        disk: Arc<dyn Disk>,
        place: Place,
        space: Option<Arc<Space>>,
    ) -> Result<Self, DatabaseError> {
        Ok(Self { file: FileBackend::new(file)?, disk, place, space })
    }

    fn with_room(&self, op: Op, call: impl Fn() -> io::Result<()>) -> io::Result<()> {
        let call = || self.disk.before(self.place, op).and_then(|()| call());
        match &self.space {
            Some(space) => space.with_room(call),
            None => call(),
        }
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.before(self.place, Op::Read)?;
        self.file.read(offset, out)?;
        self.disk.after_read(self.place, offset, out);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with_room(Op::SetLen, || self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.before(self.place, Op::Sync)?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with_room(Op::Write, || self.file.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

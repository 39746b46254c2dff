//! The place between this module and the system calls where a test makes them fail. It decides
//! nothing: in a daemon that is built without `test-util` every call goes through untouched.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::limits::BALLAST_BYTES;

/// Which file a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Journal,
    Archive,
    JournalBallast,
    ArchiveBallast,
    /// The data directory, with its lock and its marks.
    Directory,
    Sidecar,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    /// Not a system call: a transaction is about to begin.
    Begin,
    /// Opens or makes a file or a directory.
    Create,
    Read,
    Write,
    /// Changes the length of a file.
    SetLen,
    /// Allocates the blocks of a file.
    Allocate,
    /// Syncs a file or a directory.
    Sync,
    Rename,
    Remove,
}

/// Stands before each call. What it lets through is done by the operating system.
pub(crate) trait Disk: fmt::Debug + Send + Sync + 'static {
    /// A call is about to be made; an error is returned in its place.
    fn before(&self, _place: Place, _op: Op) -> io::Result<()> {
        Ok(())
    }

    /// These bytes were read from `offset` on.
    fn after_read(&self, _place: Place, _offset: u64, _bytes: &mut [u8]) {}

    /// The bytes that ordinary users may still take of the file system, of which `real` is the truth.
    fn free_bytes(&self, real: u64) -> u64 {
        real
    }

    /// Whether every call from now on fails, as if the process had been killed.
    fn is_gone(&self) -> bool {
        false
    }

    /// How large each ballast is.
    fn ballast_bytes(&self) -> u64 {
        BALLAST_BYTES
    }
}

/// The disk as it is.
#[derive(Debug)]
struct RealDisk;

impl Disk for RealDisk {}

/// The disk as it is; in a build with `test-util`, the one that the environment scripts.
pub(crate) fn standard() -> Arc<dyn Disk> {
    #[cfg(feature = "test-util")]
    if let Some(faults) = crate::test_util::Faults::from_environment() {
        return Arc::new(faults);
    }
    Arc::new(RealDisk)
}

/// Whether an error says that there is no room, on the disk or in the user's quota.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

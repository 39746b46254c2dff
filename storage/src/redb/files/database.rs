//! The opening of one database file. Before redb reads it, the pages that the operating system caches
//! are dropped: a process that died after a failed sync may have left pages there that never reached
//! the disk, and redb would believe them. After such an end redb also checks the whole file.

use std::fs::OpenOptions;
use std::io;
use std::sync::Arc;

use redb::Database;
use rustix::fs::Advice;

use super::backend::Backend;
use super::dir::Dir;
use super::disk::{Place, is_full};
use super::space::Space;
use crate::OpenError;
use crate::limits::REDB_CACHE_BYTES;
use crate::panics::caught;

/// Opens a database. With `doubt`, checks every page of it first, which takes time in proportion to it.
pub(super) fn open(
    dir: &Dir,
    place: Place,
    name: &str,
    space: &Arc<Space>,
    doubt: bool,
) -> Result<Database, OpenError> {
    let file =
        OpenOptions::new().read(true).write(true).open(dir.file(name)).map_err(dir.error("open", name))?;
    // redb would make a new database of an empty file.
    if file.metadata().map_err(dir.error("look at", name))?.len() == 0 {
        return Err(dir.damaged(format!("{name} is empty")));
    }
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)
        .map_err(|errno| dir.error("drop the cached pages of", name)(errno.into()))?;
    let open = || {
        let backend = Backend::new(file, dir.disk.clone(), place, Some(space.clone()))?;
        let mut builder = Database::builder();
        builder.set_cache_size(REDB_CACHE_BYTES).set_check_integrity_on_open(doubt);
        builder.create_with_backend(backend)
    };
    match caught(open) {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(error)) => Err(database_error(dir, name, error.into())),
        Err(panic) => Err(dir.damaged(format!("{name} cannot be read: {panic}"))),
    }
}

/// What it means that redb did not open or make a database.
pub(super) fn database_error(dir: &Dir, name: &str, error: redb::Error) -> OpenError {
    match error {
        redb::Error::Io(error) if is_full(&error) => OpenError::DiskFull { path: dir.path().to_owned() },
        redb::Error::Io(error) if says_damaged(&error) => dir.damaged(format!("{name}: {error}")),
        redb::Error::Io(error) => dir.error("open", name)(error),
        redb::Error::PreviousIo => dir.error("open", name)(io::Error::other("an earlier call failed")),
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
            OpenError::InUse { path: dir.path().to_owned() }
        }
        error => dir.damaged(format!("{name}: {error}")),
    }
}

/// redb's own words for a file that is no database, and for one that ends too soon.
fn says_damaged(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

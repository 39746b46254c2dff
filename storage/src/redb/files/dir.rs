//! The data directory: its names, its modes, its lock, its marks. Every change in it is made durable
//! by a sync of the directory before the next step may count on it. It never looks into a database.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FlockOperation;

use super::disk::{Disk, Op, Place, is_full};
use crate::OpenError;

pub(super) const JOURNAL: &str = "journal.redb";
pub(super) const ARCHIVE: &str = "archive.redb";
pub(super) const JOURNAL_BALLAST: &str = "journal.ballast";
pub(super) const ARCHIVE_BALLAST: &str = "archive.ballast";
pub(super) const SIDECAR: &str = "store";
/// Held by the process that has the directory open. Its contents mean nothing.
pub(super) const LOCK: &str = "lock";
/// Present while a store is being made: what else is there is not a store yet.
pub(super) const CREATING: &str = "creating";
/// Present if the last process ended because a call on one of the databases failed.
pub(super) const IO_FAILED: &str = "io-failed";
/// Ends the name under which a file is made before it gets its own.
pub(super) const TEMPORARY: &str = ".new";

/// A data directory that exists.
#[derive(Clone, Debug)]
pub(super) struct Dir {
    path: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
}

impl Dir {
    /// Takes the directory, or makes it with its parents, readable by the user alone.
    pub(super) fn make(path: &Path, disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let dir = Self { path: path.to_owned(), disk };
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => Ok(dir),
            Ok(_) => Err(dir.error("use as a data directory", "")(io::ErrorKind::NotADirectory.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                dir.make_with_parents().map_err(dir.error("create the data directory", ""))?;
                Ok(dir)
            }
            Err(error) => Err(dir.error("use as a data directory", "")(error)),
        }
    }

    fn make_with_parents(&self) -> io::Result<()> {
        self.disk.before(Place::Directory, Op::Create)?;
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)
    }

    /// Makes durable that the directory is where it is. Who made it, and its parents, may have been
    /// this process, an earlier one that died, or the user, so all of them are synced; the ones that
    /// this user may not read, this user has not made.
    pub(super) fn sync_parents(&self) -> io::Result<()> {
        self.disk.before(Place::Directory, Op::Sync)?;
        for parent in fs::canonicalize(&self.path)?.ancestors().skip(1) {
            match File::open(parent) {
                Ok(parent) => parent.sync_all()?,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.path.clone() } else { self.path.join(name) }
    }

    /// Whether a file is there.
    pub(super) fn has(&self, name: &str) -> Result<bool, OpenError> {
        self.file(name).try_exists().map_err(self.error("look for", name))
    }

    /// Makes an empty file for the user alone, in place of one that is there.
    pub(super) fn create(&self, place: Place, name: &str) -> io::Result<File> {
        self.disk.before(place, Op::Create)?;
        user_only().truncate(true).open(self.file(name))
    }

    /// Opens a file for reading and writing, and makes it if it is missing.
    pub(super) fn open_or_create(&self, place: Place, name: &str) -> io::Result<File> {
        self.disk.before(place, Op::Create)?;
        user_only().truncate(false).open(self.file(name))
    }

    pub(super) fn rename(&self, place: Place, from: &str, to: &str) -> io::Result<()> {
        self.disk.before(place, Op::Rename)?;
        fs::rename(self.file(from), self.file(to))
    }

    /// Removes a file. It is not an error if it is not there.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.before(Place::Directory, Op::Remove)?;
        match fs::remove_file(self.file(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// Makes durable which names the directory holds.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.disk.before(Place::Directory, Op::Sync)?;
        File::open(&self.path)?.sync_all()
    }

    /// Puts a small file in the place of another one, or of none: after a crash there is either the
    /// old one or the new one, whole.
    pub(super) fn replace(&self, place: Place, name: &str, contents: &[u8]) -> io::Result<()> {
        let temporary = format!("{name}{TEMPORARY}");
        let mut file = self.create(place, &temporary)?;
        self.disk.before(place, Op::Write)?;
        file.write_all(contents)?;
        self.disk.before(place, Op::Sync)?;
        file.sync_all()?;
        self.rename(place, &temporary, name)?;
        self.sync()
    }

    /// Removes what a process that died left under temporary names.
    pub(super) fn remove_leftovers(&self) -> Result<(), OpenError> {
        for name in [JOURNAL, ARCHIVE, SIDECAR] {
            let name = format!("{name}{TEMPORARY}");
            if self.has(&name)? {
                self.remove(&name).map_err(self.error("remove", &name))?;
            }
        }
        Ok(())
    }

    /// Keeps every other process out for as long as the file stays open.
    pub(super) fn lock(&self) -> Result<File, OpenError> {
        let lock = self.open_or_create(Place::Directory, LOCK).map_err(self.error("open", LOCK))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(lock),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse { path: self.path.clone() }),
            Err(errno) => Err(self.error("lock", LOCK)(errno.into())),
        }
    }

    /// What a failed call on a file becomes.
    pub(super) fn error(&self, action: &'static str, name: &str) -> impl Fn(io::Error) -> OpenError + use<> {
        let (dir, path) = (self.path.clone(), self.file(name));
        move |source| match is_full(&source) {
            true => OpenError::DiskFull { path: dir.clone() },
            false => OpenError::Io { action, path: path.clone(), source },
        }
    }

    /// The store is not what it was.
    pub(super) fn damaged(&self, what: impl Into<String>) -> OpenError {
        OpenError::Damaged { path: self.path.clone(), what: what.into() }
    }
}

fn user_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    options
}

//! Where a watch stands, and the file that remembers it: `{"store_id": …, "log_id": …, "seq": …}`.
//! The file is replaced by a rename, so that it is always whole; it is written after what it covers was
//! shown, so that the next run shows exactly the rest, also after kill -9.
//!
//! That is not promised for a power cut: the file is synced to disk only now and then and at the end of a
//! run, because a sync for each commit would take the disk from the daemon. The cursor may then be an older
//! one, and what came after it is shown again; or the file is empty, which is refused.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::exit::CliError;
use super::limits::{CURSOR_FILE_BYTES_MAX, CURSOR_SYNC_EVERY};

/// The last event a reader has handled, and the log it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cursor {
    /// The store the log is in.
    pub(crate) store_id: String,
    /// The log; random for each execution.
    pub(crate) log_id: String,
    /// The seq of the last event.
    pub(crate) seq: u64,
}

/// A file that holds a [`Cursor`].
#[derive(Debug)]
pub(crate) struct CursorFile {
    path: PathBuf,
    /// When it was last synced to disk.
    synced_at: Option<Instant>,
    /// Whether it was written since.
    unsynced: bool,
}

impl CursorFile {
    /// The file at this path; it need not exist yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, synced_at: None, unsynced: false }
    }

    /// The cursor in it; `None` if there is no such file.
    ///
    /// # Errors
    /// [`CliError::Usage`] if it holds something else: starting from the beginning in its place would
    /// show again what was shown before.
    pub(crate) fn read(&self) -> Result<Option<Cursor>, CliError> {
        let text = match self.try_read() {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed("cannot read", error)),
        };
        if text.len() as u64 > CURSOR_FILE_BYTES_MAX {
            return Err(CliError::Usage(format!(
                "{} is no cursor file: it has more than {CURSOR_FILE_BYTES_MAX} bytes",
                self.path.display()
            )));
        }
        let cursor = serde_json::from_slice(&text).map_err(|error| {
            CliError::Usage(format!("{} is no cursor file: {error}", self.path.display()))
        })?;
        Ok(Some(cursor))
    }

    /// One byte more than a cursor file can have, at most: a device has no end.
    fn try_read(&self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        fs::File::open(&self.path)?.take(CURSOR_FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
        Ok(text)
    }

    /// Replaces the cursor in it. It is there for whoever reads it next; on disk it is when a sync was due.
    pub(crate) fn write(&mut self, cursor: &Cursor) -> Result<(), CliError> {
        self.try_write(cursor).map_err(|error| self.failed("cannot write", error))
    }

    /// Brings what was written last to disk.
    pub(crate) fn settle(&mut self) -> Result<(), CliError> {
        if !std::mem::take(&mut self.unsynced) {
            return Ok(());
        }
        let synced = fs::File::open(&self.path).and_then(|file| file.sync_all());
        synced.and_then(|()| self.sync_directory()).map_err(|error| self.failed("cannot sync", error))
    }

    fn try_write(&mut self, cursor: &Cursor) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".tapeline-cursor-").tempfile_in(self.directory())?;
        serde_json::to_writer(&mut file, cursor)?;
        file.write_all(b"\n")?;
        let is_due = self.synced_at.is_none_or(|at| at.elapsed() >= CURSOR_SYNC_EVERY);
        if is_due {
            file.as_file().sync_all()?;
        }
        file.persist(&self.path)?;
        self.unsynced = !is_due;
        if is_due {
            self.sync_directory()?;
            self.synced_at = Some(Instant::now());
        }
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        fs::File::open(self.directory())?.sync_all()
    }

    fn directory(&self) -> &Path {
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        directory.unwrap_or(Path::new("."))
    }

    fn failed(&self, what: &str, error: io::Error) -> CliError {
        CliError::local(format!("{what} the cursor file {}", self.path.display()), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_in(directory: &tempfile::TempDir) -> CursorFile {
        CursorFile::new(directory.path().join("cursor"))
    }

    #[test]
    fn what_is_written_is_read_again_and_nothing_else_is_left_behind() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut file = file_in(&directory);
        assert_eq!(file.read().expect("no file is no error"), None);
        for seq in [1, u64::MAX] {
            let cursor = Cursor { store_id: "st".to_owned(), log_id: "lo".to_owned(), seq };
            file.write(&cursor).expect("writable");
            assert_eq!(file.read().expect("readable"), Some(cursor));
        }
        assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 1);
    }

    #[test]
    fn each_write_is_in_the_file_at_once_and_only_some_wait_for_the_disk() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut file = file_in(&directory);
        let cursor = |seq| Cursor { store_id: "st".to_owned(), log_id: "lo".to_owned(), seq };
        file.write(&cursor(1)).expect("writable");
        assert!(!file.unsynced, "the first is synced");
        // As if the first one had been written this moment, however slow the disk is.
        file.synced_at = Some(Instant::now() + CURSOR_SYNC_EVERY);
        file.write(&cursor(2)).expect("writable");
        assert_eq!(file.read().expect("readable"), Some(cursor(2)));
        assert!(file.unsynced, "the next is not waited for");
        file.settle().expect("on disk");
        assert!(!file.unsynced);
        file.synced_at = None;
        file.write(&cursor(3)).expect("writable");
        assert!(!file.unsynced, "a sync is due");
        assert_eq!(file.read().expect("readable"), Some(cursor(3)));
    }

    #[test]
    fn a_file_with_something_else_is_refused_and_not_taken_for_a_new_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = file_in(&directory);
        for content in [
            "",
            "{}",
            "{\"store_id\":\"a\",\"log_id\":\"b\"",
            "{\"store_id\":\"a\",\"log_id\":\"b\",\"seq\":-1}",
        ] {
            fs::write(&file.path, content).expect("writable");
            assert!(matches!(file.read(), Err(CliError::Usage(_))), "{content:?} was taken");
        }
    }

    #[test]
    fn a_file_without_end_is_refused_and_not_read_whole() {
        let endless = CursorFile::new(PathBuf::from("/dev/zero"));
        assert!(matches!(endless.read(), Err(CliError::Usage(_))));
    }
}

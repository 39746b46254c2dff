//! Where a watch stands, and the file that remembers it: `{"store_id": …, "log_id": …, "seq": …}`.
//! The file is replaced by a rename, so that it is always whole; it is written after what it covers was
//! shown, so that the next run shows exactly the rest.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::exit::CliError;
use super::limits::CURSOR_FILE_BYTES_MAX;

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
#[derive(Clone, Debug)]
pub(crate) struct CursorFile {
    path: PathBuf,
}

impl CursorFile {
    /// The file at this path; it need not exist yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
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

    /// Replaces the cursor in it.
    pub(crate) fn write(&self, cursor: &Cursor) -> Result<(), CliError> {
        self.try_write(cursor).map_err(|error| self.failed("cannot write", error))
    }

    fn try_write(&self, cursor: &Cursor) -> io::Result<()> {
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let mut file = tempfile::Builder::new()
            .prefix(".tapeline-cursor-")
            .tempfile_in(directory.unwrap_or(Path::new(".")))?;
        serde_json::to_writer(&mut file, cursor)?;
        file.write_all(b"\n")?;
        file.persist(&self.path)?;
        Ok(())
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
        let file = file_in(&directory);
        assert_eq!(file.read().expect("no file is no error"), None);
        for seq in [1, u64::MAX] {
            let cursor = Cursor { store_id: "st".to_owned(), log_id: "lo".to_owned(), seq };
            file.write(&cursor).expect("writable");
            assert_eq!(file.read().expect("readable"), Some(cursor));
        }
        assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 1);
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

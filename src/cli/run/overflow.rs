//! The file of a spool: batches that did not fit the memory, in order. What is on its way to the daemon
//! stays in it until the next batch is taken, so that the file alone is enough to deliver the rest. It is
//! removed when it is dropped, unless it is kept.

use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::spool_file::{read_batch, write_batch, write_head};
use crate::proto::v1::{AppendRequest, CreateExecutionRequest};

/// Batches on disk.
pub(super) struct Overflow {
    pub(super) file: NamedTempFile,
    pub(super) read_at: u64,
    pub(super) written: u64,
}

impl Overflow {
    /// A new file that only its owner can read, with the batch that was taken before it, if any: that one
    /// comes first when the file is delivered, and is not taken again.
    pub(super) fn create(
        directory: &Path,
        create: &CreateExecutionRequest,
        taken: Option<&AppendRequest>,
    ) -> io::Result<Self> {
        let mut file = private_file(directory, &create.execution_id)?;
        let head = write_head(file.as_file_mut(), create)?;
        let mut overflow = Self { file, read_at: head, written: head };
        if let Some(batch) = taken {
            overflow.add(batch)?;
            overflow.read_at = overflow.written;
        }
        Ok(overflow)
    }

    /// Adds the newest batch. After an error, the file is as it was.
    pub(super) fn add(&mut self, batch: &AppendRequest) -> io::Result<()> {
        let file = self.file.as_file_mut();
        // A failed write before this one may have left a part of a record.
        file.seek(SeekFrom::Start(self.written))?;
        self.written += write_batch(file, batch)?;
        Ok(())
    }

    /// Takes the oldest batch; the one that was taken before it has been acknowledged.
    pub(super) fn take(&mut self) -> io::Result<Option<AppendRequest>> {
        if self.read_at == self.written {
            return Ok(None);
        }
        let mut file: &File = self.file.as_file();
        file.seek(SeekFrom::Start(self.read_at))?;
        let (batch, bytes) = read_batch(&mut BufReader::new(file))?;
        self.read_at += bytes;
        Ok(Some(batch))
    }

    /// Lets the file stay, whole as it is: batches that the daemon has already are recognised by their
    /// number. Also after an error, which says that it may not be on disk.
    pub(super) fn keep(self) -> (PathBuf, io::Result<()>) {
        let Self { file, written, .. } = self;
        // Half a record at the end would only be reported; its events are in memory still, or lost.
        let _ = file.as_file().set_len(written);
        let synced = file.as_file().sync_all();
        let path = file.path().to_owned();
        let kept = file.keep().map(drop).map_err(|error| error.error);
        (path, synced.and(kept))
    }
}

/// A new file that only its owner can read, removed when it is dropped.
fn private_file(directory: &Path, execution_id: &str) -> io::Result<NamedTempFile> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    tempfile::Builder::new().prefix(&format!("{execution_id}.")).suffix(".spool").tempfile_in(directory)
}

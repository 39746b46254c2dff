//! What the parts of an open store share: callers, readers, the writer's thread, the sealer's thread.
//! Owns the two files; every use of them goes through [`Shared::with_files`], which is where an error
//! of the disk becomes the failure of the store, and every read through [`Shared::read_files`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::archive::Archive;
use super::error::EngineError;
use super::failure::Failure;
use super::files::{DirGuard, Sidecar, Space};
use super::journal::Journal;
use super::queue::{Queue, Shut};
use super::signals::Signals;
use super::slots::{Slot, Slots, State};
use super::unsealed::Unsealed;
use crate::panics::caught;
use crate::{Clock, CommitHook, ExecutionId, Head, Position, ReadError, Rules, StoreId};

/// The files of an open store.
pub(super) struct OpenFiles {
    pub(super) journal: Journal,
    pub(super) archive: Archive,
    pub(super) dir: DirGuard,
}

/// When to seal, and what happens when that takes too long. Unsealed bytes are the weight of what is
/// unsealed, which counts executions too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SealPlan {
    /// Unsealed bytes at which sealing starts.
    pub(super) start_bytes: usize,
    /// Raw bytes of one generation.
    pub(super) generation_bytes: usize,
    /// Unsealed bytes from which each commit is delayed.
    pub(super) delay_bytes: usize,
    /// Unsealed bytes from which nothing is written.
    pub(super) stop_bytes: usize,
}

/// An open store, without its threads.
pub(super) struct Shared {
    pub(super) store_id: StoreId,
    pub(super) rules: Arc<dyn Rules>,
    pub(super) hook: Arc<dyn CommitHook>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) seal_plan: SealPlan,
    pub(super) journal_space: Arc<Space>,
    pub(super) archive_space: Arc<Space>,
    pub(super) sidecar: Arc<Sidecar>,
    pub(super) slots: Slots,
    pub(super) unsealed: Unsealed,
    pub(super) queue: Queue,
    pub(super) signals: Signals,
    pub(super) failure: Failure,
    pub(super) counts: Counts,
    /// Held for a whole sealing: it begins with what is oldest, so there can be only one. Comes before
    /// all other locks.
    pub(super) sealing: Mutex<()>,
    /// Read-locked for one operation on a file, write-locked to close them; `None` when closed. Never
    /// locked twice by one thread. Comes before all other locks.
    pub(super) files: RwLock<Option<OpenFiles>>,
}

/// Numbers that anybody may look at.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// The last position that is visible.
    pub(super) tail_position: AtomicU64,
    pub(super) executions: AtomicU64,
    /// Commits since the start.
    pub(super) commits: AtomicU64,
    /// The last row that the archive has; the writer may remove up to it.
    pub(super) sealed_row: AtomicU64,
}

impl Shared {
    /// Does something with the files. An error of redb fails the store; afterwards, and when the store
    /// is closed, nothing is done.
    pub(super) fn with_files<T>(
        &self,
        work: impl FnOnce(&OpenFiles) -> Result<T, EngineError>,
    ) -> Result<T, FileError> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        if self.failure.is_failed() {
            return Err(FileError::Failed);
        }
        let Some(files) = files.as_ref() else { return Err(FileError::Closed) };
        work(files).map_err(|error| match error {
            EngineError::Redb(error) => {
                self.fail_with(files, &error.to_string());
                FileError::Failed
            }
            corrupt @ EngineError::Corrupt(_) => FileError::Corrupt(corrupt),
        })
    }

    /// Reads the files, for who only reads: what redb makes of a wrong byte in its own pages, an error or a
    /// panic, is damage that is told, and the store goes on. A writer must not use this.
    pub(super) fn read_files<T>(
        &self,
        read: impl FnOnce(&OpenFiles) -> Result<T, EngineError>,
    ) -> Result<T, FileError> {
        self.with_files(|files| match caught(|| read(files)) {
            Ok(Err(EngineError::Redb(redb::Error::Corrupted(what)))) => {
                Err(EngineError::corrupt(0, 0, 0, what))
            }
            Ok(result) => result,
            Err(panic) => Err(EngineError::corrupt(0, 0, 0, format!("a page cannot be read: {panic}"))),
        })
    }

    /// Fails the store for a reason that is not an error of a file, such as a thread that panicked.
    pub(super) fn fail(&self, why: &str) {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        match files.as_ref() {
            Some(files) => self.fail_with(files, why),
            None => self.stop_for_failure(why),
        }
    }

    fn fail_with(&self, files: &OpenFiles, why: &str) {
        if !self.failure.is_failed() {
            files.dir.mark_io_failed();
        }
        self.stop_for_failure(why);
    }

    fn stop_for_failure(&self, why: &str) {
        self.failure.fail(why);
        self.queue.shut(Shut::Failed);
        self.signals.stop();
    }

    /// The slot of an id; reads the archive, off the async threads, if it is not in memory.
    pub(super) async fn slot(self: &Arc<Self>, id: &ExecutionId) -> Result<Arc<Slot>, ReadError> {
        loop {
            if self.failure.is_failed() {
                return Err(ReadError::Failed);
            }
            let epoch = match self.slots.get(id) {
                Ok(slot) => return Ok(slot),
                Err(epoch) => epoch,
            };
            let wanted = id.clone();
            let found = self.blocking(id, move |files| files.archive.lookup(&wanted)).await?;
            if let Some(slot) = self.slots.insert(id, found, epoch) {
                return Ok(slot);
            }
        }
    }

    /// The slot and the head of an execution that is there.
    pub(super) async fn present(
        self: &Arc<Self>,
        id: &ExecutionId,
    ) -> Result<(Arc<Slot>, Arc<Head>), ReadError> {
        let slot = self.slot(id).await?;
        match slot.state() {
            State::Present(head) => Ok((slot, head)),
            none => Err(none.no_head(id)),
        }
    }

    /// Reads the files on a thread that may wait for a disk.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        id: &ExecutionId,
        work: impl FnOnce(&OpenFiles) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let shared = self.clone();
        on_blocking_thread(move || shared.read_files(work))
            .await
            .map_err(|error| error.into_read_error(Some(id)))
    }

    /// Bytes in use of the journal and of the archive, while they are open. Costs nothing.
    pub(super) fn used_bytes(&self) -> Option<(u64, u64)> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.as_ref().map(|files| (files.journal.used_bytes(), files.archive.used_bytes()))
    }

    pub(super) fn tail_position(&self) -> Position {
        self.counts.tail_position.load(Ordering::Acquire)
    }
}

/// Runs something that may wait for a disk. A panic in it goes on in the caller.
pub(super) async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, FileError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down with its threads; nobody waits for the answer.
            Err(_) => Err(FileError::Closed),
        },
    }
}

/// Why something could not be done with the files.
#[derive(Debug)]
pub(super) enum FileError {
    /// The store has failed.
    Failed,
    /// The store is closed.
    Closed,
    /// Bytes are wrong.
    Corrupt(EngineError),
}

impl FileError {
    pub(super) fn into_read_error(self, execution: Option<&ExecutionId>) -> ReadError {
        match self {
            Self::Failed => ReadError::Failed,
            Self::Closed => ReadError::Closing,
            Self::Corrupt(error) => error.into_read_error(execution),
        }
    }
}

impl Counts {
    /// A commit is visible. Called by the writer alone.
    pub(super) fn published(&self, tail_position: Position, executions: i64) {
        self.executions.fetch_add(executions.cast_unsigned(), Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.tail_position.store(tail_position, Ordering::Release);
    }
}

//! Opening a store: files, recovery, threads. Closing it: threads, files.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use redb::Database;

use super::archive::Archive;
use super::error::EngineError;
use super::failure::Failure;
use super::files::{self, Files};
use super::format::{FORMAT, FormatError};
use super::journal::Journal;
use super::queue::{Message, Queue, Shut};
use super::recover::{Recovered, recover};
use super::sealer::Sealer;
use super::shared::{Counts, OpenFiles, SealPlan, Shared};
use super::signals::Signals;
use super::store::RedbStore;
use super::writer::{Next, Writer};
use crate::limits::{BACK_PRESSURE_BYTES, GENERATION_BYTES_MAX, SEAL_START_BYTES, UNSEALED_BYTES_MAX};
use crate::panics::caught;
use crate::{Clock, CommitHook, NoHook, NoRules, OpenError, Rules, StoreId, SystemClock};

/// How to open a [`RedbStore`].
pub struct OpenOptions {
    /// The data directory; made if it is missing.
    pub path: PathBuf,
    /// What may refuse appends.
    pub rules: Arc<dyn Rules>,
    /// Who is told of each commit.
    pub hook: Arc<dyn CommitHook>,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    pub(crate) seal_plan: SealPlan,
    /// The disk, if not as it is.
    #[cfg(any(test, feature = "test-util"))]
    pub(crate) faults: Option<crate::test_util::Faults>,
}

impl OpenOptions {
    /// A store in this directory, without rules and hook, on the system's clock.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let seal_plan = SealPlan {
            start_bytes: SEAL_START_BYTES,
            generation_bytes: GENERATION_BYTES_MAX,
            delay_bytes: BACK_PRESSURE_BYTES,
            stop_bytes: UNSEALED_BYTES_MAX,
        };
        Self {
            path: path.into(),
            rules: Arc::new(NoRules),
            hook: Arc::new(NoHook),
            clock: Arc::new(SystemClock),
            seal_plan,
            #[cfg(any(test, feature = "test-util"))]
            faults: None,
        }
    }

    /// Seals when so many bytes are unsealed, in generations of so many bytes; writes slow down at four
    /// times as much and stop at eight times. For tests.
    #[cfg(any(test, feature = "test-util"))]
    pub fn seal_at(mut self, start_bytes: usize, generation_bytes: usize) -> Self {
        let (delay_bytes, stop_bytes) = (4 * start_bytes, 8 * start_bytes);
        self.seal_plan = SealPlan { start_bytes, generation_bytes, delay_bytes, stop_bytes };
        self
    }

    /// Puts the files on a disk that a test scripts.
    #[cfg(any(test, feature = "test-util"))]
    pub fn on_disk(mut self, faults: &crate::test_util::Faults) -> Self {
        self.faults = Some(faults.clone());
        self
    }

    fn open_files(&self) -> Result<Files, OpenError> {
        let inits = files::Inits { journal: Journal::init, archive: Archive::init };
        #[cfg(any(test, feature = "test-util"))]
        if let Some(faults) = &self.faults {
            return files::open_on(Arc::new(faults.clone()), &self.path, inits);
        }
        files::open(&self.path, inits)
    }
}

impl std::fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenOptions").field("path", &self.path).finish_non_exhaustive()
    }
}

impl RedbStore {
    /// Opens the store of a data directory, or makes a new one. Blocks while files are read: less than
    /// a second, also after a crash.
    pub fn open(options: OpenOptions) -> Result<Self, OpenError> {
        let files = options.open_files()?;
        let OpenOptions { path, rules, hook, clock, seal_plan, .. } = options;
        let Files { store_id, journal, archive, journal_space, archive_space, sidecar, dir } = files;
        let (journal, archive, recovered) = caught(|| read(journal, archive, store_id, &path))
            .map_err(|panic| damaged(&path, format!("a page cannot be read: {panic}")))??;
        let Recovered { next, slots, unsealed, executions, sealed_row } = recovered;
        let tail_position = next.position - 1;
        sidecar.check(tail_position)?;
        let counts = Counts::default();
        counts.tail_position.store(tail_position, Ordering::Relaxed);
        counts.executions.store(executions, Ordering::Relaxed);
        counts.sealed_row.store(sealed_row, Ordering::Relaxed);
        let (queue, receiver) = Queue::new();
        let shared = Shared {
            store_id,
            rules,
            hook,
            clock,
            seal_plan,
            journal_space,
            archive_space,
            sidecar,
            slots,
            unsealed,
            queue,
            signals: Signals::default(),
            failure: Failure::new(),
            counts,
            sealing: Mutex::new(()),
            files: RwLock::new(Some(OpenFiles { journal, archive, dir })),
        };
        Self::start(Arc::new(shared), receiver, next, &path)
    }

    fn start(
        shared: Arc<Shared>,
        receiver: crossbeam_channel::Receiver<Message>,
        next: Next,
        path: &Path,
    ) -> Result<Self, OpenError> {
        let closer = Arc::new(Closer { shared: shared.clone(), threads: Mutex::default() });
        let store = Self { shared: shared.clone(), closer };
        let failed = |source| OpenError::Io { action: "start a thread for", path: path.to_owned(), source };
        let mut writer = Writer::new(shared.clone(), receiver, next);
        let for_writer = shared.clone();
        let writing = spawn("tapeline-writer", move || {
            guarded(&for_writer, "the writer's thread panicked", || writer.run());
            writer.refuse_rest();
        });
        store.closer.add(writing.map_err(failed)?);
        let mut sealer = Sealer::new(shared.clone());
        let sealing = spawn("tapeline-sealer", move || {
            guarded(&shared, "the sealer's thread panicked", || sealer.run());
        });
        store.closer.add(sealing.map_err(failed)?);
        Ok(store)
    }
}

/// Reads all that a start needs of the two files.
fn read(
    journal: Database,
    archive: Database,
    store_id: StoreId,
    path: &Path,
) -> Result<(Journal, Archive, Recovered), OpenError> {
    let archive = Archive::open(archive, store_id).map_err(|error| format_error(path, "archive", error))?;
    let journal = Journal::open(journal, store_id).map_err(|error| format_error(path, "journal", error))?;
    let recovered = recover(&journal, &archive).map_err(|error| engine_error(path, error))?;
    Ok((journal, archive, recovered))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Runs a thread's work; a panic in it fails the store instead of going unnoticed.
fn guarded(shared: &Shared, why: &str, work: impl FnOnce()) {
    if let Err(panic) = caught(work) {
        shared.fail(&format!("{why}: {panic}"));
    }
}

/// Closes a store, once.
pub(super) struct Closer {
    shared: Arc<Shared>,
    /// The writer, then the sealer. Held while closing, so that a second caller waits for the first.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Closer {
    fn add(&self, thread: JoinHandle<()>) {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
    }

    /// Finishes what is in the queue and closes the files. Blocks. The second time, does nothing.
    pub(super) fn close(&self) {
        let shared = &self.shared;
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        shared.queue.shut(Shut::Closing);
        for thread in threads.drain(..) {
            if thread.join().is_err() {
                shared.fail("a thread of the store ended in a panic");
            }
            // The sealer is needed as long as the writer writes.
            shared.signals.stop();
        }
        let files = shared.files.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(files) = files {
            self.close_files(files);
        }
    }

    fn close_files(&self, files: OpenFiles) {
        if self.shared.failure.is_failed() {
            // Closing would write, and what is on the disk is not known. Leaked on purpose, with the
            // lock: the process is about to end. If it is scripted to be gone already, nothing can be
            // written, and a test goes on.
            if !self.shared.journal_space.is_gone() {
                std::mem::forget(files);
            }
            return;
        }
        let OpenFiles { journal, archive, dir } = files;
        let closed = [("journal", closed(|| journal.close())), ("archive", closed(|| archive.close()))];
        for (name, closed) in closed {
            if let Err(error) = closed {
                tracing::error!(%error, name, "a file was not closed");
                dir.mark_io_failed();
            }
        }
        if let Err(error) = self.shared.sidecar.write_now() {
            tracing::warn!(%error, "the sidecar file could not be written");
        }
    }
}

/// Closing writes what redb found out about free pages. Everything acknowledged is durable before, so a panic
/// in it is not worse than an error.
fn closed(close: impl FnOnce() -> Result<(), EngineError>) -> Result<(), String> {
    caught(close).and_then(|closed| closed.map_err(|error| error.to_string()))
}

fn damaged(path: &Path, what: impl ToString) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), what: what.to_string() }
}

fn engine_error(path: &Path, error: EngineError) -> OpenError {
    match error {
        EngineError::Redb(redb::Error::Io(source)) => {
            OpenError::Io { action: "read", path: path.to_owned(), source }
        }
        error => damaged(path, error),
    }
}

/// `name` says which of the two files it is.
fn format_error(path: &Path, name: &str, error: FormatError) -> OpenError {
    match error {
        FormatError::Newer { found } => {
            OpenError::NewerFormat { path: path.to_owned(), found, supported: FORMAT }
        }
        FormatError::Engine(error) => engine_error(path, error),
        FormatError::OtherStore { found } => {
            damaged(path, format!("the {name} belongs to the store {found}"))
        }
    }
}

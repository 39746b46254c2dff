//! What a run has recorded and the daemon has not acknowledged: first in memory, then in a file that only
//! its owner can read, then nowhere: the program's pipes are not read until there is room. Nothing is
//! given up and nothing is reordered; a batch that has its producer number keeps it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prost::Message;
use tempfile::NamedTempFile;
use tokio::sync::Notify;

use super::spool_file::{read_batch, write_batch, write_head};
use crate::cli::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX, SPOOL_FILE_BYTES_MAX, SPOOL_MEMORY_BYTES_MAX};
use crate::cli::output::talk;
use crate::proto::v1::{AppendRequest, CreateExecutionRequest, Event, Producer};

/// The queue between a program's pipes and the daemon.
pub(super) struct Spool {
    create: CreateExecutionRequest,
    directory: PathBuf,
    file_bytes_max: u64,
    /// Held for a moment by whoever adds or takes; no other lock is taken inside.
    state: Mutex<State>,
    /// Something was added, or nothing more will be. One waiter: the delivery.
    added: Notify,
    /// Something was taken. Many waiters: the pipes.
    taken: Notify,
}

struct State {
    /// Older than everything in `fresh`; older ones first.
    file: Option<Overflow>,
    /// Events that have no batch yet.
    fresh: VecDeque<Event>,
    fresh_bytes: usize,
    /// The producer of the next batch that is made.
    producer: Producer,
    /// Nothing will be added.
    closed: bool,
    /// Nothing will be delivered: what is added is dropped.
    refused: bool,
    /// Nobody takes any more, and only what is left in the pipes will be added: it is taken in.
    unbounded: bool,
    /// Whether the disk refused the file; said once.
    disk_failed: bool,
}

/// Batches that did not fit the memory.
struct Overflow {
    file: NamedTempFile,
    /// Where its first batch begins.
    head: u64,
    read_at: u64,
    written: u64,
}

impl Spool {
    /// An empty spool for this execution, whose batches carry this producer, from its number on.
    pub(super) fn new(create: CreateExecutionRequest, producer: Producer, directory: PathBuf) -> Self {
        let state = State {
            file: None,
            fresh: VecDeque::new(),
            fresh_bytes: 0,
            producer,
            closed: false,
            refused: false,
            unbounded: false,
            disk_failed: false,
        };
        Self {
            create,
            directory,
            file_bytes_max: SPOOL_FILE_BYTES_MAX,
            state: Mutex::new(state),
            added: Notify::new(),
            taken: Notify::new(),
        }
    }

    /// Adds an event, as soon as there is room.
    pub(super) async fn push(&self, event: Event) {
        let mut waiting = Some(event);
        loop {
            let room = self.taken.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            waiting = self.try_push(waiting);
            if waiting.is_none() {
                return;
            }
            room.await;
        }
    }

    /// Adds it if there is room, in memory or on disk; returns it if not.
    fn try_push(&self, event: Option<Event>) -> Option<Event> {
        let event = event?;
        let mut state = self.state();
        if state.refused {
            return None;
        }
        let bytes = event.encoded_len();
        let is_full = state.fresh_bytes + bytes > SPOOL_MEMORY_BYTES_MAX && !state.fresh.is_empty();
        if is_full && !state.unbounded && !self.overflow(&mut state) {
            return Some(event);
        }
        state.fresh_bytes += bytes;
        state.fresh.push_back(event);
        self.added.notify_one();
        None
    }

    /// Moves what is in memory to the file. Whether it did.
    fn overflow(&self, state: &mut State) -> bool {
        if state
            .file
            .as_ref()
            .is_some_and(|file| file.written + state.fresh_bytes as u64 > self.file_bytes_max)
        {
            return false;
        }
        let moved = self.try_overflow(state);
        if let Err(error) = &moved
            && !std::mem::replace(&mut state.disk_failed, true)
        {
            talk(&format!(
                "cannot write to {}: {error}; the program waits for the daemon",
                self.directory.display()
            ));
        }
        moved.is_ok()
    }

    fn try_overflow(&self, state: &mut State) -> io::Result<()> {
        if state.file.is_none() {
            state.file = Some(Overflow::create(&self.directory, &self.create)?);
        }
        let State { file: Some(file), fresh, fresh_bytes, producer, .. } = state else { return Ok(()) };
        while let Some(batch) = first_batch(&self.create.execution_id, producer, fresh) {
            let bytes: usize = batch.events.iter().map(Message::encoded_len).sum();
            file.add(&batch)?;
            fresh.drain(..batch.events.len());
            *fresh_bytes -= bytes;
            producer.seq += 1;
        }
        Ok(())
    }

    /// The oldest batch, when there is one; `None` when nothing will follow. The caller keeps it until it
    /// is acknowledged.
    ///
    /// # Errors
    /// The spool file cannot be read.
    pub(super) async fn next(&self) -> io::Result<Option<AppendRequest>> {
        loop {
            let taken = self.try_next()?;
            if taken.is_some() {
                self.taken.notify_waiters();
                return Ok(taken);
            }
            if self.is_done() {
                return Ok(None);
            }
            self.added.notified().await;
        }
    }

    fn try_next(&self) -> io::Result<Option<AppendRequest>> {
        let mut state = self.state();
        let State { file, fresh, fresh_bytes, producer, .. } = &mut *state;
        if let Some(overflow) = file {
            let batch = overflow.take()?;
            if batch.is_some() {
                return Ok(batch);
            }
        }
        let batch = first_batch(&self.create.execution_id, producer, fresh);
        if let Some(batch) = &batch {
            fresh.drain(..batch.events.len());
            *fresh_bytes -= batch.events.iter().map(Message::encoded_len).sum::<usize>();
            producer.seq += 1;
        }
        Ok(batch)
    }

    fn is_done(&self) -> bool {
        let state = self.state();
        state.refused || (state.closed && state.fresh.is_empty())
    }

    /// Adds the last event, whatever the bound, and says that nothing will follow.
    pub(super) fn close(&self, last: Event) {
        let mut state = self.state();
        if !state.refused {
            state.fresh_bytes += last.encoded_len();
            state.fresh.push_back(last);
        }
        state.closed = true;
        drop(state);
        self.added.notify_one();
    }

    /// Says that the delivery was given up after the end of the program: whoever waits for room need not.
    pub(super) fn unbound(&self) {
        self.state().unbounded = true;
        self.taken.notify_waiters();
    }

    /// Says that nothing will be delivered; the pipes are read and forgotten from now on.
    pub(super) fn refuse(&self) {
        let mut state = self.state();
        state.refused = true;
        state.fresh.clear();
        state.file = None;
        drop(state);
        self.taken.notify_waiters();
        self.added.notify_one();
    }

    /// Writes everything that was not acknowledged, `in_flight` first, to a file that stays. Returns where
    /// it is; it was synced to disk.
    pub(super) fn keep(&self, in_flight: Option<&AppendRequest>) -> io::Result<PathBuf> {
        let mut kept = private_file(&self.directory, &self.create.execution_id)?;
        let mut out = io::BufWriter::new(kept.as_file_mut());
        write_head(&mut out, &self.create)?;
        if let Some(batch) = in_flight {
            write_batch(&mut out, batch)?;
        }
        while let Some(batch) = self.try_next()? {
            write_batch(&mut out, &batch)?;
        }
        out.flush()?;
        drop(out);
        kept.as_file().sync_all()?;
        let (_, path) = kept.keep()?;
        Ok(path)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Overflow {
    fn create(directory: &Path, create: &CreateExecutionRequest) -> io::Result<Self> {
        let mut file = private_file(directory, &create.execution_id)?;
        let head = write_head(file.as_file_mut(), create)?;
        Ok(Self { file, head, read_at: head, written: head })
    }

    fn add(&mut self, batch: &AppendRequest) -> io::Result<()> {
        let file = self.file.as_file_mut();
        // A failed write before this one may have left a part of a record.
        file.seek(SeekFrom::Start(self.written))?;
        self.written += write_batch(file, batch)?;
        Ok(())
    }

    fn take(&mut self) -> io::Result<Option<AppendRequest>> {
        if self.read_at == self.written {
            return Ok(None);
        }
        let mut file: &File = self.file.as_file();
        file.seek(SeekFrom::Start(self.read_at))?;
        let (batch, bytes) = read_batch(&mut BufReader::new(file))?;
        self.read_at += bytes;
        if self.read_at == self.written {
            // All of it was taken: the file may grow from its beginning again. Nothing may fail any more, or
            // this batch would be lost; what cannot be cut off is written over.
            let _ = file.set_len(self.head);
            (self.read_at, self.written) = (self.head, self.head);
        }
        Ok(Some(batch))
    }
}

/// As many of the oldest events as one append may hold, numbered; they are not removed.
fn first_batch(execution_id: &str, producer: &Producer, fresh: &VecDeque<Event>) -> Option<AppendRequest> {
    let mut bytes = 0;
    let fits = |event: &&Event| {
        bytes += event.encoded_len();
        bytes <= BATCH_BYTES_MAX
    };
    let mut events: Vec<Event> = fresh.iter().take(BATCH_EVENTS_MAX).take_while(fits).cloned().collect();
    if events.is_empty() {
        events.extend(fresh.front().cloned());
    }
    (!events.is_empty()).then(|| AppendRequest {
        execution_id: execution_id.to_owned(),
        events,
        expected_last_seq: None,
        producer: Some(producer.clone()),
    })
}

/// A new file that only its owner can read, removed when it is dropped.
fn private_file(directory: &Path, execution_id: &str) -> io::Result<NamedTempFile> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    tempfile::Builder::new().prefix(&format!("{execution_id}.")).suffix(".spool").tempfile_in(directory)
}

#[cfg(test)]
mod tests;

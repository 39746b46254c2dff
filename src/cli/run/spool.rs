//! What a run has recorded and the daemon has not acknowledged: first in memory, then in a file that only
//! its owner can read, then nowhere: the program's pipes are not read until there is room. Nothing is
//! given up and nothing is reordered; a batch that has its producer number keeps it.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prost::Message;
use tokio::sync::Notify;

use super::overflow::Overflow;
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
    /// What was taken last, and is not acknowledged before the next is taken.
    taken: Option<AppendRequest>,
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

/// What became of everything that was not acknowledged.
pub(super) struct Kept {
    /// The file it is in.
    pub(super) path: PathBuf,
    /// Why the newest of it may be missing there.
    pub(super) failed: Option<io::Error>,
}

impl Spool {
    /// An empty spool for this execution, whose batches carry this producer, from its number on.
    pub(super) fn new(create: CreateExecutionRequest, producer: Producer, directory: PathBuf) -> Self {
        let state = State {
            file: None,
            taken: None,
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
            state.file = Some(Overflow::create(&self.directory, &self.create, state.taken.as_ref())?);
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

    /// The oldest batch, when there is one; `None` when nothing will follow. Whoever asks for it says that
    /// the one before is acknowledged.
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
        let State { file, taken, fresh, fresh_bytes, producer, .. } = &mut *state;
        *taken = None;
        if let Some(overflow) = file {
            taken.clone_from(&overflow.take()?);
            if taken.is_some() {
                return Ok(taken.clone());
            }
            // All of it is acknowledged, and the disk gets its room back.
            *file = None;
        }
        let batch = first_batch(&self.create.execution_id, producer, fresh);
        if let Some(batch) = &batch {
            fresh.drain(..batch.events.len());
            *fresh_bytes -= batch.events.iter().map(Message::encoded_len).sum::<usize>();
            producer.seq += 1;
        }
        taken.clone_from(&batch);
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
        (state.file, state.taken) = (None, None);
        drop(state);
        self.taken.notify_waiters();
        self.added.notify_one();
    }

    /// Lets everything that was not acknowledged stay in the spool's file, what is in memory added to it.
    ///
    /// # Errors
    /// There was no file yet and none can be made. What is in a file already is never given up.
    pub(super) fn keep(&self) -> io::Result<Kept> {
        let mut state = self.state();
        let moved = self.try_overflow(&mut state);
        let Some(file) = state.file.take() else {
            return Err(moved.err().unwrap_or_else(|| io::ErrorKind::NotFound.into()));
        };
        let (path, synced) = file.keep();
        Ok(Kept { path, failed: moved.and(synced).err() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests;

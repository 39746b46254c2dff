//! The one thread that writes the journal. It takes what queued up while the last sync ran, makes one
//! commit of it, and only after that is durable makes it visible, calls the hook and answers.
//!
//! It never reads the archive and never waits for a caller.

mod pressure;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::batch::{Batch, Context};
use super::queue::{Item, Message};
use super::shared::{FileError, Shared};
use super::unsealed::NewCommit;
use crate::limits::{COMMIT_BYTES_MAX, COMMIT_EVENTS_MAX};
use crate::{Commit, Position, WriteError};
use pressure::Pressure;

/// Between so many waiting requests the writer waits a moment for more, as long as more come.
const LINGER_REQUESTS: std::ops::RangeInclusive<usize> = 2..=256;
/// How long it waits for more at most.
const LINGER: Duration = Duration::from_micros(20);
/// Commits between two removals of sealed rows.
const REMOVE_EVERY_COMMITS: u64 = 16;
/// How long the writer is idle before it removes sealed rows in a commit of their own.
const IDLE: Duration = Duration::from_millis(50);
/// How long it sleeps when there is nothing to do at all.
const SLEEP: Duration = Duration::from_secs(1);

/// Where the journal goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    pub(super) commit: u64,
    pub(super) row: u64,
    pub(super) position: Position,
    pub(super) number: u64,
}

/// The writer's own state.
pub(super) struct Writer {
    shared: Arc<Shared>,
    receiver: Receiver<Message>,
    next: Next,
    /// Taken from the queue, but too much for the last commit.
    left: Option<Item>,
    stopping: bool,
    pressure: Pressure,
    /// The last row that is known to be removed.
    removed_row: u64,
    commits_since_removal: u64,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, receiver: Receiver<Message>, next: Next) -> Self {
        let (left, stopping, pressure) = (None, false, Pressure::default());
        // Rows that were sealed before the start may still be there.
        let (removed_row, commits_since_removal) = (0, 0);
        Self { shared, receiver, next, left, stopping, pressure, removed_row, commits_since_removal }
    }

    /// Writes until the queue is shut and empty, or the store has failed.
    pub(super) fn run(&mut self) {
        while let Some(items) = self.collect() {
            let room = self.pressure.wait_for_room(&self.shared);
            if self.shared.failure.is_failed() {
                items.into_iter().for_each(|item| item.job.refuse(WriteError::Failed));
                continue;
            }
            self.commit(items, room);
        }
    }

    /// Refuses what is still in the queue, for a thread that cannot go on.
    pub(super) fn refuse_rest(&mut self) {
        self.left.take().into_iter().for_each(|item| item.job.refuse(WriteError::Failed));
        while let Ok(message) = self.receiver.try_recv() {
            if let Message::Work(item) = message {
                item.job.refuse(WriteError::Failed);
            }
        }
    }

    /// The requests of the next commit; waits for the first. `None` at the end.
    fn collect(&mut self) -> Option<Vec<Item>> {
        let first = match self.left.take() {
            Some(item) => item,
            None => self.first()?,
        };
        let mut batch = Collected::new(first);
        while !self.stopping && !batch.is_full() {
            match self.next_queued(batch.items.len()) {
                None => break,
                Some(Message::Stop) => self.stopping = true,
                Some(Message::Work(item)) if batch.takes(&item) => batch.add(*item),
                Some(Message::Work(item)) => {
                    self.left = Some(*item);
                    break;
                }
            }
        }
        Some(batch.items)
    }

    fn first(&mut self) -> Option<Item> {
        while !self.stopping {
            let wait = if self.removable().is_some() { IDLE } else { SLEEP };
            match self.receiver.recv_timeout(wait) {
                Ok(Message::Work(item)) => return Some(*item),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => self.stopping = true,
                Err(RecvTimeoutError::Timeout) => self.remove_when_idle(),
            }
        }
        None
    }

    /// The next message that is there, or that comes within a moment when several came already.
    fn next_queued(&self, taken: usize) -> Option<Message> {
        if let Ok(message) = self.receiver.try_recv() {
            return Some(message);
        }
        if !LINGER_REQUESTS.contains(&taken) {
            return None;
        }
        self.receiver.recv_timeout(LINGER).ok()
    }

    fn commit(&mut self, items: Vec<Item>, room: Result<(), WriteError>) {
        let shared = self.shared.clone();
        let on_disk = || shared.journal_space.may_write().then_some(()).ok_or(WriteError::DiskFull);
        let context = Context {
            rules: &*shared.rules,
            commit: self.next.commit,
            now_ns: shared.clock.now_ns(),
            room: room.and_then(|()| on_disk()),
        };
        let mut batch = Batch::new(context, self.next.position, self.next.number);
        items.into_iter().for_each(|item| batch.take(item));
        if batch.is_empty() {
            batch.answers.send();
            return;
        }
        if let Err(error) = shared.journal_space.begin() {
            shared.fail(&format!("a commit of the journal could not begin: {error}"));
            batch.answers.send_instead(&WriteError::Failed);
            return;
        }
        match self.write(&batch.bytes) {
            Ok(last_row) => self.publish(batch, last_row),
            // Nothing was begun.
            Err(FileError::Closed) => batch.answers.send_instead(&WriteError::Closing),
            Err(FileError::Failed | FileError::Corrupt(_)) => {
                shared.fail("a commit of the journal failed");
                batch.answers.send_instead(&WriteError::OutcomeUnknown);
            }
        }
    }

    /// Makes record frames durable. Returns the last row.
    fn write(&mut self, bytes: &[u8]) -> Result<u64, FileError> {
        let remove = self.removable().filter(|_| self.commits_since_removal >= REMOVE_EVERY_COMMITS);
        let Next { commit, row, .. } = self.next;
        let appended = self.shared.with_files(|files| files.journal.append(commit, row, bytes, remove))?;
        self.commits_since_removal += 1;
        if let Some(row) = appended.removed_through {
            self.removed(row);
        }
        Ok(appended.last_row)
    }

    /// Makes a durable batch visible, in this order: the index, the heads, the hook, the answers.
    fn publish(&mut self, mut batch: Batch<'_>, last_row: u64) {
        let shared = self.shared.clone();
        let bytes = Bytes::from(std::mem::take(&mut batch.bytes));
        let answers = std::mem::take(&mut batch.answers);
        let slices = std::mem::take(&mut batch.slices);
        let Next { commit, row, position, .. } = self.next;
        self.next = Next {
            commit: commit + 1,
            row: last_row + 1,
            position: batch.next_position,
            number: batch.next_number,
        };
        let tail_position = self.next.position - 1;
        shared.unsealed.add(NewCommit {
            commit,
            rows: (row, last_row),
            first_position: position,
            last_position: tail_position,
            bytes,
            changes: std::mem::take(&mut batch.changes),
        });
        let executions = batch.executions;
        shared.slots.publish(batch.into_changed(), last_row);
        shared.counts.published(tail_position, executions);
        shared.sidecar.note(tail_position);
        shared.hook.committed(&Arc::new(Commit { slices, tail_position }));
        answers.send();
        if shared.unsealed.weight() >= shared.seal_plan.start_bytes {
            shared.signals.enough();
        }
    }

    /// The row up to which rows may go, if there may be some.
    fn removable(&self) -> Option<u64> {
        let sealed_row = self.shared.counts.sealed_row.load(Ordering::Acquire);
        (self.removed_row < sealed_row).then_some(sealed_row)
    }

    fn removed(&mut self, row: u64) {
        self.removed_row = self.removed_row.max(row);
        self.commits_since_removal = 0;
    }

    fn remove_when_idle(&mut self) {
        let Some(through) = self.removable() else { return };
        if !self.shared.journal_space.may_write() {
            return;
        }
        // An error has failed the store, or it is closed: the next message says so.
        if let Ok(Some(row)) = self.shared.with_files(|files| files.journal.remove(through)) {
            self.removed(row);
        }
    }
}

/// Requests of one commit, with their bounds.
struct Collected {
    items: Vec<Item>,
    events: usize,
    bytes: usize,
}

impl Collected {
    fn new(first: Item) -> Self {
        let (events, bytes) = (first.job.events(), first.job.bytes());
        Self { items: vec![first], events, bytes }
    }

    fn is_full(&self) -> bool {
        self.events >= COMMIT_EVENTS_MAX || self.bytes >= COMMIT_BYTES_MAX
    }

    fn takes(&self, item: &Item) -> bool {
        self.events + item.job.events() <= COMMIT_EVENTS_MAX
            && self.bytes + item.job.bytes() <= COMMIT_BYTES_MAX
    }

    fn add(&mut self, item: Item) {
        self.events += item.job.events();
        self.bytes += item.job.bytes();
        self.items.push(item);
    }
}

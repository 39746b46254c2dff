//! The unsealed index: which commits the journal holds that the archive does not, where in them the
//! events of each execution stand, and which trims and deletions the archive does not know yet.
//!
//! A commit is added after it is durable and before any head names it; it leaves after the archive
//! has it. So what is not in here is in the archive, and whoever looks here first and there second
//! misses nothing. Nothing is decoded and nothing is read under the lock.

mod index;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use index::Index;

use super::archive::Visibility;
use crate::{ExecutionRef, Position, Producer, Seq};

/// Commits that leave under one hold of the lock.
const COMMITS_AT_ONCE: usize = 64;

/// A durable commit and what is in it.
#[derive(Debug)]
pub(super) struct NewCommit {
    pub(super) commit: u64,
    pub(super) rows: (u64, u64),
    /// The first position; the one that comes next if it has no event.
    pub(super) first_position: Position,
    /// The last position; one less than the first if it has no event.
    pub(super) last_position: Position,
    /// All its record frames.
    pub(super) bytes: Bytes,
    /// In commit order.
    pub(super) changes: Vec<Change>,
}

/// What one request did.
#[derive(Debug)]
pub(super) enum Change {
    Events {
        number: u64,
        execution: Arc<ExecutionRef>,
        run: Run,
    },
    Trimmed {
        number: u64,
        floor_seq: Seq,
        base: Option<Bytes>,
    },
    Deleted {
        number: u64,
    },
    /// Something of an execution of which nothing can be said, because what the archive has of it is damaged.
    Unknown {
        number: u64,
    },
}

/// The events of one append, which stand behind each other in their commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) commit: u64,
    pub(super) first_seq: Seq,
    /// All of them have the same time.
    pub(super) record_time_ns: u64,
    /// Where the first one stands in the commit.
    pub(super) offset: u32,
    pub(super) events: u32,
    /// See [`mark`]; 0 if there is no producer.
    pub(super) mark: u32,
}

impl Run {
    pub(super) fn next_seq(&self) -> Seq {
        self.first_seq + u64::from(self.events)
    }
}

/// Tells the appends of producers apart, most of the time.
pub(super) fn mark(producer: &Producer) -> u32 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::with_seed(producer.epoch);
    hasher.update(&producer.seq.to_le_bytes());
    hasher.update(producer.id.as_bytes());
    (hasher.digest() as u32).max(1)
}

/// Where a commit stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) rows: (u64, u64),
    pub(super) first_position: Position,
    pub(super) last_position: Position,
    /// Length of its record frames.
    pub(super) raw_bytes: usize,
    /// The frames, while they are kept in memory.
    pub(super) bytes: Option<Bytes>,
}

/// The name of an execution, if it has events in here, and what is hidden of it.
pub(super) type Name = (Option<Arc<ExecutionRef>>, Visibility);

/// Changes whenever something leaves the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch(u64);

/// What the index knows of an execution after a cursor.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) epoch: Epoch,
    /// The first seq that is not sealed, if there is one.
    pub(super) first_seq: Option<Seq>,
    /// The runs from the one with the event after the cursor on; none if that event is sealed.
    pub(super) runs: Vec<(Run, Place)>,
}

/// The index. Its lock is held for copying only; no other lock is taken under it.
#[derive(Debug)]
pub(super) struct Unsealed(RwLock<Index>);

impl Unsealed {
    /// An index without commits. The first one to be added has this number, and its events follow
    /// `position_before`.
    pub(super) fn new(next_commit: u64, position_before: Position) -> Self {
        Self(RwLock::new(Index::new(next_commit, position_before)))
    }

    pub(super) fn add(&self, commit: NewCommit) {
        self.write().add(commit);
    }

    /// Everything up to a row is in the archive.
    pub(super) fn sealed(&self, row: u64) {
        while self.write().remove_through(row, COMMITS_AT_ONCE) {}
        self.write().reveal_through(row);
    }

    /// The runs of an execution after a cursor, enough for so many events.
    pub(super) fn after(&self, number: u64, after: Seq, events_max: usize) -> Look {
        self.read().after(number, after, events_max)
    }

    /// The unsealed runs of an execution with this mark, newest first.
    pub(super) fn marked(&self, number: u64, mark: u32) -> Vec<(Run, Place)> {
        self.read().marked(number, mark)
    }

    /// The cursor before the first unsealed event of an execution with a time not before this one, and
    /// the first unsealed seq. `None` in place of either if there is none.
    pub(super) fn cursor_at_time(&self, number: u64, since_ns: u64) -> (Option<Seq>, Option<Seq>) {
        self.read().cursor_at_time(number, since_ns)
    }

    /// The commits with events after a position, enough for so many events; the last position that is
    /// not in here; the epoch.
    pub(super) fn after_position(&self, after: Position, events_max: usize) -> (Vec<Place>, Position, Epoch) {
        self.read().after_position(after, events_max)
    }

    /// The first commits, up to and with the one that passes so many bytes.
    pub(super) fn oldest(&self, bytes_max: usize) -> Vec<Place> {
        self.read().oldest(bytes_max)
    }

    /// What an unsealed trim or deletion hides of an execution.
    pub(super) fn visibility(&self, number: u64) -> Visibility {
        self.read().visibility(number)
    }

    /// Whether an unsealed trim or deletion hides this event. It may be one that no head tells of yet.
    pub(super) fn hides(&self, number: u64, seq: Seq) -> bool {
        self.visibility(number).hides(seq)
    }

    /// Whether an unsealed deletion hides an execution. It may be one that no head tells of yet.
    pub(super) fn is_deleted(&self, number: u64) -> bool {
        matches!(self.visibility(number), Visibility::Deleted)
    }

    /// The base that the last unsealed trim with a base left.
    pub(super) fn base(&self, number: u64) -> Option<Bytes> {
        self.read().base(number)
    }

    /// Looks up the names of executions and what is hidden of them, if nothing has left the index since
    /// `epoch`.
    pub(super) fn names(&self, epoch: Epoch, numbers: impl Iterator<Item = u64>) -> Option<Vec<Name>> {
        let index = self.read();
        let name = |number| (index.name(number), index.visibility(number));
        (index.epoch() == epoch).then(|| numbers.map(name).collect())
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.read().epoch()
    }

    /// Bytes of all record frames in here.
    pub(super) fn bytes(&self) -> u64 {
        self.read().bytes()
    }

    /// What the bounds on the unsealed count: these bytes, and a share for each execution.
    pub(super) fn weight(&self) -> usize {
        self.read().weight()
    }

    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

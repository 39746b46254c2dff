//! What a commit tells the rest of the house: the hook that is called once per durable commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{ExecutionId, LogId, Phase, Position, Seq, StoredEvent};

/// One durable commit: everything that became visible at once, in position order.
#[derive(Debug)]
pub struct Commit {
    /// What happened, one item for each append, creation, trim or deletion, in commit order.
    pub slices: Vec<CommitSlice>,
    /// The last position given out so far, this commit included.
    pub tail_position: Position,
}

/// The part of a commit that concerns one execution.
#[derive(Debug, Clone)]
pub struct CommitSlice {
    /// Which execution.
    pub execution: Arc<ExecutionRef>,
    /// What happened to it.
    pub change: SliceChange,
}

/// Names an execution to readers of all executions.
#[derive(Debug, PartialEq, Eq)]
pub struct ExecutionRef {
    /// Its id.
    pub id: ExecutionId,
    /// Its log.
    pub log_id: LogId,
    /// Its labels, which are fixed at creation.
    pub labels: BTreeMap<String, String>,
}

/// What a commit did to one execution.
#[derive(Debug, Clone)]
pub enum SliceChange {
    /// Events were appended; never empty, seqs and positions contiguous. A creation is a slice whose
    /// first event has seq 1.
    Events {
        /// The events, in order.
        events: Arc<[StoredEvent]>,
        /// The phase after them; terminal if the last event ended the execution.
        phase: Phase,
        /// The error text of the head after them; empty if there is none.
        error: Arc<str>,
    },
    /// Events below `floor_seq` were removed.
    Trimmed {
        /// The first seq that is kept.
        floor_seq: Seq,
    },
    /// The execution was deleted, with all its events.
    Deleted,
}

/// Called by the writer thread after each durable commit, in commit order, before any reply.
///
/// An implementation must return at once: it never waits, never does I/O, never calls the store.
/// When it is called, reads already see the commit.
pub trait CommitHook: Send + Sync + 'static {
    /// `commit` is durable and visible.
    fn committed(&self, commit: &Arc<Commit>);
}

/// A hook for stores that nobody watches.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoHook;

impl CommitHook for NoHook {
    fn committed(&self, _commit: &Arc<Commit>) {}
}

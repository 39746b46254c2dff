//! The states of executions on demand: what the events of a log add up to, brought up to its tail by the
//! events that are new. A bounded number is kept in memory, and files of older states spare a reader the
//! way from the beginning after a restart. All of it is derived: the log alone says what is true, and
//! without memory and files the same states come out, only later.

mod cache;
mod load;
mod snapshot;
mod keeper;

use std::sync::Arc;

use tapeline_storage::{EventStore, ExecutionId, Head, Position, ReadError, Seq};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::execution::fold::Folded;
use crate::execution::invalid::Excess;
use crate::limits::{STATE_LOADS_MAX, STATE_NEAR_EVENTS, TOO_LARGE_PAUSE_FACTOR};
use cache::{Cache, Known, Verdict};

pub use cache::Interest;
pub use keeper::{SnapshotHook, SnapshotKeeper, SnapshotWishes, snapshot_hook};
pub use snapshot::Snapshots;

/// An execution as it is after a certain event.
#[derive(Clone, Debug)]
pub struct State {
    /// The head as it was when the last event was read.
    pub head: Arc<Head>,
    /// What the events up to the tail of that head add up to.
    pub folded: Folded,
    /// The seq of the last event that can have changed something in it.
    pub changed_seq: Seq,
    /// The last event in it.
    mark: Mark,
    /// Bytes of events that were added since a snapshot was written or read.
    bytes_since_snapshot: usize,
    /// The seq of that snapshot, or of the base; 0 without one.
    snapshot_seq: Seq,
}

/// An event without its content; no two logs have the same at the same seq.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark {
    position: Position,
    record_time_ns: u64,
}

/// Why a state cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It is larger than what is held in memory for one execution; its events can still be read.
    #[error("the state takes {} bytes of memory or more, the limit is {}", .0.actual, .0.limit)]
    TooLarge(Excess),
}

/// The states of a store's executions. Cheap to clone.
#[derive(Clone)]
pub struct States(Arc<Shared>);

struct Shared {
    store: Arc<dyn EventStore>,
    cache: Cache,
    snapshots: Arc<Snapshots>,
    /// Places of those who read a log to fold it: a state may be large.
    loads: Semaphore,
}

impl State {
    /// What it takes in memory, in bytes; encoded it is no longer than that.
    pub fn bytes(&self) -> usize {
        self.folded.memory_bytes()
    }
}

impl std::fmt::Debug for States {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("States").finish_non_exhaustive()
    }
}

impl States {
    /// The states of a store, with the snapshots that were left of it.
    pub fn new(store: Arc<dyn EventStore>, snapshots: Arc<Snapshots>) -> Self {
        let (cache, loads) = (Cache::default(), Semaphore::new(STATE_LOADS_MAX));
        Self(Arc::new(Shared { store, cache, snapshots, loads }))
    }

    /// The state at the tail, or behind it if more came meanwhile.
    pub async fn current(&self, execution: &ExecutionId) -> Result<Arc<State>, StateError> {
        self.current_for(execution, Interest::Lasting).await
    }

    /// The same, for somebody who may not ask again.
    pub async fn current_for(
        &self,
        execution: &ExecutionId,
        interest: Interest,
    ) -> Result<Arc<State>, StateError> {
        let head = self.head(execution).await?;
        let entry = self.0.cache.entry(execution, head.execution.log_id, interest);
        let mut known = entry.known.lock().await;
        match &*known {
            Known::State(state) if state.head.tail_seq >= head.tail_seq => return Ok(state.clone()),
            Known::TooLarge(verdict) if verdict.holds(&head) => {
                return Err(StateError::TooLarge(verdict.excess));
            }
            _ => {}
        }
        let _place = self.place_for(&known, &head).await;
        // Whoever goes away in between leaves nothing behind that is half done.
        let state = self.advanced(head, &mut known).await?;
        drop(known);
        self.0.cache.weigh(execution, &entry, state.bytes());
        Ok(state)
    }

    /// A place among those who fold, for what may take long. A state in memory is near the tail as a rule,
    /// and does not wait for others to be read from the beginning.
    async fn place_for(&self, known: &Known, head: &Head) -> Option<SemaphorePermit<'_>> {
        match known {
            Known::State(state) if head.tail_seq - state.head.tail_seq <= STATE_NEAR_EVENTS => None,
            // The semaphore is never closed.
            _ => self.0.loads.acquire().await.ok(),
        }
    }

    /// Brings what is known up to the tail.
    async fn advanced(&self, head: Arc<Head>, known: &mut Known) -> Result<Arc<State>, StateError> {
        let (begun, tail_seq) = (Instant::now(), head.tail_seq);
        let before = match std::mem::take(known) {
            Known::State(state) => Some(state),
            Known::Nothing | Known::TooLarge(_) => None,
        };
        match self.advance(head, before).await {
            Ok(mut state) => {
                let place = self.place_if_due(&mut state);
                let state = Arc::new(state);
                if let Some(place) = place {
                    tokio::spawn(self.clone().write_snapshot(place, state.clone()));
                }
                *known = Known::State(state.clone());
                Ok(state)
            }
            Err(StateError::TooLarge(excess)) => {
                let until = Instant::now() + begun.elapsed() * TOO_LARGE_PAUSE_FACTOR;
                *known = Known::TooLarge(Verdict { excess, tail_seq, until });
                Err(StateError::TooLarge(excess))
            }
            Err(error) => Err(error),
        }
    }

    /// Drops what is in memory of an execution.
    #[cfg(test)]
    pub(super) fn forget(&self, execution: &ExecutionId) {
        self.0.cache.forget(execution);
    }

    async fn head(&self, execution: &ExecutionId) -> Result<Arc<Head>, StateError> {
        let head = self.0.store.head(execution).await;
        if let Err(ReadError::NotFound { .. }) = &head {
            self.0.cache.forget(execution);
        }
        Ok(head?)
    }
}

#[cfg(test)]
mod tests;

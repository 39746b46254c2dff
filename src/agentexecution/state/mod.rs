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
use tokio::sync::Semaphore;

use crate::execution::fold::Folded;
use crate::limits::STATE_LOADS_MAX;
use cache::Cache;

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
    /// Its length at most, as far as it was counted, in bytes.
    bytes: usize,
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
    #[error("the state has {actual} bytes, the limit is {limit}")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
        /// What it has at least, in bytes.
        actual: u64,
    },
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
    /// Its length at most, as it is encoded, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
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
        let head = self.head(execution).await?;
        let entry = self.0.cache.entry(execution, head.execution.log_id);
        let mut kept = entry.state.lock().await;
        if let Some(state) = kept.as_ref().filter(|state| state.head.tail_seq >= head.tail_seq) {
            return Ok(state.clone());
        }
        // The semaphore is never closed.
        let _place = self.0.loads.acquire().await.ok();
        // Whoever goes away in between leaves nothing behind that is half done.
        let mut state = self.advance(head, kept.take()).await?;
        self.snapshot_if_due(&mut state);
        let state = Arc::new(state);
        *kept = Some(state.clone());
        drop(kept);
        self.0.cache.weigh(execution, &entry, state.bytes);
        Ok(state)
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

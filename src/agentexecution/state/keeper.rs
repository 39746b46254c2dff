//! Sees to it that long logs have snapshots though nobody asks for their state, and that a deleted
//! execution leaves none behind. Its hook only notes an id, of one commit in thousands; the work is done
//! aside, a small part of the time. A long log that it misses costs a reader time and nothing else.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tapeline_storage::{
    Commit, CommitHook, CommitSlice, EventStore, ExecutionId, ListQuery, LogId, SliceChange,
};
use tokio::sync::Notify;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::{Interest, Snapshots, States};
use crate::limits::{LIST_PAGE_MAX, SNAPSHOT_EVENTS_MIN, SNAPSHOT_WISHES_MAX};

/// For each second of work so many seconds of rest.
const REST: u32 = 9;
/// The longest rest.
const REST_MAX: Duration = Duration::from_secs(5);

/// What the hook asks for.
#[derive(Debug)]
enum Wish {
    Keep(ExecutionId),
    Forget(ExecutionId, LogId),
}

/// Notes what a commit means for the snapshots, then calls the hook behind it.
pub struct SnapshotHook {
    wishes: Sender<Wish>,
    missed: Arc<Notify>,
    next: Arc<dyn CommitHook>,
}

/// What the hook noted. Full: what comes is not noted, but that a deletion was not.
#[derive(Debug)]
pub struct SnapshotWishes {
    noted: Receiver<Wish>,
    missed: Arc<Notify>,
}

/// A hook in front of another one, and what it will note.
pub fn snapshot_hook(next: Arc<dyn CommitHook>) -> (SnapshotHook, SnapshotWishes) {
    let (wishes, noted) = channel(SNAPSHOT_WISHES_MAX);
    let missed = Arc::new(Notify::new());
    (SnapshotHook { wishes, missed: missed.clone(), next }, SnapshotWishes { noted, missed })
}

impl std::fmt::Debug for SnapshotHook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotHook").finish_non_exhaustive()
    }
}

impl CommitHook for SnapshotHook {
    fn committed(&self, commit: &Arc<Commit>) {
        self.next.committed(commit);
        for wish in commit.slices.iter().filter_map(wish_of) {
            match self.wishes.try_send(wish) {
                // What is left of a deleted execution is looked for.
                Err(TrySendError::Full(Wish::Forget(..))) => self.missed.notify_one(),
                // The next one does the work.
                Err(TrySendError::Full(Wish::Keep(_)) | TrySendError::Closed(_)) | Ok(()) => {}
            }
        }
    }
}

fn wish_of(slice: &CommitSlice) -> Option<Wish> {
    let execution = &slice.execution;
    match &slice.change {
        SliceChange::Events { events, phase, .. } => {
            let (first, last) = (events.first()?.seq, events.last()?.seq);
            let passes = first.saturating_sub(1) / SNAPSHOT_EVENTS_MIN != last / SNAPSHOT_EVENTS_MIN;
            let ends = phase.is_terminal() && last >= SNAPSHOT_EVENTS_MIN;
            (passes || ends).then(|| Wish::Keep(execution.id.clone()))
        }
        SliceChange::Deleted => Some(Wish::Forget(execution.id.clone(), execution.log_id)),
        SliceChange::Trimmed { .. } => None,
    }
}

/// The work aside, until it is dropped.
#[derive(Debug)]
pub struct SnapshotKeeper(tokio::task::JoinHandle<()>);

impl SnapshotKeeper {
    /// Begins with removing what belongs to no execution any more, then does what the hook notes.
    pub fn start(states: States, wishes: SnapshotWishes) -> Self {
        Self(tokio::spawn(async move {
            remove_orphans(&*states.0.store, &states.0.snapshots).await;
            keep(&states, wishes).await;
        }))
    }
}

impl Drop for SnapshotKeeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn keep(states: &States, mut wishes: SnapshotWishes) {
    let mut noted = Vec::new();
    loop {
        tokio::select! {
            count = wishes.noted.recv_many(&mut noted, SNAPSHOT_WISHES_MAX) => match count {
                0 => return,
                _ => fulfil(states, noted.drain(..)).await,
            },
            () = wishes.missed.notified() => {
                let begun = Instant::now();
                remove_orphans(&*states.0.store, &states.0.snapshots).await;
                rest(begun).await;
            }
        }
    }
}

async fn fulfil(states: &States, noted: impl Iterator<Item = Wish>) {
    let mut kept = HashSet::new();
    for wish in noted {
        match wish {
            Wish::Forget(execution, log_id) => {
                states.0.cache.forget(&execution);
                states.0.snapshots.remove(log_id.to_string()).await;
            }
            Wish::Keep(execution) => drop(kept.insert(execution)),
        }
    }
    for execution in kept {
        let begun = Instant::now();
        if let Err(error) = states.current_for(&execution, Interest::Passing).await {
            tracing::debug!(%execution, %error, "no snapshot was made");
        }
        rest(begun).await;
    }
}

/// Work that began then is paid for with a rest.
async fn rest(begun: Instant) {
    tokio::time::sleep((begun.elapsed() * REST).min(REST_MAX)).await;
}

/// Removes the snapshots of executions that are gone.
async fn remove_orphans(store: &dyn EventStore, snapshots: &Arc<Snapshots>) {
    let looking = snapshots.clone();
    let Ok(logs) = tokio::task::spawn_blocking(move || looking.logs()).await else { return };
    let mut orphans: HashSet<String> = logs.into_iter().collect();
    let mut query = ListQuery { heads_max: LIST_PAGE_MAX, ..ListQuery::default() };
    while !orphans.is_empty() {
        let Ok(page) = store.list(query.clone()).await else { return };
        for head in &page.heads {
            orphans.remove(&head.execution.log_id.to_string());
        }
        match page.next_before {
            Some(number) => query.before_number = Some(number),
            None => break,
        }
    }
    for log_id in orphans {
        snapshots.remove(log_id).await;
    }
}

#[cfg(test)]
mod tests;

//! Who watches now, for people to see, for the limit, and for ending all. An entry is a guard: dropping
//! it takes the watcher off the list. It must never hold a watcher up.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Bound;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tapeline_storage::ExecutionId;

use super::clock::now_ns;
use super::error::{EndCause, WatchError};

/// How a watcher gets its events at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum WatcherState {
    /// From the store, and it has not reached the tail yet. Also while its execution does not exist.
    Replaying = 1,
    /// As they are committed.
    Live = 2,
    /// It was too slow to be live, and reads from the store until it has caught up.
    FellBehind = 3,
}

/// One watcher, as it was at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatcherInfo {
    /// Counts the watchers since the start of the daemon, from 1.
    pub number: u64,
    /// Names it while it is connected: `w-1`, `w-2` and so on.
    pub id: String,
    /// The client's address, if it has one.
    pub peer: Option<SocketAddr>,
    /// The execution it watches; `None` for all.
    pub execution: Option<ExecutionId>,
    /// The cursor of the last event it was given, a position on all executions; 0 if none yet.
    pub cursor: u64,
    /// Events between where it has got to and the tail.
    pub lag_events: u64,
    /// How it gets its events.
    pub state: WatcherState,
    /// When it connected, in nanoseconds since 1970-01-01 UTC.
    pub since_ns: u64,
    /// When it last took a frame with events, or connected.
    pub last_progress_ns: u64,
}

/// All watchers.
pub(super) struct Registry {
    watchers_max: usize,
    ending: OnceLock<EndCause>,
    /// Guards the list and the next number. Held for a look-up or a copy of the list only.
    watchers: Mutex<Watchers>,
}

#[derive(Default)]
struct Watchers {
    last_number: u64,
    by_number: BTreeMap<u64, Arc<Facts>>,
}

/// What is known of one watcher; written by its task, read by who lists.
struct Facts {
    peer: Option<SocketAddr>,
    execution: Option<ExecutionId>,
    since_ns: u64,
    state: AtomicU8,
    given: AtomicU64,
    reached: AtomicU64,
    tail: AtomicU64,
    last_progress_ns: AtomicU64,
}

/// A place on the list.
pub(super) struct Entry {
    number: u64,
    facts: Arc<Facts>,
    registry: Arc<Registry>,
}

impl Registry {
    pub(super) fn new(watchers_max: usize) -> Self {
        Self { watchers_max, ending: OnceLock::new(), watchers: Mutex::default() }
    }

    /// Takes a watcher up. Fails when there are too many, or all are being ended.
    pub(super) fn register(
        registry: &Arc<Self>,
        execution: Option<ExecutionId>,
        peer: Option<SocketAddr>,
    ) -> Result<Entry, WatchError> {
        if let Some(cause) = registry.ending() {
            return Err(cause.into());
        }
        let since_ns = now_ns();
        let facts = Arc::new(Facts {
            peer,
            execution,
            since_ns,
            state: AtomicU8::new(WatcherState::Replaying as u8),
            given: AtomicU64::new(0),
            reached: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            last_progress_ns: AtomicU64::new(since_ns),
        });
        let mut watchers = registry.watchers();
        if watchers.by_number.len() >= registry.watchers_max {
            return Err(WatchError::TooManyWatchers { limit: registry.watchers_max });
        }
        watchers.last_number += 1;
        let number = watchers.last_number;
        watchers.by_number.insert(number, Arc::clone(&facts));
        Ok(Entry { number, facts, registry: Arc::clone(registry) })
    }

    /// Why all watches end, if they do.
    pub(super) fn ending(&self) -> Option<EndCause> {
        self.ending.get().copied()
    }

    pub(super) fn end_all(&self, why: EndCause) {
        // Whoever came first has said why.
        let _ = self.ending.set(why);
    }

    pub(super) fn count(&self) -> usize {
        self.watchers().by_number.len()
    }

    /// At most `watchers_max` of those with a higher number than `after`. `tail_of` is asked outside of
    /// the lock.
    pub(super) fn list(
        &self,
        execution: Option<&ExecutionId>,
        after: u64,
        watchers_max: usize,
        tail_of: impl Fn(Option<&ExecutionId>) -> u64,
    ) -> Vec<WatcherInfo> {
        let later = (Bound::Excluded(after), Bound::Unbounded);
        let everybody: Vec<_> = self
            .watchers()
            .by_number
            .range(later)
            .map(|(number, facts)| (*number, Arc::clone(facts)))
            .collect();
        everybody
            .into_iter()
            .filter(|(_, facts)| execution.is_none() || facts.execution.as_ref() == execution)
            .take(watchers_max)
            .map(|(number, facts)| facts.info(number, tail_of(facts.execution.as_ref())))
            .collect()
    }

    fn watchers(&self) -> MutexGuard<'_, Watchers> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    fn info(&self, number: u64, tail: u64) -> WatcherInfo {
        let tail = tail.max(self.tail.load(Ordering::Relaxed));
        let state = match self.state.load(Ordering::Relaxed) {
            state if state == WatcherState::Live as u8 => WatcherState::Live,
            state if state == WatcherState::FellBehind as u8 => WatcherState::FellBehind,
            _ => WatcherState::Replaying,
        };
        WatcherInfo {
            number,
            id: format!("w-{number}"),
            peer: self.peer,
            execution: self.execution.clone(),
            cursor: self.given.load(Ordering::Relaxed),
            lag_events: tail.saturating_sub(self.reached.load(Ordering::Relaxed)),
            state,
            since_ns: self.since_ns,
            last_progress_ns: self.last_progress_ns.load(Ordering::Relaxed),
        }
    }
}

impl Entry {
    pub(super) fn is_now(&self, state: WatcherState) {
        self.facts.state.store(state as u8, Ordering::Relaxed);
    }

    /// A frame with events up to `cursor` was taken.
    pub(super) fn was_given(&self, cursor: u64) {
        self.facts.given.store(cursor, Ordering::Relaxed);
        self.facts.last_progress_ns.store(now_ns(), Ordering::Relaxed);
    }

    /// Everything up to `cursor` was given or not wanted.
    pub(super) fn has_reached(&self, cursor: u64) {
        self.facts.reached.store(cursor, Ordering::Relaxed);
    }

    /// The tail was seen here.
    pub(super) fn has_seen_tail(&self, tail: u64) {
        self.facts.tail.fetch_max(tail, Ordering::Relaxed);
    }
}

/// A watcher of another kind than a `WatchStream`, on the list until it is dropped.
pub struct Watcher(Entry);

impl From<Entry> for Watcher {
    fn from(entry: Entry) -> Self {
        Self(entry)
    }
}

impl Watcher {
    /// It was given everything up to `cursor`, as it happens.
    pub fn was_given(&self, cursor: u64) {
        self.0.is_now(WatcherState::Live);
        self.0.was_given(cursor);
        self.0.has_reached(cursor);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.watchers().by_number.remove(&self.number);
    }
}

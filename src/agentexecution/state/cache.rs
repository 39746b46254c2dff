//! The states that are kept in memory: so many, and so many bytes of them. More: the one that was asked
//! for longest ago goes, but never the newest, however large it is. Whoever asks in passing drives nothing
//! out. It must never be waited for.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use tapeline_storage::{ExecutionId, Head, LogId, Seq};
use tokio::time::Instant;

use super::State;
use crate::execution::invalid::Excess;
use crate::limits::{STATES_BYTES_MAX, STATES_MAX};

/// Whether whoever asks for a state is about to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// It is kept, and others go for it.
    Lasting,
    /// It is kept while there is room, and is the first to go.
    Passing,
}

/// The place of one execution. It outlives the cache's interest for whoever holds it.
#[derive(Debug)]
pub(super) struct Entry {
    log_id: LogId,
    /// Held while the state is brought up to the tail, so that one does it for all who ask.
    pub(super) known: tokio::sync::Mutex<Known>,
}

/// What is known of an execution's state.
#[derive(Debug, Default)]
pub(super) enum Known {
    #[default]
    Nothing,
    State(Arc<State>),
    TooLarge(Verdict),
}

/// A state was too large at a tail. It is not folded again while the tail is the same, nor, whatever the
/// tail, before some time has passed.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) excess: Excess,
    pub(super) tail_seq: Seq,
    pub(super) until: Instant,
}

impl Verdict {
    pub(super) fn holds(&self, head: &Head) -> bool {
        self.tail_seq == head.tail_seq || Instant::now() < self.until
    }
}

/// All places.
#[derive(Debug)]
pub(super) struct Cache {
    /// Guards the list and the sum. Held for a look-up only; no other lock is taken under it.
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    entries: LruCache<ExecutionId, Weighed>,
    bytes: usize,
}

#[derive(Debug)]
struct Weighed {
    entry: Arc<Entry>,
    bytes: usize,
}

impl Default for Cache {
    fn default() -> Self {
        let entries = LruCache::new(NonZeroUsize::new(STATES_MAX).expect("the limit is not zero"));
        Self { kept: Mutex::new(Kept { entries, bytes: 0 }) }
    }
}

impl Cache {
    /// The place of an execution, a new one if there is none or it is of another log.
    pub(super) fn entry(&self, execution: &ExecutionId, log_id: LogId, interest: Interest) -> Arc<Entry> {
        let mut kept = self.kept();
        let present = match interest {
            Interest::Lasting => kept.entries.get(execution),
            Interest::Passing => kept.entries.peek(execution),
        };
        if let Some(weighed) = present.filter(|weighed| weighed.entry.log_id == log_id) {
            return weighed.entry.clone();
        }
        let entry = Arc::new(Entry { log_id, known: tokio::sync::Mutex::default() });
        kept.put(execution.clone(), Weighed { entry: entry.clone(), bytes: 0 }, interest);
        entry
    }

    /// Notes how large the state in a place has become, and makes room.
    pub(super) fn weigh(&self, execution: &ExecutionId, entry: &Arc<Entry>, bytes: usize) {
        let mut kept = self.kept();
        let Some(weighed) = kept.entries.peek_mut(execution) else { return };
        if !Arc::ptr_eq(&weighed.entry, entry) {
            return;
        }
        let before = std::mem::replace(&mut weighed.bytes, bytes);
        kept.bytes = kept.bytes - before + bytes;
        while kept.bytes > STATES_BYTES_MAX && kept.entries.len() > 1 {
            kept.drop_oldest();
        }
    }

    /// Drops what is kept of an execution.
    pub(super) fn forget(&self, execution: &ExecutionId) {
        let mut kept = self.kept();
        if let Some(weighed) = kept.entries.pop(execution) {
            kept.bytes -= weighed.bytes;
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn put(&mut self, execution: ExecutionId, weighed: Weighed, interest: Interest) {
        if interest == Interest::Passing {
            // The first that would go is taken first, so that no other goes.
            if self.entries.len() == STATES_MAX {
                return;
            }
            self.push(execution.clone(), weighed);
            self.entries.demote(&execution);
        } else {
            self.push(execution, weighed);
        }
    }

    fn push(&mut self, execution: ExecutionId, weighed: Weighed) {
        if let Some((_, old)) = self.entries.push(execution, weighed) {
            self.bytes -= old.bytes;
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, old)) = self.entries.pop_lru() {
            self.bytes -= old.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> ExecutionId {
        ExecutionId::parse(&format!("e{number}")).expect("an id")
    }

    /// How many states, and their bytes.
    fn kept_by(cache: &Cache) -> (usize, usize) {
        let kept = cache.kept();
        (kept.entries.len(), kept.bytes)
    }

    #[test]
    fn no_more_states_are_kept_than_the_limits_say_and_the_newest_always_is() {
        let (cache, log) = (Cache::default(), LogId::generate());
        for number in 0..STATES_MAX + 10 {
            let entry = cache.entry(&id(number), log, Interest::Lasting);
            cache.weigh(&id(number), &entry, 1);
        }
        assert_eq!(kept_by(&cache), (STATES_MAX, STATES_MAX));
        let large = cache.entry(&id(0), log, Interest::Lasting);
        cache.weigh(&id(0), &large, STATES_BYTES_MAX + 1);
        assert_eq!(kept_by(&cache), (1, STATES_BYTES_MAX + 1));
        assert!(Arc::ptr_eq(&cache.entry(&id(0), log, Interest::Lasting), &large), "the newest one went");
        cache.forget(&id(0));
        assert_eq!(kept_by(&cache), (0, 0));
    }

    #[test]
    fn what_is_asked_for_in_passing_is_kept_while_there_is_room_and_drives_nothing_out() {
        let (cache, log) = (Cache::default(), LogId::generate());
        let running = cache.entry(&id(0), log, Interest::Lasting);
        cache.weigh(&id(0), &running, STATES_BYTES_MAX - 10);
        let listed = cache.entry(&id(1), log, Interest::Passing);
        cache.weigh(&id(1), &listed, 10);
        assert_eq!(kept_by(&cache), (2, STATES_BYTES_MAX));
        for number in 2..10 {
            let entry = cache.entry(&id(number), log, Interest::Passing);
            cache.weigh(&id(number), &entry, 1_000);
        }
        assert!(Arc::ptr_eq(&cache.entry(&id(0), log, Interest::Passing), &running), "the running one went");
        for number in 10..STATES_MAX + 10 {
            cache.entry(&id(number), log, Interest::Lasting);
        }
        let oldest = cache.entry(&id(10), log, Interest::Passing);
        cache.entry(&id(STATES_MAX + 10), log, Interest::Passing);
        assert!(Arc::ptr_eq(&cache.entry(&id(10), log, Interest::Passing), &oldest), "one went for a place");
        assert_eq!(kept_by(&cache).0, STATES_MAX);
    }

    #[test]
    fn another_log_has_another_place() {
        let cache = Cache::default();
        let (old_log, new_log) = (LogId::generate(), LogId::generate());
        let old = cache.entry(&id(1), old_log, Interest::Lasting);
        cache.weigh(&id(1), &old, 7);
        let new = cache.entry(&id(1), new_log, Interest::Lasting);
        assert!(!Arc::ptr_eq(&old, &new));
        assert_eq!(cache.kept().bytes, 0, "the old one still counts");
        cache.weigh(&id(1), &old, 100);
        assert_eq!(cache.kept().bytes, 0, "one that is gone was counted");
    }
}

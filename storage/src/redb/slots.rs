//! Slots: where the heads of executions stand while somebody works with them. One id never has two
//! slots at a time: a slot that is dirty, or that anybody holds, is never dropped.
//!
//! A slot is dirty while a commit that changed it is not sealed. Clean ones are as the archive knows
//! them and are kept up to [`CLEAN_SLOTS_MAX`]; full: the one used longest ago goes and is read again
//! later. Whoever misses one reads the archive, never under the lock, and never on the writer's thread.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::archive::Archived;
use crate::limits::CLEAN_SLOTS_MAX;
use crate::{ExecutionId, Head, ReadError};

/// Clean slots that are looked at for being held, besides two for each that is to go.
const MORE_LOOKS: usize = 16;

/// What is known of an id.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// No execution has ever had it.
    Absent,
    /// The head of its execution.
    Present(Arc<Head>),
    /// Its execution was deleted.
    Deleted {
        /// The number it had.
        number: u64,
    },
    /// What is stored of its execution is damaged: nothing can be said of it.
    Damaged {
        /// The number of the execution.
        number: u64,
        /// What is wrong.
        what: Arc<str>,
    },
}

impl State {
    /// The head, if the execution is there.
    pub(super) fn head(&self) -> Option<&Arc<Head>> {
        match self {
            Self::Present(head) => Some(head),
            Self::Absent | Self::Deleted { .. } | Self::Damaged { .. } => None,
        }
    }

    /// Why there is no head, for who wanted that of this id.
    pub(super) fn no_head(&self, id: &ExecutionId) -> ReadError {
        let execution = id.clone();
        match self {
            Self::Damaged { what, .. } => {
                ReadError::Corrupt { execution: Some(execution), seq: 0, position: 0, what: what.to_string() }
            }
            Self::Deleted { .. } => ReadError::NotFound { execution, deleted: true },
            Self::Absent | Self::Present(_) => ReadError::NotFound { execution, deleted: false },
        }
    }

    fn number(&self) -> Option<u64> {
        match self {
            Self::Absent => None,
            Self::Present(head) => Some(head.number),
            Self::Deleted { number } | Self::Damaged { number, .. } => Some(*number),
        }
    }
}

impl From<Archived> for State {
    fn from(archived: Archived) -> Self {
        match archived {
            Archived::Absent => Self::Absent,
            Archived::Deleted { number } => Self::Deleted { number },
            Archived::Present(head) => Self::Present(Arc::from(head)),
        }
    }
}

/// The place of one id.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) id: ExecutionId,
    /// As of the last commit. Held for a copy only; no other lock is taken under it.
    state: Mutex<State>,
}

impl Slot {
    fn new(id: ExecutionId, state: State) -> Arc<Self> {
        Arc::new(Self { id, state: Mutex::new(state) })
    }

    pub(super) fn state(&self) -> State {
        self.lock().clone()
    }

    pub(super) fn head(&self) -> Option<Arc<Head>> {
        self.lock().head().cloned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Assignments only are made under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of sealings that were told to the slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch(u64);

/// All slots.
#[derive(Debug)]
pub(super) struct Slots {
    /// Guards the maps. The lock of a slot may be taken under it, never the other way round.
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    epoch: u64,
    clean_max: usize,
    clean: LruCache<ExecutionId, Arc<Slot>>,
    dirty: HashMap<ExecutionId, Dirty>,
    /// The dirty ones by number, for lists.
    by_number: BTreeMap<u64, Arc<Slot>>,
}

#[derive(Debug)]
struct Dirty {
    slot: Arc<Slot>,
    /// The last journal row that changed it.
    row: u64,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self::with_room_for(CLEAN_SLOTS_MAX)
    }

    fn with_room_for(clean_max: usize) -> Self {
        let (dirty, by_number) = (HashMap::new(), BTreeMap::new());
        Self {
            inner: Mutex::new(Inner { epoch: 0, clean_max, clean: LruCache::unbounded(), dirty, by_number }),
        }
    }

    /// The slot of an id, if it is here; else the epoch at which the archive must be asked.
    pub(super) fn get(&self, id: &ExecutionId) -> Result<Arc<Slot>, Epoch> {
        let mut inner = self.lock();
        inner.find(id).ok_or(Epoch(inner.epoch))
    }

    /// Makes a slot of what the archive was found to know since `epoch`. `None` if something was
    /// sealed meanwhile, so that what was found may be old: ask again.
    pub(super) fn insert(&self, id: &ExecutionId, found: Archived, epoch: Epoch) -> Option<Arc<Slot>> {
        let mut inner = self.lock();
        if let Some(slot) = inner.find(id) {
            return Some(slot);
        }
        if Epoch(inner.epoch) != epoch {
            return None;
        }
        let slot = Slot::new(id.clone(), found.into());
        inner.clean.put(id.clone(), slot.clone());
        inner.evict();
        Some(slot)
    }

    /// Makes the states that a commit left visible. `row` is its last journal row.
    pub(super) fn publish(&self, changed: impl IntoIterator<Item = (Arc<Slot>, State)>, row: u64) {
        let mut inner = self.lock();
        for (slot, state) in changed {
            let number = state.number();
            *slot.lock() = state;
            inner.clean.pop(&slot.id);
            if let Some(number) = number {
                inner.by_number.insert(number, slot.clone());
            }
            inner.dirty.insert(slot.id.clone(), Dirty { slot, row });
        }
    }

    /// Takes a state from the journal at the start.
    pub(super) fn restore(&self, id: ExecutionId, state: State, row: u64) {
        self.publish([(Slot::new(id, State::Absent), state)], row);
    }

    /// Everything up to a journal row is in the archive now.
    pub(super) fn sealed(&self, row: u64) {
        let mut inner = self.lock();
        inner.epoch += 1;
        let Inner { clean, dirty, by_number, .. } = &mut *inner;
        for (id, Dirty { slot, .. }) in dirty.extract_if(|_, dirty| dirty.row <= row) {
            if let Some(number) = slot.lock().number() {
                by_number.remove(&number);
            }
            clean.put(id, slot);
        }
        inner.evict();
    }

    /// What is stored of an execution was found to be damaged: whoever wants its head from now on is told.
    /// A commit that is on its way may still bring it back, until its sealing finds the same.
    pub(super) fn damaged(&self, number: u64, what: &str) {
        let inner = self.lock();
        if let Some(slot) = inner.by_number.get(&number) {
            *slot.lock() = State::Damaged { number, what: Arc::from(what) };
        }
    }

    /// The newest dirty slots with a number below `before`, at most `count`.
    pub(super) fn newest_dirty(&self, before: u64, count: usize) -> Vec<(u64, Arc<Slot>)> {
        let inner = self.lock();
        let newest = inner.by_number.range(..before).rev().take(count);
        newest.map(|(number, slot)| (*number, slot.clone())).collect()
    }

    /// The dirty slot of the execution with this number.
    pub(super) fn dirty(&self, number: u64) -> Option<Arc<Slot>> {
        self.lock().by_number.get(&number).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn find(&mut self, id: &ExecutionId) -> Option<Arc<Slot>> {
        match self.dirty.get(id) {
            Some(dirty) => Some(dirty.slot.clone()),
            None => self.clean.get(id).cloned(),
        }
    }

    /// Drops clean slots that are too many. One that is held elsewhere stays: under this lock nobody
    /// can begin to hold one that nobody holds.
    fn evict(&mut self) {
        // If most are held, it is not looked at all of them for each that comes: they may be too many
        // for a while.
        let mut looks = 2 * self.clean.len().saturating_sub(self.clean_max) + MORE_LOOKS;
        while self.clean.len() > self.clean_max && looks > 0 {
            looks -= 1;
            let Some((id, slot)) = self.clean.pop_lru() else { return };
            if Arc::strong_count(&slot) > 1 {
                self.clean.put(id, slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Creation, LogId};

    fn id(text: &str) -> ExecutionId {
        ExecutionId::parse(text).expect("an id")
    }

    fn present(number: u64, text: &str) -> State {
        let labels = BTreeMap::new();
        State::Present(Arc::new(Head::new(&Creation {
            number,
            id: id(text),
            log_id: LogId(1),
            digest: 0,
            labels,
        })))
    }

    fn load(slots: &Slots, text: &str) -> Arc<Slot> {
        let epoch = slots.get(&id(text)).expect_err("it is not here");
        slots.insert(&id(text), Archived::Absent, epoch).expect("nothing was sealed meanwhile")
    }

    #[test]
    fn clean_slots_are_bounded_and_one_that_is_held_is_never_dropped() {
        let slots = Slots::with_room_for(2);
        let held = load(&slots, "held");
        for number in 0..10 {
            load(&slots, &format!("e{number}"));
        }
        let again = slots.get(&id("held")).expect("it is here as long as it is held");
        assert!(Arc::ptr_eq(&held, &again), "one id never has two slots");
        assert!(slots.get(&id("e0")).is_err());
        drop((held, again));
        for number in 0..10 {
            drop(
                slots
                    .get(&id(&format!("e{number}")))
                    .or_else(|_| Ok::<_, Epoch>(load(&slots, &format!("e{number}")))),
            );
        }
        assert!(slots.get(&id("held")).is_err(), "nobody holds it any more");
    }

    #[test]
    fn dirty_slots_stay_until_they_are_sealed_and_are_listed_by_number() {
        let slots = Slots::with_room_for(1);
        for (number, text) in [(1, "a"), (2, "b"), (3, "c")] {
            let slot = load(&slots, text);
            slots.publish([(slot, present(number, text))], 10 + number);
        }
        for number in 0..5 {
            load(&slots, &format!("e{number}"));
        }
        let numbers =
            |before| slots.newest_dirty(before, 2).iter().map(|(number, _)| *number).collect::<Vec<_>>();
        assert_eq!((numbers(u64::MAX), numbers(3)), (vec![3, 2], vec![2, 1]));
        slots.sealed(12);
        assert_eq!(numbers(u64::MAX), [3]);
        assert!(slots.dirty(2).is_none());
        assert_eq!(slots.dirty(3).expect("not sealed").head().expect("present").number, 3);
        // Which of the two that became clean at once is chance.
        let kept = ["a", "b"].iter().filter(|text| slots.get(&id(text)).is_ok()).count();
        assert_eq!(kept, 1, "clean ones are dropped down to the room there is");
    }

    #[test]
    fn what_the_archive_said_before_a_sealing_is_not_taken_after_it() {
        let slots = Slots::new();
        let epoch = slots.get(&id("a")).expect_err("it is not here");
        slots.sealed(1);
        assert!(slots.insert(&id("a"), Archived::Absent, epoch).is_none(), "ask again");
        let epoch = slots.get(&id("a")).expect_err("it is not here");
        let first = slots.insert(&id("a"), Archived::Absent, epoch).expect("nothing was sealed");
        let second = slots.insert(&id("a"), Archived::Deleted { number: 1 }, epoch).expect("it is here");
        assert!(Arc::ptr_eq(&first, &second), "who comes second gets the slot of the first");
    }
}

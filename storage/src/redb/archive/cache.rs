//! What many readers share and is dear to load, the decompressed generations: a bounded number, each
//! loaded once however many want it. Full: the one that nobody reads and that was used longest ago
//! goes; if all are being read, who wants another waits until one of them is given back. So a reader
//! must never hold two.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::super::error::EngineError;
use crate::Position;

/// Shares up to `capacity` values, each under the first position it is about.
#[derive(Debug)]
pub(super) struct SharedCache<T> {
    capacity: usize,
    /// Guards the list only, never held while loading. No other lock is taken under it.
    inner: Mutex<Inner<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Inner<T> {
    entries: Vec<Entry<T>>,
    uses: u64,
}

#[derive(Debug)]
struct Entry<T> {
    first_position: Position,
    /// The number of removals that the archive had seen before this was loaded.
    removals: u64,
    /// `None` while it is being loaded.
    value: Option<Arc<T>>,
    readers: usize,
    last_use: u64,
}

/// A value that keeps its place in the cache until this is dropped.
#[derive(Debug)]
pub(super) struct Shared<'a, T> {
    cache: &'a SharedCache<T>,
    first_position: Position,
    value: Arc<T>,
}

/// A place in the cache for a value that is being loaded; given back if that fails.
struct Loading<'a, T> {
    cache: &'a SharedCache<T>,
    first_position: Position,
    done: bool,
}

impl<T> SharedCache<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, inner: Mutex::new(Inner { entries: Vec::new(), uses: 0 }), changed: Condvar::new() }
    }

    /// The value under a position, not loaded before there were so many `removals`. Waits while another caller
    /// loads it, or while every place is in use.
    pub(super) fn get(
        &self,
        first_position: Position,
        removals: u64,
        load: impl FnOnce() -> Result<T, EngineError>,
    ) -> Result<Shared<'_, T>, EngineError> {
        let mut inner = self.lock();
        loop {
            if let Some(value) = inner.take_reader(first_position, removals) {
                return Ok(Shared { cache: self, first_position, value });
            }
            if inner.reserve(first_position, removals, self.capacity) {
                break;
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        drop(inner);
        let mut loading = Loading { cache: self, first_position, done: false };
        let value = Arc::new(load()?);
        loading.done = true;
        self.lock().loaded(first_position, &value);
        self.changed.notify_all();
        Ok(Shared { cache: self, first_position, value })
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        // Nothing under this lock can be left half done by a panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Inner<T> {
    fn entry(&mut self, first_position: Position) -> Option<&mut Entry<T>> {
        self.entries.iter_mut().find(|entry| entry.first_position == first_position)
    }

    /// The value, if it is loaded and new enough; counts a reader.
    fn take_reader(&mut self, first_position: Position, removals: u64) -> Option<Arc<T>> {
        self.uses += 1;
        let uses = self.uses;
        let entry = self.entry(first_position).filter(|entry| entry.removals >= removals)?;
        let value = entry.value.clone()?;
        entry.readers += 1;
        entry.last_use = uses;
        Some(value)
    }

    /// Makes a place for a value that is to be loaded; `false` if the caller must wait.
    fn reserve(&mut self, first_position: Position, removals: u64, capacity: usize) -> bool {
        if let Some(entry) = self.entry(first_position) {
            // Being loaded, or too old: then its last reader makes way.
            if entry.value.is_none() || entry.readers > 0 {
                return false;
            }
            self.entries.retain(|entry| entry.first_position != first_position);
        }
        if self.entries.len() >= capacity {
            let idle = self.entries.iter().enumerate().filter(|(_, entry)| entry.is_idle());
            let Some((oldest, _)) = idle.min_by_key(|(_, entry)| entry.last_use) else { return false };
            self.entries.swap_remove(oldest);
        }
        let last_use = self.uses;
        self.entries.push(Entry { first_position, removals, value: None, readers: 0, last_use });
        true
    }

    /// Puts a loaded value into its place, with one reader.
    fn loaded(&mut self, first_position: Position, value: &Arc<T>) {
        if let Some(entry) = self.entry(first_position) {
            entry.value = Some(value.clone());
            entry.readers = 1;
        }
    }
}

impl<T> Entry<T> {
    fn is_idle(&self) -> bool {
        self.value.is_some() && self.readers == 0
    }
}

impl<T> std::ops::Deref for Shared<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for Shared<'_, T> {
    fn drop(&mut self) {
        if let Some(entry) = self.cache.lock().entry(self.first_position) {
            entry.readers = entry.readers.saturating_sub(1);
        }
        self.cache.changed.notify_all();
    }
}

impl<T> Drop for Loading<'_, T> {
    fn drop(&mut self) {
        if !self.done {
            let first_position = self.first_position;
            self.cache.lock().entries.retain(|entry| entry.first_position != first_position);
            self.cache.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use super::*;

    fn wait_until(what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !condition() {
            assert!(Instant::now() < deadline, "{what} did not happen");
            std::thread::yield_now();
        }
    }

    #[test]
    fn however_many_want_a_value_it_is_loaded_once() {
        let cache = SharedCache::new(2);
        let (loads, barrier) = (AtomicUsize::new(0), Barrier::new(8));
        let reader = || {
            barrier.wait();
            let load = || Ok(loads.fetch_add(1, Ordering::SeqCst));
            *cache.get(1, 0, load).expect("loading cannot fail")
        };
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..8).map(|_| scope.spawn(reader)).collect();
            let values: Vec<usize> =
                readers.into_iter().map(|reader| reader.join().expect("no panic")).collect();
            assert_eq!(values, [0; 8]);
        });
    }

    #[test]
    fn who_wants_one_more_than_there_are_places_waits_for_a_place() {
        let cache = SharedCache::new(2);
        let first = cache.get(1, 0, || Ok("first")).expect("there is room");
        let _second = cache.get(2, 0, || Ok("second")).expect("there is room");
        let loaded = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let third = cache.get(3, 0, || Ok("third")).expect("a place comes free");
                loaded.store(1, Ordering::SeqCst);
                assert_eq!(*third, "third");
            });
            // The third can only be there after the first was given back: it never is before.
            for _ in 0..1_000 {
                assert_eq!(loaded.load(Ordering::SeqCst), 0);
                std::thread::yield_now();
            }
            drop(first);
            wait_until("the third being loaded", || loaded.load(Ordering::SeqCst) == 1);
        });
        assert_eq!(cache.lock().entries.len(), 2);
    }

    #[test]
    fn a_value_from_before_a_removal_is_loaded_again() {
        let cache = SharedCache::new(2);
        assert_eq!(*cache.get(1, 0, || Ok("old")).expect("loads"), "old");
        assert_eq!(*cache.get(1, 0, || Ok("new")).expect("loads"), "old");
        assert_eq!(*cache.get(1, 1, || Ok("new")).expect("loads"), "new");
    }

    #[test]
    fn a_failed_load_gives_its_place_back() {
        let cache: SharedCache<&str> = SharedCache::new(1);
        let failed = cache.get(1, 0, || Err(EngineError::corrupt(0, 0, 0, "a wrong byte")));
        assert!(failed.is_err());
        assert!(cache.lock().entries.is_empty());
        assert_eq!(*cache.get(2, 0, || Ok("fine")).expect("there is room"), "fine");
    }
}

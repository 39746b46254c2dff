//! The decompressed generations that readers of all executions share: a bounded number, each loaded
//! once however many want it. Full: the one that nobody reads and that was used longest ago goes; if
//! all are being read, who wants another waits until a page is done. A reader holds one at a time.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::super::error::EngineError;
use super::generation::Generation;
use crate::Position;

/// Shares up to `capacity` generations.
#[derive(Debug)]
pub(super) struct GenerationCache {
    capacity: usize,
    /// Guards the list only, never held while loading. No other lock is taken under it.
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    entries: Vec<Entry>,
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    first_position: Position,
    /// The number of removals that the archive had seen before this was loaded.
    removals: u64,
    /// `None` while it is being loaded.
    generation: Option<Arc<Generation>>,
    readers: usize,
    last_use: u64,
}

/// A generation that stays in the cache until this is dropped.
#[derive(Debug)]
pub(super) struct Shared<'a> {
    cache: &'a GenerationCache,
    pub(super) generation: Arc<Generation>,
}

/// A place in the cache for a generation that is being loaded; given back if that fails.
struct Loading<'a> {
    cache: &'a GenerationCache,
    first_position: Position,
    done: bool,
}

impl GenerationCache {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, inner: Mutex::default(), changed: Condvar::new() }
    }

    /// The generation that begins at a position, not older than `removals`. Waits while another caller
    /// loads it, or while every place is in use.
    pub(super) fn get(
        &self,
        first_position: Position,
        removals: u64,
        load: impl FnOnce() -> Result<Generation, EngineError>,
    ) -> Result<Shared<'_>, EngineError> {
        let mut inner = self.lock();
        loop {
            if let Some(generation) = inner.take_reader(first_position, removals) {
                return Ok(Shared { cache: self, generation });
            }
            if inner.reserve(first_position, removals, self.capacity) {
                break;
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        drop(inner);
        let mut loading = Loading { cache: self, first_position, done: false };
        let generation = Arc::new(load()?);
        loading.done = true;
        self.lock().loaded(first_position, &generation);
        self.changed.notify_all();
        Ok(Shared { cache: self, generation })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing under this lock can be left half done by a panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn entry(&mut self, first_position: Position) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.first_position == first_position)
    }

    /// The generation, if it is loaded and new enough; counts a reader.
    fn take_reader(&mut self, first_position: Position, removals: u64) -> Option<Arc<Generation>> {
        self.uses += 1;
        let uses = self.uses;
        let entry = self.entry(first_position).filter(|entry| entry.removals >= removals)?;
        let generation = entry.generation.clone()?;
        entry.readers += 1;
        entry.last_use = uses;
        Some(generation)
    }

    /// Makes a place for a generation that is to be loaded; `false` if the caller must wait.
    fn reserve(&mut self, first_position: Position, removals: u64, capacity: usize) -> bool {
        if let Some(entry) = self.entry(first_position) {
            // Being loaded, or too old: then its last reader makes way.
            if entry.generation.is_none() || entry.readers > 0 {
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
        self.entries.push(Entry { first_position, removals, generation: None, readers: 0, last_use });
        true
    }

    /// Puts a loaded generation into its place, with one reader.
    fn loaded(&mut self, first_position: Position, generation: &Arc<Generation>) {
        if let Some(entry) = self.entry(first_position) {
            entry.generation = Some(generation.clone());
            entry.readers = 1;
        }
    }
}

impl Entry {
    fn is_idle(&self) -> bool {
        self.generation.is_some() && self.readers == 0
    }
}

impl Drop for Shared<'_> {
    fn drop(&mut self) {
        let first_position = self.generation.span.first_position;
        if let Some(entry) = self.cache.lock().entry(first_position) {
            entry.readers = entry.readers.saturating_sub(1);
        }
        self.cache.changed.notify_all();
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        if !self.done {
            let first_position = self.first_position;
            self.cache.lock().entries.retain(|entry| entry.first_position != first_position);
            self.cache.changed.notify_all();
        }
    }
}

//! What those share who deal with the same execution at the same time. The first who comes has it made, and it
//! goes with the last of them. It must never hold its lock while anything of a user's is dropped.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tapeline_storage::ExecutionId;

/// What is shared, by execution. Cheap to clone.
#[derive(Debug)]
pub(crate) struct SharedByExecution<T>(Arc<Places<T>>);

/// Guards the list only; no other lock is taken under it, and no place is dropped.
type Places<T> = Mutex<HashMap<ExecutionId, Weak<Place<T>>>>;

/// What those share who deal with one execution.
#[derive(Debug)]
pub(crate) struct Place<T> {
    execution: ExecutionId,
    places: Weak<Places<T>>,
    shared: T,
}

impl<T> Default for SharedByExecution<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for SharedByExecution<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> SharedByExecution<T> {
    /// What is shared of this execution now, if anybody deals with it.
    pub(crate) fn present(&self, execution: &ExecutionId) -> Option<Arc<Place<T>>> {
        lock(&self.0).get(execution).and_then(Weak::upgrade)
    }

    /// The same, made if nobody deals with it.
    pub(crate) fn of(&self, execution: &ExecutionId, make: impl FnOnce() -> T) -> Arc<Place<T>> {
        let mut places = lock(&self.0);
        if let Some(place) = places.get(execution).and_then(Weak::upgrade) {
            return place;
        }
        let (execution, shared) = (execution.clone(), make());
        let place = Arc::new(Place { execution: execution.clone(), places: Arc::downgrade(&self.0), shared });
        places.insert(execution, Arc::downgrade(&place));
        place
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }
}

impl<T> Deref for Place<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.shared
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        let Some(places) = self.places.upgrade() else { return };
        let mut places = lock(&places);
        // A newer one may stand in its place.
        if places.get(&self.execution).is_some_and(|place| place.strong_count() == 0) {
            places.remove(&self.execution);
        }
    }
}

fn lock<T>(places: &Places<T>) -> MutexGuard<'_, HashMap<ExecutionId, Weak<Place<T>>>> {
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The order of the appends of one stream: behind one that failed none is written, and those before it
//! are written whatever became of it. Decided by numbers alone, so it does not matter who looks when.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Gives the appends of one stream their places.
#[derive(Debug)]
pub struct AppendOrder {
    first_failed: Arc<AtomicU64>,
    next: AtomicU64,
}

/// The place of one append in its stream.
#[derive(Clone, Debug)]
pub struct AppendPlace {
    first_failed: Arc<AtomicU64>,
    index: u64,
}

impl Default for AppendOrder {
    fn default() -> Self {
        Self { first_failed: Arc::new(AtomicU64::new(u64::MAX)), next: AtomicU64::new(0) }
    }
}

impl AppendOrder {
    /// The place behind all that were given.
    pub fn next(&self) -> AppendPlace {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        AppendPlace { first_failed: self.first_failed.clone(), index }
    }
}

impl AppendPlace {
    /// Whether an append before this one has failed, so that this one must not be written.
    pub fn is_behind_failed(&self) -> bool {
        self.first_failed.load(Ordering::Acquire) < self.index
    }

    /// This append has failed.
    pub fn failed(&self) {
        self.first_failed.fetch_min(self.index, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_behind_a_failed_append_is_refused_whoever_fails_first() {
        let order = AppendOrder::default();
        let places: Vec<_> = (0..4).map(|_| order.next()).collect();
        let refused = || places.iter().map(AppendPlace::is_behind_failed).collect::<Vec<_>>();
        assert_eq!(refused(), [false; 4]);
        places[2].failed();
        assert_eq!(refused(), [false, false, false, true]);
        places[1].failed();
        places[3].failed();
        assert_eq!(refused(), [false, false, true, true]);
    }
}

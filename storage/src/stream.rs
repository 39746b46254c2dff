//! The order of the appends of one stream: behind one that failed none is written, and those before it
//! are written whatever became of it. Decided by numbers alone, so it does not matter who looks when.
//!
//! Whether an append that is older than its producer's last one failed is found out off the writer's
//! thread. As long as that is open, the writer must take nothing new of the stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Gives the appends of one stream their places.
#[derive(Debug, Default)]
pub struct AppendOrder {
    fate: Arc<Fate>,
    next: AtomicU64,
}

/// The place of one append in its stream.
#[derive(Clone, Debug)]
pub struct AppendPlace {
    fate: Arc<Fate>,
    index: u64,
}

/// What became of the appends of one stream so far.
#[derive(Debug)]
struct Fate {
    first_failed: AtomicU64,
    /// Appends that were written before or have failed, and it is not known which. One whose look-up is
    /// given up is counted for ever: nobody waits for its answer, so the stream is over.
    undecided: AtomicU64,
}

impl Default for Fate {
    fn default() -> Self {
        Self { first_failed: AtomicU64::new(u64::MAX), undecided: AtomicU64::new(0) }
    }
}

impl AppendOrder {
    /// The place behind all that were given.
    pub fn next(&self) -> AppendPlace {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        AppendPlace { fate: self.fate.clone(), index }
    }
}

impl AppendPlace {
    /// Whether an append before this one has failed, so that this one must not be written.
    pub fn is_behind_failed(&self) -> bool {
        self.fate.first_failed.load(Ordering::Acquire) < self.index
    }

    /// This append has failed.
    pub fn failed(&self) {
        self.fate.first_failed.fetch_min(self.index, Ordering::AcqRel);
    }

    /// Whether it is open of some append of the stream if it has failed, so that nothing new may be written.
    pub(crate) fn is_stream_undecided(&self) -> bool {
        self.fate.undecided.load(Ordering::Acquire) > 0
    }

    /// Whether this append has failed takes a look-up, which has yet to come.
    pub(crate) fn undecided(&self) {
        self.fate.undecided.fetch_add(1, Ordering::AcqRel);
    }

    /// The look-up is done. If the append failed, [`Self::failed`] has to be called before, so that nobody
    /// can see a stream in which nothing is open and nothing failed.
    pub(crate) fn decided(&self) {
        self.fate.undecided.fetch_sub(1, Ordering::AcqRel);
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

    #[test]
    fn a_stream_is_undecided_until_each_of_its_open_appends_is_decided() {
        let order = AppendOrder::default();
        let (first, second, third) = (order.next(), order.next(), order.next());
        assert!(!third.is_stream_undecided());
        first.undecided();
        second.undecided();
        first.decided();
        assert!(third.is_stream_undecided(), "the second one is still open");
        second.failed();
        second.decided();
        assert!(!third.is_stream_undecided() && third.is_behind_failed());
        assert!(!AppendOrder::default().next().is_stream_undecided(), "each stream counts for itself");
    }
}

//! How the writer and the sealer wake each other: the writer when there is enough to seal, the sealer
//! when there is room again. Both look for themselves what there is to do; a signal only ends a wait.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub(super) struct Signals {
    /// Guards the flags. No other lock is taken under it.
    flags: Mutex<Flags>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Flags {
    /// There may be enough to seal.
    enough: bool,
    /// The sealer has ended a round.
    sealed: u64,
    stop: bool,
}

impl Signals {
    /// Tells the sealer that there may be enough to seal.
    pub(super) fn enough(&self) {
        self.lock().enough = true;
        self.changed.notify_all();
    }

    /// Tells the writer that a round of sealing has ended, well or not.
    pub(super) fn sealed(&self) {
        self.lock().sealed += 1;
        self.changed.notify_all();
    }

    /// Ends all waits, now and later.
    pub(super) fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.lock().stop
    }

    /// The sealer's wait. Returns whether to go on.
    pub(super) fn wait_for_enough(&self, at_most: Duration) -> bool {
        let mut flags = self.wait(at_most, |flags| flags.enough);
        flags.enough = false;
        !flags.stop
    }

    /// A wait that only `stop` ends before its time. Returns whether to go on.
    pub(super) fn pause(&self, time: Duration) -> bool {
        !self.wait(time, |_| false).stop
    }

    /// The writer's wait for a round of sealing.
    pub(super) fn wait_for_sealed(&self, at_most: Duration) {
        let before = self.lock().sealed;
        drop(self.wait(at_most, |flags| flags.sealed != before));
    }

    fn wait(&self, at_most: Duration, done: impl Fn(&Flags) -> bool) -> MutexGuard<'_, Flags> {
        let deadline = Instant::now() + at_most;
        let mut flags = self.lock();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if flags.stop || done(&flags) || left.is_zero() {
                return flags;
            }
            flags = self.changed.wait_timeout(flags, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Flags> {
        self.flags.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

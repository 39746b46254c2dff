//! The queue of one subscription and the waker of its watcher, behind a seam: crossbeam's channel and
//! `AtomicWaker` in the daemon, a model checker's primitives in the tests. One thread sends, one receives.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Waker;

use atomic_waker::AtomicWaker;
use crossbeam_channel::{Receiver, Sender, bounded};

/// What has a size.
pub trait Weigh: Send + Sync + 'static {
    /// Bytes it counts for.
    fn weight(&self) -> usize;
}

/// Why nothing was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// There may be something later.
    Yet,
    /// The queue is closed and was emptied.
    More,
}

/// A queue that is bounded in items and bytes. No method waits.
pub trait Queue<T: Weigh>: Send + Sync + 'static {
    /// An empty one. It takes at most `items_max` items of `bytes_max` bytes together; while no bytes
    /// are in it, an item of any size.
    fn bounded(items_max: usize, bytes_max: usize) -> Self;
    /// Puts an item at the end, or gives it back if the queue is full or closed.
    fn try_send(&self, item: T) -> Result<(), T>;
    /// Takes the first item.
    fn try_recv(&self) -> Result<T, Nothing>;
    /// Items in it.
    fn len(&self) -> usize;
    /// Refuses items from now on. What is in it can still be received.
    fn close(&self);
}

/// A place for the waker of one task.
pub trait Wake: Default + Send + Sync + 'static {
    /// Wakes `waker` at the next [`Wake::wake`], instead of the one before it.
    fn register(&self, waker: &Waker);
    /// Wakes the registered one. A wake that races with a registration is never lost.
    fn wake(&self);
}

/// Which primitives the broker is built on.
pub trait Seam: Send + Sync + 'static {
    /// The queue.
    type Queue<T: Weigh>: Queue<T>;
    /// The waker.
    type Wake: Wake;
}

/// The daemon's primitives.
#[derive(Debug)]
pub struct Crossbeam;

impl Seam for Crossbeam {
    type Queue<T: Weigh> = CrossbeamQueue<T>;
    type Wake = AtomicWaker;
}

/// A bounded crossbeam channel with a count of bytes.
#[derive(Debug)]
pub struct CrossbeamQueue<T> {
    sender: Sender<T>,
    receiver: Receiver<T>,
    bytes: AtomicUsize,
    bytes_max: usize,
    closed: AtomicBool,
}

impl<T: Weigh> Queue<T> for CrossbeamQueue<T> {
    fn bounded(items_max: usize, bytes_max: usize) -> Self {
        let (sender, receiver) = bounded(items_max);
        Self { sender, receiver, bytes: AtomicUsize::new(0), bytes_max, closed: AtomicBool::new(false) }
    }

    fn try_send(&self, item: T) -> Result<(), T> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(item);
        }
        let weight = item.weight();
        let held = self.bytes.load(Ordering::SeqCst);
        if held != 0 && held.saturating_add(weight) > self.bytes_max {
            return Err(item);
        }
        // Counted before it can be received, so that the count never goes below zero.
        self.bytes.fetch_add(weight, Ordering::SeqCst);
        self.sender.try_send(item).map_err(|refused| {
            self.bytes.fetch_sub(weight, Ordering::SeqCst);
            refused.into_inner()
        })
    }

    fn try_recv(&self) -> Result<T, Nothing> {
        let mut received = self.receiver.try_recv().ok();
        if received.is_none() {
            if !self.closed.load(Ordering::SeqCst) {
                return Err(Nothing::Yet);
            }
            // The sender may have sent its last item between the look and the closing.
            received = self.receiver.try_recv().ok();
        }
        let item = received.ok_or(Nothing::More)?;
        self.bytes.fetch_sub(item.weight(), Ordering::SeqCst);
        Ok(item)
    }

    fn len(&self) -> usize {
        self.receiver.len()
    }

    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

impl Wake for AtomicWaker {
    fn register(&self, waker: &Waker) {
        AtomicWaker::register(self, waker);
    }

    fn wake(&self) {
        AtomicWaker::wake(self);
    }
}

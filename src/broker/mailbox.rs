//! One subscription: a bounded queue, a waker, and the guard that unregisters it.
//!
//! A slice that does not fit closes the queue: what is in it still arrives, then the subscriber is told
//! that it lagged. So what a subscription delivers is always a beginning of what was published for it,
//! without a hole, and the end of that beginning is said.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::queue::{Crossbeam, Nothing, Queue, Seam, Wake};
use super::slice::Slice;
use super::topics::{Topic, Topics};
use crate::limits::{SUBSCRIPTION_BYTES_MAX, SUBSCRIPTION_SLICES_MAX};

/// What a subscription hands out.
#[derive(Debug)]
pub enum Delivery {
    /// The next slice.
    Slice(Slice),
    /// Slices are missing from here on, and none will follow: read the store, subscribe anew.
    Lagged,
}

/// The part of a subscription that the broker's thread and the watcher share.
pub(super) struct Mailbox<S: Seam> {
    queue: S::Queue<Slice>,
    wake: S::Wake,
}

impl<S: Seam> Default for Mailbox<S> {
    fn default() -> Self {
        let queue = S::Queue::bounded(SUBSCRIPTION_SLICES_MAX, SUBSCRIPTION_BYTES_MAX);
        Self { queue, wake: S::Wake::default() }
    }
}

impl<S: Seam> Mailbox<S> {
    /// Puts a slice into the queue, or marks the subscription as lagged.
    pub(super) fn offer(&self, slice: Slice) {
        if self.queue.try_send(slice).is_err() {
            self.queue.close();
        }
        self.wake.wake();
    }

    /// Marks the subscription as lagged.
    pub(super) fn lag(&self) {
        self.queue.close();
        self.wake.wake();
    }

    pub(super) fn wake(&self) {
        self.wake.wake();
    }

    fn try_next(&self) -> Option<Delivery> {
        match self.queue.try_recv() {
            Ok(slice) => Some(Delivery::Slice(slice)),
            Err(Nothing::More) => Some(Delivery::Lagged),
            Err(Nothing::Yet) => None,
        }
    }
}

/// A registration at the broker. Dropping it unregisters and frees what waited in it.
pub struct Subscription<S: Seam = Crossbeam> {
    mailbox: Arc<Mailbox<S>>,
    topic: Topic,
    topics: Arc<Topics<S>>,
}

impl<S: Seam> Subscription<S> {
    pub(super) fn new(mailbox: Arc<Mailbox<S>>, topic: Topic, topics: Arc<Topics<S>>) -> Self {
        Self { mailbox, topic, topics }
    }

    /// What waits, without waiting for it.
    pub fn try_next(&self) -> Option<Delivery> {
        self.mailbox.try_next()
    }

    /// The next delivery. The task is woken when there is one, and by `Broker::wake_all`.
    pub fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Delivery> {
        if let Some(delivery) = self.mailbox.try_next() {
            return Poll::Ready(delivery);
        }
        self.mailbox.wake.register(cx.waker());
        // Whatever came before the registration woke nobody.
        self.mailbox.try_next().map_or(Poll::Pending, Poll::Ready)
    }

    /// Slices that wait.
    pub fn waiting(&self) -> usize {
        self.mailbox.queue.len()
    }
}

impl<S: Seam> Drop for Subscription<S> {
    fn drop(&mut self) {
        self.topics.unsubscribe(&self.topic, &self.mailbox);
        self.mailbox.queue.close();
        while self.mailbox.queue.try_recv().is_ok() {}
    }
}

impl<S: Seam> fmt::Debug for Subscription<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("topic", &self.topic).field("waiting", &self.waiting()).finish()
    }
}

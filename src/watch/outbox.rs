//! The frames of a watch that are to be taken: those of one page or one slice, and what is said behind
//! them. It is filled only when it is empty, so it needs no bound of its own.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::execution::frame::EventFrame;

/// Places above which an empty outbox gives its memory back: an idle watcher must be small.
const PLACES_KEPT: usize = 16;

/// Frames in order.
#[derive(Debug, Default)]
pub(super) struct Outbox(VecDeque<Outgoing>);

/// A frame that is to be taken.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) bytes: Bytes,
    /// The cursor of its last event; 0 if it has none.
    pub(super) last: u64,
}

impl Outbox {
    pub(super) fn put(&mut self, bytes: Bytes) {
        self.0.push_back(Outgoing { bytes, last: 0 });
    }

    pub(super) fn put_events(&mut self, frames: impl IntoIterator<Item = EventFrame>) {
        self.0.extend(frames.into_iter().map(|EventFrame { bytes, last, .. }| Outgoing { bytes, last }));
    }

    pub(super) fn take(&mut self) -> Option<Outgoing> {
        let outgoing = self.0.pop_front();
        if self.0.is_empty() && self.0.capacity() > PLACES_KEPT {
            self.0 = VecDeque::new();
        }
        outgoing
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

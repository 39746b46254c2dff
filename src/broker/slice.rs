//! What a subscription receives: the part of one commit that concerns its topic, wire-ready and shared.

use std::sync::Arc;

use tapeline_storage::{Phase, Seq};

use super::queue::Weigh;
use crate::execution::frame::EncodedEvents;

/// The part of one commit that concerns a topic. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Slice {
    /// Events were appended.
    Events(Arc<SliceEvents>),
    /// Events below `floor_seq` were removed. Not sent to those who watch all executions.
    Trimmed {
        /// The first seq that is kept.
        floor_seq: Seq,
    },
    /// The execution was deleted. Not sent to those who watch all executions.
    Deleted,
}

/// Events of one commit, and where the execution stands after them.
#[derive(Debug)]
pub struct SliceEvents {
    /// The events, counted by seq for one execution and by position for all.
    pub encoded: EncodedEvents,
    /// The phase after them; of the last execution if there are several.
    pub phase: Phase,
    /// The error text after them, or empty.
    pub error: Arc<str>,
    /// The time of the last event, in nanoseconds since 1970-01-01 UTC.
    pub record_time_ns: u64,
}

impl Weigh for Slice {
    fn weight(&self) -> usize {
        match self {
            Self::Events(events) => events.encoded.bytes(),
            Self::Trimmed { .. } | Self::Deleted => 0,
        }
    }
}

//! What the engine knows of an event: a type tag, an optional change of the head, opaque bytes.
//! The engine never looks into a payload.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Position, Seq};

/// Where an execution stands. Phases only move forward; the engine refuses any event after an
/// ended one. The numbers are stored and equal those of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Phase {
    /// Created, not started.
    Pending = 1,
    /// Running.
    InProgress = 2,
    /// Ended well.
    Completed = 3,
    /// Ended with an error.
    Failed = 4,
    /// Ended because somebody said so.
    Cancelled = 5,
}

impl Phase {
    /// Whether this phase is final: completed, failed or cancelled.
    pub fn is_terminal(self) -> bool {
        self >= Phase::Completed
    }

    /// The phase with this number, if there is one.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Pending, Self::InProgress, Self::Completed, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|phase| *phase as u8 == number)
    }
}

/// A claim on an execution by the producer that must keep renewing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The producer id of the owner.
    pub owner: String,
    /// How long a renewal lasts, in milliseconds.
    pub duration_ms: u64,
}

/// What an event changes in the head of its execution. Written in the record itself, so that heads,
/// lists and filters can be rebuilt from records alone. `None` leaves a field as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeadChange {
    /// The new phase. A terminal one ends the log: it must be on the last event of its append.
    pub phase: Option<Phase>,
    /// Why the execution failed.
    pub error: Option<String>,
    /// The session it belongs to.
    pub session_id: Option<String>,
    /// The agent that runs.
    pub agent_id: Option<String>,
    /// A name for people.
    pub display_name: Option<String>,
    /// A lease; see [`Lease`].
    pub lease: Option<Lease>,
}

/// An event that is to be appended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewEvent {
    /// What kind of event it is; the engine only stores and returns it.
    pub type_tag: u32,
    /// A finer name for events of a custom kind, at most 256 bytes.
    pub custom_type: Option<Arc<str>>,
    /// What it changes in the head.
    pub head_change: Option<Box<HeadChange>>,
    /// The body, opaque to the engine.
    pub payload: Bytes,
}

/// An event as it was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number in its execution, from 1.
    pub seq: Seq,
    /// Its number in the store.
    pub position: Position,
    /// When the writer took it, in nanoseconds since 1970-01-01 UTC. Never runs backwards inside one
    /// execution, also when the clock does.
    pub record_time_ns: u64,
    /// As given in [`NewEvent::type_tag`].
    pub type_tag: u32,
    /// As given in [`NewEvent::custom_type`].
    pub custom_type: Option<Arc<str>>,
    /// As given in [`NewEvent::payload`].
    pub payload: Bytes,
}

/// Who sends an append, so that a repeated one is recognised, with no time window.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Producer {
    /// A name chosen by the producer, 1 to 128 bytes.
    pub id: Arc<str>,
    /// Rises each time the producer starts anew; an older epoch is fenced off.
    pub epoch: u64,
    /// The number of this append inside the epoch, from 0.
    pub seq: u64,
}

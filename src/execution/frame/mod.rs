//! Encodes what a watcher gets into wire-ready `WatchResponse` frames, once for all watchers.
//!
//! A stored payload is the encoded body of its event already, so an event on the wire is a few fields in
//! front of it and nothing is decoded on the way. It must never let a payload out that has not passed
//! [`redact`](super::redact).

mod writer;
mod encoded;
mod control;

pub use control::{caught_up, end, fell_behind, gap, heartbeat, hello};
pub use encoded::{Axis, EncodedEvents, EventsEncoder};
pub use writer::{EventFrame, FrameWriter, encode_events, wire_event};

#[cfg(test)]
mod tests;

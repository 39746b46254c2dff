//! The frames that say where a watch stands. They are small and rare, so prost encodes them.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tapeline_storage::Phase;

use crate::proto::v1::watch_response::Frame;
use crate::proto::v1::{CaughtUp, End, FellBehind, Gap, Heartbeat, Hello, WatchResponse, end::Reason};

/// Where the log stands; the first frame.
pub fn hello(hello: Hello) -> Bytes {
    encode(Frame::Hello(hello))
}

/// The replay has reached the tail; everything up to `seq` was sent.
pub fn caught_up(seq: u64) -> Bytes {
    encode(Frame::CaughtUp(CaughtUp { seq }))
}

/// Live delivery stopped after `seq`; the events up to `tail_seq` and on come from disk.
pub fn fell_behind(seq: u64, tail_seq: u64) -> Bytes {
    encode(Frame::FellBehind(FellBehind { seq, tail_seq }))
}

/// A sign of life. `idle_for` is how long ago the last event was recorded, if that is known.
pub fn heartbeat(seq: u64, tail_seq: u64, idle_for: Option<Duration>) -> Bytes {
    let idle_for = idle_for.and_then(|idle| prost_types::Duration::try_from(idle).ok());
    encode(Frame::Heartbeat(Heartbeat { seq, tail_seq, idle_for, ..Default::default() }))
}

/// The events `from_seq..=to_seq` are no longer kept.
pub fn gap(from_seq: u64, to_seq: u64) -> Bytes {
    encode(Frame::Gap(Gap { from_seq, to_seq }))
}

/// Nothing follows. There is no phase for an execution that nothing is known of.
pub fn end(reason: Reason, seq: u64, phase: Option<Phase>, error: &str) -> Bytes {
    let phase = phase.map_or(0, |phase| phase as i32);
    encode(Frame::End(End { reason: reason.into(), seq, phase, error: error.to_owned() }))
}

fn encode(frame: Frame) -> Bytes {
    WatchResponse { frame: Some(frame) }.encode_to_vec().into()
}

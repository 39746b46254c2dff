//! Writes events one after the other and cuts them into frames. It knows the wire form of `Event`,
//! `EventBatch` and `WatchResponse`, and must never write a frame above [`FRAME_BYTES`] that holds more
//! than one event.

use std::ops::Range;

use bytes::Bytes;
use prost::Message;
use prost::encoding::{encode_varint, encoded_len_varint};
use tapeline_storage::{ExecutionId, StoredEvent};

use crate::execution::redact;
use crate::execution::time::NS_PER_S;
use crate::limits::FRAME_BYTES;
use crate::proto::v1::Event;

/// `WatchResponse.events`, length-delimited.
const EVENTS_KEY: u8 = 2 << 3 | 2;
/// `EventBatch.events`, and `ReadEventsResponse.events` too.
const EVENT_KEY: u8 = 1 << 3 | 2;
const SEQ_KEY: u8 = 1 << 3;
const RECORD_TIME_KEY: u8 = 2 << 3 | 2;
const POSITION_KEY: u8 = 3 << 3;
const EXECUTION_ID_KEY: u8 = 4 << 3 | 2;
const SECONDS_KEY: u8 = 1 << 3;
const NANOS_KEY: u8 = 2 << 3;

/// Room in front of the events of a frame: [`EVENTS_KEY`] and the longest length prefix.
const HEADER_BYTES: usize = 6;

/// A frame of events, wire-ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFrame {
    /// One encoded `WatchResponse`.
    pub bytes: Bytes,
    /// The cursor of its last event: a seq, or a position where executions are named.
    pub last: u64,
    /// How long the header in front of the first event is, in bytes.
    pub(super) header_bytes: usize,
}

impl EventFrame {
    /// The encoded events, one after the other, each with its key and length.
    pub(super) fn events(&self) -> &[u8] {
        &self.bytes[self.header_bytes..]
    }
}

/// Cuts events into frames of at most [`FRAME_BYTES`], or of one larger event.
#[derive(Debug)]
pub struct FrameWriter {
    frames: Vec<EventFrame>,
    /// The frame that is being written, its header still blank.
    open: Vec<u8>,
    last: u64,
}

impl Default for FrameWriter {
    fn default() -> Self {
        Self { frames: Vec::new(), open: vec![0; HEADER_BYTES], last: 0 }
    }
}

/// Where the writer put an event: in which frame, and at which of its event bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) frame: usize,
    pub(super) range: Range<usize>,
}

impl FrameWriter {
    /// Adds an event, its secrets emptied. With an execution its cursor is the position, else the seq.
    pub fn push(&mut self, event: &StoredEvent, execution: Option<&ExecutionId>) {
        self.place(event, execution);
    }

    pub(super) fn place(&mut self, event: &StoredEvent, execution: Option<&ExecutionId>) -> Place {
        let event = EventParts::new(event, execution);
        self.make_room(event.delimited_bytes());
        let start = self.open.len();
        event.put_delimited(&mut self.open);
        self.last = event.cursor();
        Place { frame: self.frames.len(), range: start - HEADER_BYTES..self.open.len() - HEADER_BYTES }
    }

    /// Adds an event that another writer has written, with its key and length.
    pub(super) fn push_written(&mut self, written: &[u8], cursor: u64) {
        self.make_room(written.len());
        self.open.extend_from_slice(written);
        self.last = cursor;
    }

    /// The frames, in order; none if nothing was added.
    pub fn finish(mut self) -> Vec<EventFrame> {
        self.close_frame();
        self.frames
    }

    fn make_room(&mut self, more: usize) {
        if self.open.len() + more > FRAME_BYTES {
            self.close_frame();
        }
    }

    fn close_frame(&mut self) {
        let event_bytes = self.open.len() - HEADER_BYTES;
        if event_bytes == 0 {
            return;
        }
        let mut open = std::mem::replace(&mut self.open, vec![0; HEADER_BYTES]);
        let start = HEADER_BYTES - 1 - encoded_len_varint(event_bytes as u64);
        open[start] = EVENTS_KEY;
        encode_varint(event_bytes as u64, &mut &mut open[start + 1..HEADER_BYTES]);
        // Frames wait in many channels at once; none of them may hold more memory than it has bytes.
        open.shrink_to_fit();
        let header_bytes = HEADER_BYTES - start;
        self.frames.push(EventFrame {
            bytes: Bytes::from(open).slice(start..),
            last: self.last,
            header_bytes,
        });
    }
}

/// Events as the repeated field 1 of `EventBatch` or `ReadEventsResponse`, their secrets emptied.
pub fn encode_events(events: &[StoredEvent]) -> Bytes {
    let mut out = Vec::new();
    for event in events {
        EventParts::new(event, None).put_delimited(&mut out);
    }
    out.into()
}

/// An event as the generated type, its secrets emptied, for replies that are not pre-encoded. Fails
/// when the stored payload is not the body of an event.
pub fn wire_event(event: &StoredEvent, execution: Option<&ExecutionId>) -> Result<Event, prost::DecodeError> {
    let mut out = Vec::new();
    EventParts::new(event, execution).put(&mut out);
    Event::decode(Bytes::from(out))
}

/// The fields of one event, measured.
struct EventParts<'a> {
    event: &'a StoredEvent,
    execution: Option<&'a ExecutionId>,
    payload: Bytes,
    seconds: u64,
    nanos: u64,
}

impl<'a> EventParts<'a> {
    fn new(event: &'a StoredEvent, execution: Option<&'a ExecutionId>) -> Self {
        Self {
            event,
            execution,
            payload: redact::for_readers(event.type_tag, &event.payload),
            seconds: event.record_time_ns / NS_PER_S,
            nanos: event.record_time_ns % NS_PER_S,
        }
    }

    fn cursor(&self) -> u64 {
        if self.execution.is_some() { self.event.position } else { self.event.seq }
    }

    fn time_bytes(&self) -> usize {
        number_bytes(self.seconds) + number_bytes(self.nanos)
    }

    fn event_bytes(&self) -> usize {
        let id_bytes = self.execution.map_or(0, |id| delimited_bytes(id.as_str().len()));
        number_bytes(self.event.seq)
            + delimited_bytes(self.time_bytes())
            + number_bytes(self.event.position)
            + id_bytes
            + self.payload.len()
    }

    fn delimited_bytes(&self) -> usize {
        delimited_bytes(self.event_bytes())
    }

    fn put_delimited(&self, out: &mut Vec<u8>) {
        let event_bytes = self.event_bytes();
        out.reserve(delimited_bytes(event_bytes));
        out.push(EVENT_KEY);
        encode_varint(event_bytes as u64, out);
        self.put(out);
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_number(SEQ_KEY, self.event.seq, out);
        out.push(RECORD_TIME_KEY);
        encode_varint(self.time_bytes() as u64, out);
        put_number(SECONDS_KEY, self.seconds, out);
        put_number(NANOS_KEY, self.nanos, out);
        put_number(POSITION_KEY, self.event.position, out);
        if let Some(id) = self.execution {
            out.push(EXECUTION_ID_KEY);
            encode_varint(id.as_str().len() as u64, out);
            out.extend_from_slice(id.as_str().as_bytes());
        }
        out.extend_from_slice(&self.payload);
    }
}

/// Bytes of a number field with a one-byte key. Zero is the default and takes none.
fn number_bytes(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + encoded_len_varint(value) }
}

fn put_number(key: u8, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        out.push(key);
        encode_varint(value, out);
    }
}

/// Bytes of a field with a one-byte key and a length in front of `content`.
fn delimited_bytes(content: usize) -> usize {
    1 + encoded_len_varint(content as u64) + content
}

//! How deep an event may be nested. Decoders follow messages in messages to a bound only, and in the frame
//! of a watch an event lies one message deeper than in the append that brought it: one that would reach
//! the bound there is refused, for it could be stored and never be read.

use bytes::{Buf, Bytes, BytesMut};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use super::invalid::Invalid;
use crate::proto::v1::WatchResponse;
use crate::proto::v1::event::Body;

/// Bytes below which nothing reaches the bound of 100 messages: each is a key and a length in another.
const DEEP_BYTES_MIN: usize = 150;
/// The field of `WatchResponse` that has a batch, and the field of `EventBatch` that has an event.
const EVENTS: u32 = 2;
const BATCH_EVENTS: u32 = 1;

/// Refuses the event if a watcher could not decode it; `place` names it then.
pub(super) fn check(place: impl FnOnce() -> String, body: &Body, payload: &Bytes) -> Result<(), Invalid> {
    if !can_nest(body) || payload.len() < DEEP_BYTES_MIN {
        return Ok(());
    }
    // The fields before the body do not nest, so they are left out.
    match WatchResponse::decode(headers(payload.len()).chain(payload.clone())) {
        Ok(_) => Ok(()),
        Err(_) => Err(Invalid::field(place(), "is nested deeper than a watcher can read")),
    }
}

/// Whether this kind of event holds messages that hold their own kind, such as `Struct`.
fn can_nest(body: &Body) -> bool {
    match body {
        Body::MessageAdded(_)
        | Body::MessageReplaced(_)
        | Body::ToolCallSet(_)
        | Body::SubAgentSet(_)
        | Body::SpecReplaced(_)
        | Body::MessageToolCallSet(_) => true,
        Body::Created(_)
        | Body::PhaseChanged(_)
        | Body::MessageTextAppended(_)
        | Body::TodoSet(_)
        | Body::TodoRemoved(_)
        | Body::ListTruncated(_)
        | Body::Output(_)
        | Body::TextAppended(_)
        | Body::Custom(_) => false,
    }
}

/// What stands before an event of this length that is alone in its frame.
fn headers(event_bytes: usize) -> BytesMut {
    let batch_bytes = key_len(BATCH_EVENTS) + encoded_len_varint(event_bytes as u64) + event_bytes;
    let mut headers = BytesMut::new();
    encode_key(EVENTS, WireType::LengthDelimited, &mut headers);
    encode_varint(batch_bytes as u64, &mut headers);
    encode_key(BATCH_EVENTS, WireType::LengthDelimited, &mut headers);
    encode_varint(event_bytes as u64, &mut headers);
    headers
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost_types::value::Kind;
    use prost_types::{ListValue, Struct, Value};

    use super::*;
    use crate::execution::event::client_batch;
    use crate::proto::stigmer::agentexecution::{AgentMessage, SubAgentExecution, ToolCall};
    use crate::proto::v1::watch_response::Frame;
    use crate::proto::v1::{AppendRequest, Event, EventBatch, MessageAdded, SubAgentSet, ToolCallSet};

    /// A `Struct` with so many lists in each other, and so many more of its kind in the innermost.
    fn nested(lists: usize, structs: usize) -> Struct {
        let in_struct = |value| Struct { fields: BTreeMap::from([("k".to_owned(), value)]) };
        let mut value = Value { kind: Some(Kind::BoolValue(true)) };
        for _ in 0..structs {
            value = Value { kind: Some(Kind::StructValue(in_struct(value))) };
        }
        for _ in 0..lists {
            value = Value { kind: Some(Kind::ListValue(ListValue { values: vec![value] })) };
        }
        in_struct(value)
    }

    fn bodies(nested: &Struct) -> [Body; 4] {
        let call = ToolCall { args: Some(nested.clone()), ..Default::default() };
        let agent = SubAgentExecution { metadata: Some(nested.clone()), ..Default::default() };
        let noted = AgentMessage { metadata: Some(nested.clone()), ..Default::default() };
        let calling = AgentMessage { tool_calls: vec![call.clone()], ..Default::default() };
        [
            Body::ToolCallSet(ToolCallSet { index: 0, tool_call: Some(call) }),
            Body::SubAgentSet(SubAgentSet { index: 0, sub_agent: Some(agent) }),
            Body::MessageAdded(MessageAdded { index: 0, message: Some(noted) }),
            Body::MessageAdded(MessageAdded { index: 0, message: Some(calling) }),
        ]
    }

    /// Whether a watcher can decode what is stored, in a frame of the generated types.
    fn is_readable(events: &[Event]) -> bool {
        let frame = Frame::Events(EventBatch { events: events.to_vec() });
        WatchResponse::decode(WatchResponse { frame: Some(frame) }.encode_to_vec().as_slice()).is_ok()
    }

    #[test]
    fn an_append_that_can_be_decoded_is_taken_exactly_if_its_frame_can_be() {
        let (mut taken, mut refused) = (0, 0);
        for (lists, structs) in (40..50).flat_map(|lists| [(lists, 0), (lists, 1), (lists, 2)]) {
            for body in bodies(&nested(lists, structs)) {
                let events = vec![Event { body: Some(body), ..Default::default() }];
                let request = AppendRequest { events, ..Default::default() };
                let Ok(request) = AppendRequest::decode(request.encode_to_vec().as_slice()) else { continue };
                let readable = is_readable(&request.events);
                match client_batch(request.events) {
                    Ok(_) => taken += 1,
                    Err(error) => {
                        assert!(error.to_string().starts_with("events[0]: is nested"), "{error}");
                        refused += 1;
                        assert!(!readable, "{lists} lists, {structs} structs");
                        continue;
                    }
                }
                assert!(readable, "{lists} lists, {structs} structs");
            }
        }
        assert!(taken > 0 && refused > 0, "both sides of the bound were met: {taken}, {refused}");
    }

    #[test]
    fn what_is_too_short_to_be_looked_at_can_always_be_decoded() {
        let shortest = (0..50).map(|lists| nested(lists, 0)).flat_map(|nested| bodies(&nested));
        for body in shortest {
            let event = Event { body: Some(body), ..Default::default() };
            assert!(event.encoded_len() >= DEEP_BYTES_MIN || is_readable(&[event]));
        }
    }
}

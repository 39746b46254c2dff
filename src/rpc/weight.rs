//! What a request takes in memory once it is decoded, told from its bytes before that: an empty entry of a
//! list is two bytes on the wire and hundreds in memory. It must never decode, and never allocate by what a
//! request says.

use std::collections::HashMap;
use std::sync::LazyLock;

use bytes::Buf;
use prost::encoding::{WireType, decode_key, decode_varint};
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

use crate::execution::fold::{HEAP_BYTES, MAP_ENTRY_BYTES};
use crate::execution::invalid::Excess;
use crate::limits::{REQUEST_MEMORY_BYTES_MAX, WEIGHED_BYTES_MIN};
use crate::proto::descriptors;

/// How deep decoders follow messages in messages. Deeper: they fail, so there is nothing more to weigh.
const DEPTH_MAX: usize = 100;

static SHAPES: LazyLock<Shapes> = LazyLock::new(|| Shapes::of(&descriptors()));

/// How far a request of this type is beyond what may be decoded, if it is.
pub(super) fn excess(name: &str, request: &[u8]) -> Option<Excess> {
    if request.len() < WEIGHED_BYTES_MIN {
        return None;
    }
    let root = *SHAPES.by_name.get(name)?;
    let mut weighed = 0;
    // It ends early where a decoder would; what a decoder has made by then is weighed.
    let _ = SHAPES.weigh(root, request, DEPTH_MAX, &mut weighed);
    Excess::over(REQUEST_MEMORY_BYTES_MAX, weighed)
}

/// The messages of the wire, as far as their weight needs them known.
#[derive(Debug, Default)]
struct Shapes {
    shapes: Vec<Shape>,
    by_name: HashMap<String, usize>,
}

/// Fields with a length, by their numbers. All others lie in the message itself.
type Shape = HashMap<u32, Part>;

#[derive(Clone, Copy, Debug)]
struct Part {
    /// What one more of it takes besides its own bytes.
    entry_bytes: usize,
    /// Which message it is; none for a text.
    shape: Option<usize>,
}

/// The bytes end, or are none that a decoder takes, or enough has been weighed.
struct Ended;

impl Shapes {
    fn of(pool: &DescriptorPool) -> Self {
        let by_name: HashMap<_, _> = pool
            .all_messages()
            .enumerate()
            .map(|(at, message)| (message.full_name().to_owned(), at))
            .collect();
        let part = |field: &FieldDescriptor| Part {
            entry_bytes: entry_bytes(field),
            shape: field.kind().as_message().and_then(|message| by_name.get(message.full_name()).copied()),
        };
        let has_length =
            |field: &FieldDescriptor| matches!(field.kind(), Kind::String | Kind::Bytes | Kind::Message(_));
        let shape = |message: MessageDescriptor| {
            message.fields().filter(has_length).map(|field| (field.number(), part(&field))).collect()
        };
        let shapes = pool.all_messages().map(shape).collect();
        Self { shapes, by_name }
    }

    fn weigh(&self, shape: usize, mut bytes: &[u8], depth: usize, weighed: &mut usize) -> Result<(), Ended> {
        while bytes.has_remaining() {
            let (number, wire_type) = decode_key(&mut bytes).map_err(|_| Ended)?;
            let content = match wire_type {
                WireType::LengthDelimited => {
                    let length = usize::try_from(varint(&mut bytes)?).map_err(|_| Ended)?;
                    take(&mut bytes, length)?
                }
                other => {
                    skip(&mut bytes, other)?;
                    continue;
                }
            };
            let Some(part) = self.shapes[shape].get(&number) else { continue };
            *weighed += part.entry_bytes;
            match part.shape {
                Some(shape) => self.weigh(shape, content, depth.checked_sub(1).ok_or(Ended)?, weighed)?,
                None => *weighed += content.len(),
            }
            if *weighed > REQUEST_MEMORY_BYTES_MAX {
                return Err(Ended);
            }
        }
        Ok(())
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Ended> {
    decode_varint(bytes).map_err(|_| Ended)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], Ended> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or(Ended)?;
    *bytes = rest;
    Ok(taken)
}

/// A field without a length. What lies between the ends of a group counts as if it lay outside.
fn skip(bytes: &mut &[u8], wire_type: WireType) -> Result<(), Ended> {
    match wire_type {
        WireType::Varint => varint(bytes).map(drop),
        WireType::ThirtyTwoBit => take(bytes, 4).map(drop),
        WireType::SixtyFourBit => take(bytes, 8).map(drop),
        WireType::StartGroup | WireType::EndGroup | WireType::LengthDelimited => Ok(()),
    }
}

/// What one more occurrence of a field adds to the message it is in, the field's own bytes apart.
fn entry_bytes(field: &FieldDescriptor) -> usize {
    let on_heap = if matches!(field.kind(), Kind::Message(_)) { 0 } else { HEAP_BYTES };
    match (field.is_map(), field.is_list()) {
        (true, _) => MAP_ENTRY_BYTES + kind_bytes(&field.kind(), DEPTH_MAX),
        (_, true) => on_heap + kind_bytes(&field.kind(), DEPTH_MAX),
        _ => on_heap,
    }
}

/// The size of a type as it is laid out in memory, roughly.
fn kind_bytes(kind: &Kind, depth: usize) -> usize {
    match kind {
        Kind::String => size_of::<String>(),
        Kind::Bytes => size_of::<bytes::Bytes>(),
        Kind::Message(message) if depth > 0 => message_bytes(message, depth - 1),
        _ => size_of::<u64>(),
    }
}

/// A message lies in the message that it is a field of, unless it is one of many or holds its own kind.
fn message_bytes(message: &MessageDescriptor, depth: usize) -> usize {
    let field_bytes = |field: &FieldDescriptor| match field.is_list() || field.is_map() {
        true => size_of::<Vec<u8>>(),
        false => kind_bytes(&field.kind(), depth),
    };
    let alone = message.fields().filter(|field| field.containing_oneof().is_none());
    let alternatives =
        message.oneofs().map(|oneof| oneof.fields().map(|f| field_bytes(&f)).max().unwrap_or(0));
    size_of::<u64>() + alone.map(|field| field_bytes(&field)).sum::<usize>() + alternatives.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::{Message, Name};

    use super::*;
    use crate::proto::stigmer::agentexecution::{
        AgentExecutionStatus, AgentExecutionUpdateStatusInput, AgentMessage, SubAgentExecution, TodoItem,
        ToolCall,
    };
    use crate::proto::v1::{AppendRequest, Event};

    fn weigh<M: Message + Name>(bytes: &[u8]) -> usize {
        let mut weighed = 0;
        let _ = SHAPES.weigh(SHAPES.by_name[&M::full_name()], bytes, DEPTH_MAX, &mut weighed);
        weighed
    }

    fn update(status: AgentExecutionStatus) -> Vec<u8> {
        AgentExecutionUpdateStatusInput { status: Some(status), ..Default::default() }.encode_to_vec()
    }

    #[test]
    fn the_sizes_are_about_those_of_the_compiler() {
        let pool = descriptors();
        let told = |name: String| {
            message_bytes(&pool.get_message_by_name(&name).expect("it is in proto/"), DEPTH_MAX)
        };
        for (name, actual) in [
            (AgentMessage::full_name(), size_of::<AgentMessage>()),
            (ToolCall::full_name(), size_of::<ToolCall>()),
            (SubAgentExecution::full_name(), size_of::<SubAgentExecution>()),
            (TodoItem::full_name(), size_of::<TodoItem>()),
            (Event::full_name(), size_of::<Event>()),
            ("google.protobuf.Value".to_owned(), size_of::<prost_types::Value>()),
        ] {
            let told = told(name.clone());
            assert!(told >= actual * 9 / 10 && told <= actual * 2, "{name}: {told} for {actual}");
        }
    }

    #[test]
    fn empty_entries_weigh_what_they_become() {
        let events = AppendRequest { events: vec![Event::default(); 1_000], ..Default::default() };
        assert!(weigh::<AppendRequest>(&events.encode_to_vec()) >= 1_000 * size_of::<Event>() * 9 / 10);
        let call = ToolCall::default();
        let message = AgentMessage { tool_calls: vec![call; 1_000], ..Default::default() };
        let status = AgentExecutionStatus { messages: vec![message], ..Default::default() };
        let weighed = weigh::<AgentExecutionUpdateStatusInput>(&update(status));
        assert!(weighed >= 1_000 * size_of::<ToolCall>() * 9 / 10);
    }

    #[test]
    fn a_large_request_of_texts_is_taken_and_one_of_empty_entries_is_not() {
        let text = AgentMessage { content: "x".repeat(100), ..Default::default() };
        let texts = AgentExecutionStatus { messages: vec![text; 100_000], ..Default::default() };
        let name = AgentExecutionUpdateStatusInput::full_name();
        assert_eq!(excess(&name, &update(texts)), None);
        let empty =
            AgentExecutionStatus { messages: vec![AgentMessage::default(); 2_000_000], ..Default::default() };
        assert!(excess(&name, &update(empty)).is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_weighed_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            weigh::<AppendRequest>(&bytes);
            weigh::<AgentExecutionUpdateStatusInput>(&bytes);
        }
    }
}

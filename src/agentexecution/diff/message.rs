//! The events of a list of messages: added, grown, with tool calls set one by one, or replaced.

use prost::Message;

use super::{pieces, same, truncate};
use crate::limits::DIFF_TEXT_BYTES_MAX;
use crate::proto::stigmer::agentexecution::{AgentMessage, ToolCall};
use crate::proto::v1::event::Body;
use crate::proto::v1::list_truncated::List;
use crate::proto::v1::{MessageAdded, MessageReplaced, MessageTextAppended, MessageToolCallSet};

pub(super) fn message_events(events: &mut Vec<Body>, old: &[AgentMessage], new: &[AgentMessage]) {
    truncate(events, List::Messages, old.len(), new.len());
    for (index, message) in (0_u32..).zip(new) {
        match old.get(index as usize) {
            Some(present) if same(present, message) => {}
            Some(present) => changed(events, index, present, message),
            None => {
                let added = |message| Body::MessageAdded(MessageAdded { index, message: Some(message) });
                whole(events, index, message, added);
            }
        }
    }
}

/// What changed in a message, if that can be said; else the message.
fn changed(events: &mut Vec<Body>, index: u32, old: &AgentMessage, new: &AgentMessage) {
    let metadata = |message: &AgentMessage| message.metadata.as_ref().map(Message::encode_to_vec);
    let same_frame = old.r#type == new.r#type
        && old.timestamp == new.timestamp
        && (old.metadata == new.metadata || metadata(old) == metadata(new));
    let suffix = new.content.strip_prefix(old.content.as_str());
    match suffix {
        Some(suffix) if same_frame && new.tool_calls.len() >= old.tool_calls.len() => {
            text(events, index, suffix);
            tool_calls(events, index, &old.tool_calls, &new.tool_calls);
        }
        _ => {
            let replaced = |message| Body::MessageReplaced(MessageReplaced { index, message: Some(message) });
            whole(events, index, new, replaced);
        }
    }
}

/// A message, without what is too long for one event, and that behind it.
fn whole(events: &mut Vec<Body>, index: u32, message: &AgentMessage, event: impl Fn(AgentMessage) -> Body) {
    let (first, more) = message.content.split_at(message.content.floor_char_boundary(DIFF_TEXT_BYTES_MAX));
    let calls_bytes: usize = message.tool_calls.iter().map(Message::encoded_len).sum();
    let with_calls = calls_bytes + first.len() <= DIFF_TEXT_BYTES_MAX;
    let tool_calls_now = if with_calls { message.tool_calls.clone() } else { Vec::new() };
    events.push(event(AgentMessage {
        r#type: message.r#type,
        content: first.to_owned(),
        timestamp: message.timestamp.clone(),
        tool_calls: tool_calls_now,
        metadata: message.metadata.clone(),
    }));
    text(events, index, more);
    if !with_calls {
        tool_calls(events, index, &[], &message.tool_calls);
    }
}

fn text(events: &mut Vec<Body>, index: u32, text: &str) {
    let appended = |text: &str| MessageTextAppended { index, text: text.to_owned() };
    events.extend(pieces(text).map(|piece| Body::MessageTextAppended(appended(piece))));
}

fn tool_calls(events: &mut Vec<Body>, index: u32, old: &[ToolCall], new: &[ToolCall]) {
    for (tool_call_index, call) in (0_u32..).zip(new) {
        if !old.get(tool_call_index as usize).is_some_and(|present| same(present, call)) {
            let tool_call = Some(call.clone());
            events.push(Body::MessageToolCallSet(MessageToolCallSet { index, tool_call_index, tool_call }));
        }
    }
}

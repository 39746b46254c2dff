//! The events of a list of messages: added, grown, with tool calls set and grown one by one, or replaced.

use prost::Message;

use super::growth::{append, grown, suffix, whole};
use super::{same, truncate};
use crate::limits::DIFF_TEXT_BYTES_MAX;
use crate::proto::stigmer::agentexecution::{AgentMessage, ToolCall};
use crate::proto::v1::event::Body;
use crate::proto::v1::list_truncated::List;
use crate::proto::v1::text_appended::Target;
use crate::proto::v1::{
    MessageAdded, MessageReplaced, MessageTextAppended, MessageToolCallSet, TextAppended,
};

pub(super) fn message_events(events: &mut Vec<Body>, old: &[AgentMessage], new: &[AgentMessage]) {
    truncate(events, List::Messages, old.len(), new.len());
    for (index, message) in (0_u32..).zip(new) {
        match old.get(index as usize) {
            Some(present) if same(present, message) => {}
            Some(present) => changed(events, index, present, message),
            None => {
                let added = |message| Body::MessageAdded(MessageAdded { index, message: Some(message) });
                all_of(events, index, message, added);
            }
        }
    }
}

/// What changed in a message, if that can be said; else the message.
fn changed(events: &mut Vec<Body>, index: u32, old: &AgentMessage, new: &AgentMessage) {
    match suffix(old, new) {
        Some(suffix) if new.tool_calls.len() >= old.tool_calls.len() => {
            append(events, suffix, appended(index));
            tool_calls(events, index, &old.tool_calls, &new.tool_calls);
        }
        _ => {
            let replaced = |message| Body::MessageReplaced(MessageReplaced { index, message: Some(message) });
            all_of(events, index, new, replaced);
        }
    }
}

/// A message in one event if it is small; else its tool calls follow in events of their own.
fn all_of(events: &mut Vec<Body>, index: u32, message: &AgentMessage, event: impl Fn(AgentMessage) -> Body) {
    if message.encoded_len() <= DIFF_TEXT_BYTES_MAX {
        events.push(event(message.clone()));
    } else {
        whole(events, message, event, appended(index));
        tool_calls(events, index, &[], &message.tool_calls);
    }
}

fn appended(index: u32) -> impl Fn(String) -> Body {
    move |text| Body::MessageTextAppended(MessageTextAppended { index, text })
}

fn tool_calls(events: &mut Vec<Body>, index: u32, old: &[ToolCall], new: &[ToolCall]) {
    for (tool_call_index, call) in (0_u32..).zip(new) {
        let set = |call| {
            let tool_call = Some(call);
            Body::MessageToolCallSet(MessageToolCallSet { index, tool_call_index, tool_call })
        };
        let appended = |text| {
            let target = Target::MessageToolCallResult.into();
            Body::TextAppended(TextAppended { target, index, text, tool_call_index })
        };
        grown(events, old.get(tool_call_index as usize), call, set, appended);
    }
}

//! The kinds of events by their numbers: those of the fields of `Event.body`, under which events are stored
//! for ever. Here and nowhere else.

use crate::proto::v1::event::Body;

pub(crate) const CREATED: u32 = 10;
pub(crate) const PHASE_CHANGED: u32 = 11;
pub(crate) const MESSAGE_ADDED: u32 = 12;
pub(crate) const MESSAGE_TEXT_APPENDED: u32 = 13;
pub(crate) const MESSAGE_REPLACED: u32 = 14;
pub(crate) const TOOL_CALL_SET: u32 = 15;
pub(crate) const SUB_AGENT_SET: u32 = 16;
pub(crate) const TODO_SET: u32 = 17;
pub(crate) const TODO_REMOVED: u32 = 18;
pub(crate) const LIST_TRUNCATED: u32 = 19;
pub(crate) const SPEC_REPLACED: u32 = 20;
pub(crate) const OUTPUT: u32 = 21;
pub(crate) const TEXT_APPENDED: u32 = 22;
pub(crate) const MESSAGE_TOOL_CALL_SET: u32 = 23;
pub(crate) const CUSTOM: u32 = 30;

/// All of them with their names, as the wire has both.
pub(crate) const ALL: [(&str, u32); 15] = [
    ("created", CREATED),
    ("phase_changed", PHASE_CHANGED),
    ("message_added", MESSAGE_ADDED),
    ("message_text_appended", MESSAGE_TEXT_APPENDED),
    ("message_replaced", MESSAGE_REPLACED),
    ("tool_call_set", TOOL_CALL_SET),
    ("sub_agent_set", SUB_AGENT_SET),
    ("todo_set", TODO_SET),
    ("todo_removed", TODO_REMOVED),
    ("list_truncated", LIST_TRUNCATED),
    ("spec_replaced", SPEC_REPLACED),
    ("output", OUTPUT),
    ("text_appended", TEXT_APPENDED),
    ("message_tool_call_set", MESSAGE_TOOL_CALL_SET),
    ("custom", CUSTOM),
];

/// The kind of a body.
pub(crate) fn of(body: &Body) -> u32 {
    match body {
        Body::Created(_) => CREATED,
        Body::PhaseChanged(_) => PHASE_CHANGED,
        Body::MessageAdded(_) => MESSAGE_ADDED,
        Body::MessageTextAppended(_) => MESSAGE_TEXT_APPENDED,
        Body::MessageReplaced(_) => MESSAGE_REPLACED,
        Body::ToolCallSet(_) => TOOL_CALL_SET,
        Body::SubAgentSet(_) => SUB_AGENT_SET,
        Body::TodoSet(_) => TODO_SET,
        Body::TodoRemoved(_) => TODO_REMOVED,
        Body::ListTruncated(_) => LIST_TRUNCATED,
        Body::SpecReplaced(_) => SPEC_REPLACED,
        Body::Output(_) => OUTPUT,
        Body::TextAppended(_) => TEXT_APPENDED,
        Body::MessageToolCallSet(_) => MESSAGE_TOOL_CALL_SET,
        Body::Custom(_) => CUSTOM,
    }
}

/// Whether an event of this kind can add to a state: output of programs and custom events never do.
pub(crate) fn adds(kind: u32) -> bool {
    kind != OUTPUT && kind != CUSTOM
}

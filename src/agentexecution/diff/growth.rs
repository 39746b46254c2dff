//! Entries of lists with one long text that grows: what is new of the text when all else stayed, the
//! entry otherwise, always in events that fit. It must never copy a text that it does not send.

use prost::Message;

use super::same;
use crate::limits::{DIFF_TEXT_BYTES_MAX, EVENT_BYTES_MAX};
use crate::proto::stigmer::agentexecution::{AgentMessage, SubAgentExecution, ToolCall};
use crate::proto::v1::event::Body;

/// What an event has around an entry and its text: three keys with lengths, two numbers with keys, and
/// the key and length of the text itself; none takes more than six bytes.
const EVENT_OVERHEAD_BYTES: usize = 64;

/// An entry of a list that has one text of any length.
pub(super) trait Growing: Message + PartialEq + Sized {
    /// The text that grows.
    fn text(&self) -> &str;

    /// The entry with another text in the place of its own.
    fn with_text(&self, text: &str) -> Self;
}

impl Growing for ToolCall {
    fn text(&self) -> &str {
        &self.result
    }

    fn with_text(&self, text: &str) -> Self {
        Self {
            id: self.id.clone(),
            name: self.name.clone(),
            args: self.args.clone(),
            result: text.to_owned(),
            status: self.status,
            component_metadata: self.component_metadata.clone(),
            started_at: self.started_at.clone(),
            completed_at: self.completed_at.clone(),
            error: self.error.clone(),
        }
    }
}

impl Growing for SubAgentExecution {
    fn text(&self) -> &str {
        &self.output
    }

    fn with_text(&self, text: &str) -> Self {
        Self {
            id: self.id.clone(),
            name: self.name.clone(),
            input: self.input.clone(),
            output: text.to_owned(),
            status: self.status,
            started_at: self.started_at.clone(),
            completed_at: self.completed_at.clone(),
            error: self.error.clone(),
            metadata: self.metadata.clone(),
        }
    }
}

/// A message without its tool calls: they have events of their own.
impl Growing for AgentMessage {
    fn text(&self) -> &str {
        &self.content
    }

    fn with_text(&self, text: &str) -> Self {
        Self {
            r#type: self.r#type,
            content: text.to_owned(),
            timestamp: self.timestamp.clone(),
            tool_calls: Vec::new(),
            metadata: self.metadata.clone(),
        }
    }
}

/// The events that make one entry of another: what is new of its text if all else is equal, else the
/// entry. None if they are the same.
pub(super) fn grown<T: Growing>(
    events: &mut Vec<Body>,
    old: Option<&T>,
    new: &T,
    set: impl Fn(T) -> Body,
    appended: impl Fn(String) -> Body,
) {
    if old.is_some_and(|old| same(old, new)) {
        return;
    }
    match old.and_then(|old| suffix(old, new)) {
        Some(suffix) => append(events, suffix, appended),
        None => whole(events, new, set, appended),
    }
}

/// What the text of an entry grew by, if nothing else of it changed.
pub(super) fn suffix<'a, T: Growing>(old: &T, new: &'a T) -> Option<&'a str> {
    let suffix = new.text().strip_prefix(old.text())?;
    same(&old.with_text(""), &new.with_text("")).then_some(suffix)
}

/// An entry with as much of its text as one event takes, and the rest of the text behind it.
pub(super) fn whole<T: Growing>(
    events: &mut Vec<Body>,
    entry: &T,
    set: impl Fn(T) -> Body,
    appended: impl Fn(String) -> Body,
) {
    let frame_bytes = entry.with_text("").encoded_len() + EVENT_OVERHEAD_BYTES;
    let room = EVENT_BYTES_MAX.saturating_sub(frame_bytes).min(DIFF_TEXT_BYTES_MAX);
    let text = entry.text();
    let (first, more) = text.split_at(text.floor_char_boundary(room));
    events.push(set(entry.with_text(first)));
    append(events, more, appended);
}

/// More text, in as many events as it takes.
pub(super) fn append(events: &mut Vec<Body>, text: &str, appended: impl Fn(String) -> Body) {
    events.extend(pieces(text).map(|piece| appended(piece.to_owned())));
}

/// A text in pieces that fit into an event each, cut between characters.
pub(super) fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (piece, rest) = text.split_at(text.floor_char_boundary(DIFF_TEXT_BYTES_MAX));
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

//! Messages: who speaks, and the text as it grows. A message that was rewritten shows what is new of its
//! text if it begins with what was shown, else all of it; one that is too long for its event comes in
//! several, cannot be compared by the first of them, and is shown again.

use super::Pretty;
use super::seen::{Change, Entry, Key};
use super::words::{paint_speaker, speaker};
use crate::proto::stigmer::agentexecution::AgentMessage;

impl Pretty {
    pub(super) fn message_added(&mut self, index: u32, message: Option<&AgentMessage>) {
        let nothing = AgentMessage::default();
        let message = message.unwrap_or(&nothing);
        // Where a part of the log was not seen, another message may have stood there.
        if let Some(other) = self.seen.take(Key::Message(index)) {
            self.seen.forget_tool_calls(index, 0..other.tool_calls);
        }
        self.whole(index, message, "");
        self.tool_calls_of(index, message);
    }

    pub(super) fn message_grew(&mut self, index: u32, more: &str) {
        let key = Key::Message(index);
        let entry = self.seen.get_or_put(key, unknown);
        entry.text.add(more);
        let word = entry.word;
        if !self.page.is_open(key) {
            self.begin_message(index, word, " …");
        }
        self.page.more(more);
    }

    pub(super) fn message_replaced(&mut self, index: u32, message: Option<&AgentMessage>) {
        let nothing = AgentMessage::default();
        let message = message.unwrap_or(&nothing);
        let before = self.seen.take(Key::Message(index)).unwrap_or_default();
        match self.seen.change(&before.text, &message.content) {
            Change::Goes(more) => self.rewritten(index, message, more),
            Change::Other | Change::Unknown => self.whole(index, message, " replaced"),
        }
        let left = count(message);
        if left < before.tool_calls {
            self.seen.forget_tool_calls(index, left..before.tool_calls);
            self.page.line("cut", &format!("tool calls of message #{index}: {left} left"));
        }
        self.tool_calls_of(index, message);
    }

    /// Where a tool call of a message really stands: beyond the last one, it is added at the end.
    pub(super) fn place_in_message(&mut self, index: u32, tool_call_index: u32) -> Key {
        let message = self.seen.get_or_put(Key::Message(index), unknown);
        let is_whole = message.text.is_whole();
        let place = if is_whole { tool_call_index.min(message.tool_calls) } else { tool_call_index };
        message.tool_calls = message.tool_calls.max(place.saturating_add(1));
        Key::MessageToolCall(index, place)
    }

    /// All of a message's text, on a line of its own.
    fn whole(&mut self, index: u32, message: &AgentMessage, how: &str) {
        let word = self.remember_message(index, message);
        self.begin_message(index, word, how);
        self.page.more(&message.content);
    }

    /// What is new of a text that was shown up to there.
    fn rewritten(&mut self, index: u32, message: &AgentMessage, more: &str) {
        let word = self.remember_message(index, message);
        self.begin_message(index, word, " rewritten");
        if more.is_empty() {
            self.page.aside("(its text is the same)");
        }
        self.page.more(more);
    }

    fn remember_message(&mut self, index: u32, message: &AgentMessage) -> &'static str {
        let word = speaker(message.r#type());
        let text = self.seen.text(&message.content);
        self.seen
            .put(Key::Message(index), Entry { word, text, tool_calls: count(message), ..Entry::default() });
        word
    }

    fn begin_message(&mut self, index: u32, word: &'static str, how: &str) {
        let kind = format!("{word} #{index}{how}");
        self.page.begin(Key::Message(index), &kind, &paint_speaker(self.paint, word, &kind));
    }

    fn tool_calls_of(&mut self, index: u32, message: &AgentMessage) {
        for (tool_call_index, call) in (0..).zip(&message.tool_calls) {
            self.tool_call(Key::MessageToolCall(index, tool_call_index), Some(call));
        }
    }
}

/// A message whose beginning was not seen.
fn unknown() -> Entry {
    Entry { word: "message", ..Entry::default() }
}

fn count(message: &AgentMessage) -> u32 {
    u32::try_from(message.tool_calls.len()).unwrap_or(u32::MAX)
}

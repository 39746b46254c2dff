//! What a transcript remembers of what it has shown: of each entry a few words, and of its text the
//! length and a checksum. It must never hold a text, and its size has a bound whatever the log says.

use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};
use std::ops::Range;

use jiff::Timestamp;
use lru::LruCache;

use crate::cli::limits::SHOWN_ENTRIES_MAX;
use crate::proto::v1::list_truncated::List;

/// What can be shown more than once, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Message(u32),
    ToolCall(u32),
    /// A tool call of a message: which message, and which of its tool calls.
    MessageToolCall(u32, u32),
    SubAgent(u32),
    /// An entry of the to-do list, by a checksum of its id.
    Todo(u64),
}

/// What is remembered of an entry.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// Who speaks, or the status, or the mark.
    pub(super) word: &'static str,
    /// What it is called, shortened.
    pub(super) name: String,
    /// Checksum of what else was shown: name and arguments, input, content.
    pub(super) frame: u64,
    /// Checksum of its error.
    pub(super) error: u64,
    /// Its text: content, result or output.
    pub(super) text: ShownText,
    /// Since when it is running.
    pub(super) running_since: Option<Timestamp>,
    /// How many tool calls a message has.
    pub(super) tool_calls: u32,
    /// Letters of a result that may still be shown, and its bytes when its size was last told.
    pub(super) letters_left: usize,
    pub(super) told_bytes: u64,
}

/// A text that was shown, or that begins before what was seen of it.
#[derive(Clone, Debug, Default)]
pub(super) struct ShownText {
    pub(super) bytes: u64,
    /// `None` if its beginning is not known.
    hash: Option<DefaultHasher>,
}

/// How a text differs from the one that was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change<'a> {
    /// It goes on with this, which is empty if it is the same.
    Goes(&'a str),
    /// It is another.
    Other,
    /// It was not known from its beginning.
    Unknown,
}

/// All that is remembered.
pub(super) struct Seen {
    entries: LruCache<Key, Entry>,
    /// Nobody who writes into a log knows these, so nobody can make two texts look the same.
    keys: RandomState,
}

impl Default for Seen {
    fn default() -> Self {
        Self { entries: LruCache::unbounded(), keys: RandomState::new() }
    }
}

impl Seen {
    /// What is remembered of an entry.
    #[cfg(test)]
    pub(super) fn get(&mut self, key: Key) -> Option<&mut Entry> {
        self.entries.get_mut(&key)
    }

    /// What is remembered of an entry, which is made if there is nothing.
    pub(super) fn get_or_put(&mut self, key: Key, new: impl FnOnce() -> Entry) -> &mut Entry {
        if self.entries.len() >= SHOWN_ENTRIES_MAX && !self.entries.contains(&key) {
            self.entries.pop_lru();
        }
        self.entries.get_or_insert_mut(key, new)
    }

    /// Remembers an entry. If there are too many, the one that was not touched for longest is forgotten.
    pub(super) fn put(&mut self, key: Key, entry: Entry) {
        self.entries.put(key, entry);
        if self.entries.len() > SHOWN_ENTRIES_MAX {
            self.entries.pop_lru();
        }
    }

    /// Gives up what is remembered of an entry, and returns it.
    pub(super) fn take(&mut self, key: Key) -> Option<Entry> {
        self.entries.pop(&key)
    }

    /// Forgets what a list has lost.
    pub(super) fn cut(&mut self, list: List, length: u32) {
        self.forget(|key| match (list, key) {
            (List::Messages, Key::Message(index) | Key::MessageToolCall(index, _))
            | (List::ToolCalls, Key::ToolCall(index))
            | (List::SubAgents, Key::SubAgent(index)) => index >= length,
            _ => false,
        });
    }

    /// Forgets some tool calls of a message.
    pub(super) fn forget_tool_calls(&mut self, message: u32, calls: Range<u32>) {
        // Whoever writes the log chooses the numbers; what is looked through has a bound.
        if calls.len() < self.entries.len() {
            calls.for_each(|call| drop(self.entries.pop(&Key::MessageToolCall(message, call))));
        } else {
            self.forget(|key| {
                matches!(key, Key::MessageToolCall(index, call) if index == message && calls.contains(&call))
            });
        }
    }

    fn forget(&mut self, is_gone: impl Fn(Key) -> bool) {
        let gone: Vec<Key> = self.entries.iter().map(|(key, _)| *key).filter(|key| is_gone(*key)).collect();
        for key in gone {
            self.entries.pop(&key);
        }
    }

    /// A text that was shown from its beginning.
    pub(super) fn text(&self, text: &str) -> ShownText {
        let mut shown = ShownText { bytes: 0, hash: Some(self.keys.build_hasher()) };
        shown.add(text);
        shown
    }

    /// How `text` differs from what was shown.
    pub(super) fn change<'a>(&self, shown: &ShownText, text: &'a str) -> Change<'a> {
        let Some(hash) = &shown.hash else { return Change::Unknown };
        let split = usize::try_from(shown.bytes).ok().and_then(|bytes| text.split_at_checked(bytes));
        match split {
            Some((begin, rest)) if self.hash_of(begin).finish() == hash.finish() => Change::Goes(rest),
            _ => Change::Other,
        }
    }

    /// A checksum of parts, none of which runs into the next.
    pub(super) fn checksum(&self, parts: &[&[u8]]) -> u64 {
        let mut hasher = self.keys.build_hasher();
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        hasher.finish()
    }

    fn hash_of(&self, text: &str) -> DefaultHasher {
        let mut hasher = self.keys.build_hasher();
        add(&mut hasher, text);
        hasher
    }

    /// How much is remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

impl ShownText {
    /// Whether it is known from its beginning.
    pub(super) fn is_whole(&self) -> bool {
        self.hash.is_some()
    }

    /// More of it was shown.
    pub(super) fn add(&mut self, more: &str) {
        self.bytes = self.bytes.saturating_add(more.len() as u64);
        if let Some(hash) = &mut self.hash {
            add(hash, more);
        }
    }
}

/// Byte by byte, so that it makes no difference where a text is cut.
fn add(hasher: &mut DefaultHasher, text: &str) {
    text.bytes().for_each(|byte| hasher.write_u8(byte));
}

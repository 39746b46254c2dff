//! What a state takes in memory: its texts, and for each entry what it takes though it says nothing. On the
//! wire an empty message is two bytes, in memory hundreds; so limits on memory count this. It must never
//! cost more to keep than what is added or removed.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use crate::proto::stigmer::agentexecution::{
    AgentExecution, AgentExecutionSpec, AgentExecutionStatus, AgentMessage, ComponentMetadata,
    ExecutionConfig, SubAgentExecution, TodoItem, ToolCall,
};
use crate::proto::stigmer::apiresource::{ApiResourceMetadata, ApiResourceMetadataVersion};
use crate::proto::stigmer::executioncontext::ExecutionValue;

/// What a text takes on the heap besides its bytes.
pub(crate) const HEAP_BYTES: usize = 16;
/// What an entry of a map takes besides its key and its value.
pub(crate) const MAP_ENTRY_BYTES: usize = 32;

/// A sum that is kept while its parts are exchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight(usize);

impl Weight {
    pub(super) fn of(execution: &AgentExecution) -> Self {
        Self(execution.heap())
    }

    pub(super) fn bytes(self) -> usize {
        self.0
    }

    /// Replaces what is in a place.
    pub(super) fn replace<T: Heap>(&mut self, place: &mut T, new: T) {
        self.change(place.heap(), new.heap());
        *place = new;
    }

    /// Adds text to a text.
    pub(super) fn append(&mut self, text: &mut String, more: &str) {
        let before = text.heap();
        text.push_str(more);
        self.change(before, text.heap());
    }

    /// Adds an entry to a list.
    pub(super) fn push<T: Heap>(&mut self, list: &mut Vec<T>, entry: T) {
        self.change(0, size_of::<T>() + entry.heap());
        list.push(entry);
    }

    /// Cuts a list.
    pub(super) fn truncate<T: Heap>(&mut self, list: &mut Vec<T>, length: usize) {
        for entry in list.drain(length.min(list.len())..) {
            self.change(size_of::<T>() + entry.heap(), 0);
        }
    }

    /// Sets an entry of a map.
    pub(super) fn insert<T: Heap>(&mut self, map: &mut BTreeMap<String, T>, key: String, entry: T) {
        let (key_bytes, added) = (key.heap(), entry.heap());
        match map.insert(key, entry) {
            Some(old) => self.change(old.heap(), added),
            None => self.change(0, map_entry::<T>() + key_bytes + added),
        }
    }

    /// Removes an entry of a map.
    pub(super) fn remove<T: Heap>(&mut self, map: &mut BTreeMap<String, T>, key: &str) {
        if let Some((key, old)) = map.remove_entry(key) {
            self.change(map_entry::<T>() + key.heap() + old.heap(), 0);
        }
    }

    fn change(&mut self, less: usize, more: usize) {
        self.0 = (self.0 + more).saturating_sub(less);
    }
}

/// What a value has on the heap, besides itself.
pub(super) trait Heap {
    fn heap(&self) -> usize;
}

/// An entry of a map that says nothing.
fn map_entry<T>() -> usize {
    size_of::<String>() + size_of::<T>() + MAP_ENTRY_BYTES
}

fn text(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { bytes + HEAP_BYTES }
}

impl Heap for String {
    fn heap(&self) -> usize {
        text(self.len())
    }
}

impl Heap for Bytes {
    fn heap(&self) -> usize {
        text(self.len())
    }
}

impl<T: Heap> Heap for Option<T> {
    fn heap(&self) -> usize {
        self.as_ref().map_or(0, Heap::heap)
    }
}

impl<T: Heap> Heap for Vec<T> {
    fn heap(&self) -> usize {
        self.iter().map(|entry| size_of::<T>() + entry.heap()).sum()
    }
}

impl<T: Heap> Heap for BTreeMap<String, T> {
    fn heap(&self) -> usize {
        self.iter().map(|(key, entry)| map_entry::<T>() + key.heap() + entry.heap()).sum()
    }
}

/// A message has what its fields have. All of them are named, so that one more cannot be forgotten.
macro_rules! message {
    ($name:ident { $($weighed:ident),* } $($flat:ident),*) => {
        impl Heap for $name {
            fn heap(&self) -> usize {
                let Self { $($weighed,)* $($flat: _,)* } = self;
                [$($weighed.heap()),*].into_iter().sum()
            }
        }
    };
}

// The audit is the daemon's: no event says anything of it.
message!(AgentExecution { api_version, kind, metadata, spec, status });
message!(ApiResourceMetadata { name, slug, id, org, labels, annotations, tags, version } owner_scope);
message!(ApiResourceMetadataVersion { id, message, previous_version_id });
message!(AgentExecutionSpec { session_id, agent_id, message, execution_config, runtime_env, callback_token });
message!(ExecutionConfig { model_name });
message!(ExecutionValue { value } is_secret);
message!(AgentExecutionStatus {
    messages, tool_calls, sub_agent_executions, error, started_at, completed_at, todos, callback_token
} phase, audit);
message!(AgentMessage { content, timestamp, tool_calls, metadata } r#type);
message!(ToolCall {
    id, name, args, result, component_metadata, started_at, completed_at, error
} status);
message!(ComponentMetadata { component_type, component_group, layout_hint, metadata });
message!(SubAgentExecution {
    id, name, input, output, started_at, completed_at, error, metadata
} status);
message!(TodoItem { id, content, created_at, updated_at } status);
message!(Struct { fields });
message!(ListValue { values });
message!(Value { kind });

impl Heap for Kind {
    fn heap(&self) -> usize {
        match self {
            Self::StringValue(text) => text.heap(),
            Self::StructValue(structure) => structure.heap(),
            Self::ListValue(list) => list.heap(),
            Self::NullValue(_) | Self::NumberValue(_) | Self::BoolValue(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_say_nothing_weigh_what_they_take() {
        let message = AgentMessage { tool_calls: vec![ToolCall::default(); 10], ..Default::default() };
        let status = AgentExecutionStatus { messages: vec![message; 1_000], ..Default::default() };
        let execution = AgentExecution { status: Some(status), ..Default::default() };
        let least = 1_000 * (size_of::<AgentMessage>() + 10 * size_of::<ToolCall>());
        assert_eq!(Weight::of(&execution).bytes(), least);
    }

    #[test]
    fn whatever_is_in_a_structure_is_weighed() {
        let text = Value { kind: Some(Kind::StringValue("x".repeat(1_000))) };
        let list = Value { kind: Some(Kind::ListValue(ListValue { values: vec![text.clone(); 3] })) };
        let fields = [("a".to_owned(), text), ("b".to_owned(), list)];
        let inner = Value { kind: Some(Kind::StructValue(Struct { fields: fields.into() })) };
        let outer = Struct { fields: [("c".to_owned(), inner)].into() };
        let texts = 4 * (1_000 + HEAP_BYTES) + 3 * (1 + HEAP_BYTES);
        assert_eq!(outer.heap(), texts + 3 * map_entry::<Value>() + 3 * size_of::<Value>());
    }
}

//! What the events of an execution add up to: its state, as an `AgentExecution`. Pure; the same events in
//! the same order are always the same state, in how many steps they are ever folded. It must never panic,
//! whatever the events say: what does not fit the state leaves it as it was.

mod base;
mod weight;

use bytes::Bytes;
use prost::{DecodeError, Message};
use tapeline_storage::{Position, Seq, StoredEvent};

use super::invalid::Excess;
use super::kind;
use super::phase;
use crate::proto::stigmer::agentexecution::{
    AgentExecution, AgentExecutionSpec, AgentExecutionStatus, AgentMessage,
};
use crate::proto::stigmer::apiresource::ApiResourceMetadata;
use crate::proto::v1::event::Body;
use crate::proto::v1::list_truncated::List;
use crate::proto::v1::text_appended::Target;
use crate::proto::v1::{
    Event, ExecutionCreated, ExitStatus, ListTruncated, MessageAdded, MessageReplaced, MessageTextAppended,
    MessageToolCallSet, Phase, PhaseChanged, SpecReplaced, SubAgentSet, TextAppended, TodoSet, ToolCallSet,
};

use weight::{Heap, Weight};

pub use base::BaseError;
pub(crate) use weight::{HEAP_BYTES, MAP_ENTRY_BYTES};

/// The state of an execution after some event. Secrets are in it as they are in the events.
///
/// Output of programs and custom events add nothing. The rules of the log see to it that every index
/// fits; where a log got round them, an index that does not fit changes nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Folded {
    through_seq: Seq,
    execution: AgentExecution,
    exit: ExitStatus,
    weight: Weight,
}

/// Why events cannot be added. The state is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// What is stored is no event.
    #[error("its payload is no event: {what}")]
    Damaged {
        /// Of the event.
        seq: Seq,
        /// Of the event.
        position: Position,
        /// What is wrong with it.
        what: String,
    },
    /// The state passes the limit, in bytes.
    #[error("the state has {} bytes, the limit is {}", .0.actual, .0.limit)]
    TooLarge(Excess),
}

impl Folded {
    /// The seq of the last event in it; 0 before the first.
    pub fn through_seq(&self) -> Seq {
        self.through_seq
    }

    /// The execution: its name and labels in the metadata, its spec, its status. What no event says, its
    /// id among it, is empty.
    pub fn execution(&self) -> &AgentExecution {
        &self.execution
    }

    /// How its process ended, which an `AgentExecution` has no place for; without a status if nobody said.
    pub fn exit(&self) -> &ExitStatus {
        &self.exit
    }

    /// What the state takes in memory, in bytes: its texts, and what each entry takes besides.
    pub fn memory_bytes(&self) -> usize {
        self.weight.bytes()
    }

    /// What it would take if these parts replaced its own; a part that is left out stays.
    pub fn memory_bytes_with(&self, parts: &AgentExecution) -> usize {
        let AgentExecution { metadata, spec, status, .. } = &self.execution;
        let replaced = [
            parts.metadata.as_ref().map_or(0, |_| metadata.heap()),
            parts.spec.as_ref().map_or(0, |_| spec.heap()),
            parts.status.as_ref().map_or(0, |_| status.heap()),
        ];
        (self.memory_bytes() + parts.heap()).saturating_sub(replaced.into_iter().sum())
    }

    /// Adds events one after the other. Fails once the state takes more memory than the limit, after whichever
    /// event that is: the same log always fails at the same event, or never.
    pub fn add_all(&mut self, events: &[StoredEvent], memory_bytes_max: usize) -> Result<(), FoldError> {
        for event in events {
            self.add(event).map_err(|error| FoldError::Damaged {
                seq: event.seq,
                position: event.position,
                what: error.to_string(),
            })?;
            if let Some(excess) = Excess::over(memory_bytes_max, self.memory_bytes()) {
                return Err(FoldError::TooLarge(excess));
            }
        }
        Ok(())
    }

    /// Adds an event as the store has it. Fails, with nothing changed, if its payload is no event.
    pub fn add(&mut self, event: &StoredEvent) -> Result<(), DecodeError> {
        if kind::adds(event.type_tag)
            && let Some(body) = Event::decode(event.payload.clone())?.body
        {
            self.apply(body);
        }
        self.through_seq = event.seq;
        Ok(())
    }

    fn apply(&mut self, body: Body) {
        match body {
            Body::Created(created) => self.create(created),
            Body::PhaseChanged(changed) => self.change_phase(changed),
            Body::MessageAdded(added) => self.add_message(added),
            Body::MessageTextAppended(text) => self.append_to_message(&text),
            Body::MessageReplaced(replaced) => self.replace_message(replaced),
            Body::ToolCallSet(ToolCallSet { index, tool_call }) => {
                let (status, weight) = self.status();
                set(weight, &mut status.tool_calls, index, tool_call.unwrap_or_default());
            }
            Body::SubAgentSet(SubAgentSet { index, sub_agent }) => {
                let (status, weight) = self.status();
                set(weight, &mut status.sub_agent_executions, index, sub_agent.unwrap_or_default());
            }
            Body::TodoSet(TodoSet { id, item }) => {
                let (status, weight) = self.status();
                weight.insert(&mut status.todos, id, item.unwrap_or_default());
            }
            Body::TodoRemoved(removed) => {
                let (status, weight) = self.status();
                weight.remove(&mut status.todos, &removed.id);
            }
            Body::ListTruncated(cut) => self.truncate(&cut),
            Body::SpecReplaced(replaced) => self.replace_spec(replaced),
            Body::TextAppended(text) => self.append_text(&text),
            Body::MessageToolCallSet(call) => self.set_tool_call_of_message(call),
            Body::Output(_) | Body::Custom(_) => {}
        }
    }

    fn status(&mut self) -> (&mut AgentExecutionStatus, &mut Weight) {
        (self.execution.status.get_or_insert_default(), &mut self.weight)
    }

    fn message(&mut self, index: u32) -> Option<(&mut AgentMessage, &mut Weight)> {
        let (status, weight) = self.status();
        Some((status.messages.get_mut(index as usize)?, weight))
    }

    fn create(&mut self, created: ExecutionCreated) {
        let ExecutionCreated { spec, labels, display_name } = created;
        let metadata = ApiResourceMetadata { name: display_name, labels, ..Default::default() };
        self.weight.replace(&mut self.execution.metadata, Some(metadata));
        self.weight.replace(&mut self.execution.spec, spec.map(owned));
        self.status().0.phase = Phase::Pending.into();
    }

    /// The phases of an execution have the same numbers as ours.
    fn change_phase(&mut self, changed: PhaseChanged) {
        let (status, weight) = self.status();
        if phase::from_wire(changed.phase).is_some() {
            status.phase = changed.phase;
        }
        let texts = [
            (&mut status.error, changed.error),
            (&mut status.started_at, changed.started_at),
            (&mut status.completed_at, changed.completed_at),
        ];
        for (text, new) in texts.into_iter().filter(|(_, new)| !new.is_empty()) {
            weight.replace(text, new);
        }
        if let Some(exit) = changed.exit {
            self.exit = exit;
        }
    }

    fn add_message(&mut self, added: MessageAdded) {
        let (status, weight) = self.status();
        if added.index as usize == status.messages.len() {
            weight.push(&mut status.messages, added.message.unwrap_or_default());
        }
    }

    fn append_to_message(&mut self, text: &MessageTextAppended) {
        if let Some((message, weight)) = self.message(text.index) {
            weight.append(&mut message.content, &text.text);
        }
    }

    fn replace_message(&mut self, replaced: MessageReplaced) {
        if let Some((message, weight)) = self.message(replaced.index) {
            weight.replace(message, replaced.message.unwrap_or_default());
        }
    }

    fn truncate(&mut self, cut: &ListTruncated) {
        let (status, weight) = self.status();
        let length = cut.length as usize;
        match cut.list() {
            List::Messages => weight.truncate(&mut status.messages, length),
            List::ToolCalls => weight.truncate(&mut status.tool_calls, length),
            List::SubAgents => weight.truncate(&mut status.sub_agent_executions, length),
            List::Unspecified => {}
        }
    }

    /// A part that is unset stays as it was, as in the head of the execution.
    fn replace_spec(&mut self, replaced: SpecReplaced) {
        let AgentExecution { metadata, spec, .. } = replaced.execution.unwrap_or_default();
        if metadata.is_some() {
            self.weight.replace(&mut self.execution.metadata, metadata);
        }
        if spec.is_some() {
            self.weight.replace(&mut self.execution.spec, spec.map(owned));
        }
    }

    fn append_text(&mut self, text: &TextAppended) {
        let index = text.index as usize;
        let (status, weight) = self.status();
        let grown = match text.target() {
            Target::ToolCallResult => status.tool_calls.get_mut(index).map(|call| &mut call.result),
            Target::SubAgentOutput => {
                status.sub_agent_executions.get_mut(index).map(|agent| &mut agent.output)
            }
            Target::MessageToolCallResult => {
                let call = text.tool_call_index as usize;
                let message = status.messages.get_mut(index);
                message.and_then(|message| message.tool_calls.get_mut(call)).map(|call| &mut call.result)
            }
            Target::Unspecified => None,
        };
        if let Some(grown) = grown {
            weight.append(grown, &text.text);
        }
    }

    /// No rule bounds the index inside the message: anything beyond its list adds one at the end.
    fn set_tool_call_of_message(&mut self, call: MessageToolCallSet) {
        let MessageToolCallSet { index, tool_call_index, tool_call } = call;
        let Some((message, weight)) = self.message(index) else { return };
        let calls = &mut message.tool_calls;
        match calls.get_mut(tool_call_index as usize) {
            Some(present) => weight.replace(present, tool_call.unwrap_or_default()),
            None => weight.push(calls, tool_call.unwrap_or_default()),
        }
    }
}

/// Sets an entry of a list, or adds it if it is the next one.
fn set<T: Heap>(weight: &mut Weight, list: &mut Vec<T>, index: u32, entry: T) {
    let (index, length) = (index as usize, list.len());
    match list.get_mut(index) {
        Some(present) => weight.replace(present, entry),
        None if index == length => weight.push(list, entry),
        None => {}
    }
}

/// A decoder leaves a token where it found it, and would keep all the bytes around it in memory.
fn owned(mut spec: AgentExecutionSpec) -> AgentExecutionSpec {
    spec.callback_token = Bytes::copy_from_slice(&spec.callback_token);
    spec
}

#[cfg(test)]
mod tests;

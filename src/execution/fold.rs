//! What the events of an execution add up to: its state, as an `AgentExecution`. Pure; the same events in
//! the same order are always the same state, in how many steps they are ever folded. It must never panic,
//! whatever the events say: what does not fit the state leaves it as it was.

mod base;

use prost::{DecodeError, Message};
use tapeline_storage::{Seq, StoredEvent};

use super::phase;
use crate::proto::stigmer::agentexecution::{AgentExecution, AgentExecutionStatus, AgentMessage};
use crate::proto::stigmer::apiresource::ApiResourceMetadata;
use crate::proto::v1::event::Body;
use crate::proto::v1::list_truncated::List;
use crate::proto::v1::text_appended::Target;
use crate::proto::v1::{
    Event, ExecutionCreated, ExitStatus, ListTruncated, MessageAdded, MessageReplaced, MessageTextAppended,
    MessageToolCallSet, Phase, PhaseChanged, SpecReplaced, SubAgentSet, TextAppended, TodoSet, ToolCallSet,
};

pub use base::BaseError;

/// The number of `Event.output`.
const OUTPUT: u32 = 21;
/// The number of `Event.custom`.
const CUSTOM: u32 = 30;

/// The state of an execution after some event. Secrets are in it as they are in the events.
///
/// Output of programs and custom events add nothing. The rules of the log see to it that every index
/// fits; where a log got round them, an index that does not fit changes nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Folded {
    through_seq: Seq,
    execution: AgentExecution,
    exit: ExitStatus,
}

/// Whether an event of this kind can add to a state: output of programs and custom events never do.
pub fn adds(type_tag: u32) -> bool {
    type_tag != OUTPUT && type_tag != CUSTOM
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

    /// Adds an event as the store has it. Fails, with nothing changed, if its payload is no event.
    pub fn add(&mut self, event: &StoredEvent) -> Result<(), DecodeError> {
        if adds(event.type_tag)
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
                set(&mut self.status().tool_calls, index, tool_call.unwrap_or_default());
            }
            Body::SubAgentSet(SubAgentSet { index, sub_agent }) => {
                set(&mut self.status().sub_agent_executions, index, sub_agent.unwrap_or_default());
            }
            Body::TodoSet(TodoSet { id, item }) => {
                self.status().todos.insert(id, item.unwrap_or_default());
            }
            Body::TodoRemoved(removed) => {
                self.status().todos.remove(&removed.id);
            }
            Body::ListTruncated(cut) => self.truncate(&cut),
            Body::SpecReplaced(replaced) => self.replace_spec(replaced),
            Body::TextAppended(text) => self.append_text(&text),
            Body::MessageToolCallSet(call) => self.set_tool_call_of_message(call),
            Body::Output(_) | Body::Custom(_) => {}
        }
    }

    fn status(&mut self) -> &mut AgentExecutionStatus {
        self.execution.status.get_or_insert_default()
    }

    fn message(&mut self, index: u32) -> Option<&mut AgentMessage> {
        self.status().messages.get_mut(index as usize)
    }

    fn create(&mut self, created: ExecutionCreated) {
        let ExecutionCreated { spec, labels, display_name } = created;
        self.execution.metadata =
            Some(ApiResourceMetadata { name: display_name, labels, ..Default::default() });
        self.execution.spec = spec;
        self.status().phase = Phase::Pending.into();
    }

    /// The phases of an execution have the same numbers as ours.
    fn change_phase(&mut self, changed: PhaseChanged) {
        let status = self.status();
        if phase::from_wire(changed.phase).is_some() {
            status.phase = changed.phase;
        }
        replace_unless_empty(&mut status.error, changed.error);
        replace_unless_empty(&mut status.started_at, changed.started_at);
        replace_unless_empty(&mut status.completed_at, changed.completed_at);
        if let Some(exit) = changed.exit {
            self.exit = exit;
        }
    }

    fn add_message(&mut self, added: MessageAdded) {
        let messages = &mut self.status().messages;
        if added.index as usize == messages.len() {
            messages.push(added.message.unwrap_or_default());
        }
    }

    fn append_to_message(&mut self, text: &MessageTextAppended) {
        if let Some(message) = self.message(text.index) {
            message.content.push_str(&text.text);
        }
    }

    fn replace_message(&mut self, replaced: MessageReplaced) {
        if let Some(message) = self.message(replaced.index) {
            *message = replaced.message.unwrap_or_default();
        }
    }

    fn truncate(&mut self, cut: &ListTruncated) {
        let status = self.execution.status.get_or_insert_default();
        let length = cut.length as usize;
        match cut.list() {
            List::Messages => status.messages.truncate(length),
            List::ToolCalls => status.tool_calls.truncate(length),
            List::SubAgents => status.sub_agent_executions.truncate(length),
            List::Unspecified => {}
        }
    }

    /// A part that is unset stays as it was, as in the head of the execution.
    fn replace_spec(&mut self, replaced: SpecReplaced) {
        let AgentExecution { metadata, spec, .. } = replaced.execution.unwrap_or_default();
        self.execution.metadata = metadata.or(self.execution.metadata.take());
        self.execution.spec = spec.or(self.execution.spec.take());
    }

    fn append_text(&mut self, text: &TextAppended) {
        let index = text.index as usize;
        let status = self.status();
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
            grown.push_str(&text.text);
        }
    }

    /// No rule bounds the index inside the message: anything beyond its list adds one at the end.
    fn set_tool_call_of_message(&mut self, call: MessageToolCallSet) {
        let MessageToolCallSet { index, tool_call_index, tool_call } = call;
        let Some(message) = self.message(index) else { return };
        let calls = &mut message.tool_calls;
        match calls.get_mut(tool_call_index as usize) {
            Some(present) => *present = tool_call.unwrap_or_default(),
            None => calls.push(tool_call.unwrap_or_default()),
        }
    }
}

/// Sets an entry of a list, or adds it if it is the next one.
fn set<T>(list: &mut Vec<T>, index: u32, entry: T) {
    let (index, length) = (index as usize, list.len());
    match list.get_mut(index) {
        Some(present) => *present = entry,
        None if index == length => list.push(entry),
        None => {}
    }
}

fn replace_unless_empty(text: &mut String, new: String) {
    if !new.is_empty() {
        *text = new;
    }
}

#[cfg(test)]
mod tests;

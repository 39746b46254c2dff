//! The events that lead from one state of an execution to another: what `execution::fold` makes of them
//! is the second state. Pure. A text that grew costs what it grew by, and nothing costs anything that
//! stayed the same. Texts that are too long for one event are cut.
//!
//! Between the two states an error or a time never goes from something to nothing: no event says that,
//! and no merge does it.

mod growth;
mod message;

use growth::grown;
use message::message_events;
use prost::Message;

use crate::proto::stigmer::agentexecution::{
    AgentExecution, AgentExecutionStatus, SubAgentExecution, ToolCall,
};
use crate::proto::v1::event::Body;
use crate::proto::v1::list_truncated::List;
use crate::proto::v1::text_appended::Target;
use crate::proto::v1::{
    ListTruncated, PhaseChanged, SpecReplaced, SubAgentSet, TextAppended, TodoRemoved, TodoSet, ToolCallSet,
};

/// The events from one state to another; none if they are equal. A change of the phase is the last.
pub fn diff(before: &AgentExecution, after: &AgentExecution) -> Vec<Body> {
    let nothing = AgentExecutionStatus::default();
    let old = before.status.as_ref().unwrap_or(&nothing);
    let new = after.status.as_ref().unwrap_or(&nothing);
    let mut events = Vec::new();
    events.extend(spec_event(before, after));
    message_events(&mut events, &old.messages, &new.messages);
    tool_call_events(&mut events, &old.tool_calls, &new.tool_calls);
    sub_agent_events(&mut events, &old.sub_agent_executions, &new.sub_agent_executions);
    todo_events(&mut events, old, new);
    events.extend(phase_event(old, new));
    events
}

/// Only the part that changed: a part that an event leaves out stays as it was.
fn spec_event(before: &AgentExecution, after: &AgentExecution) -> Option<Body> {
    let metadata = after.metadata.clone().filter(|_| before.metadata != after.metadata);
    let spec = after.spec.clone().filter(|_| before.spec != after.spec);
    (metadata.is_some() || spec.is_some()).then(|| {
        let execution = AgentExecution { metadata, spec, ..Default::default() };
        Body::SpecReplaced(SpecReplaced { execution: Some(execution) })
    })
}

fn tool_call_events(events: &mut Vec<Body>, old: &[ToolCall], new: &[ToolCall]) {
    truncate(events, List::ToolCalls, old.len(), new.len());
    for (index, call) in (0_u32..).zip(new) {
        let set = |call| Body::ToolCallSet(ToolCallSet { index, tool_call: Some(call) });
        grown(events, old.get(index as usize), call, set, appended(Target::ToolCallResult, index));
    }
}

fn sub_agent_events(events: &mut Vec<Body>, old: &[SubAgentExecution], new: &[SubAgentExecution]) {
    truncate(events, List::SubAgents, old.len(), new.len());
    for (index, agent) in (0_u32..).zip(new) {
        let set = |agent| Body::SubAgentSet(SubAgentSet { index, sub_agent: Some(agent) });
        grown(events, old.get(index as usize), agent, set, appended(Target::SubAgentOutput, index));
    }
}

/// More text for an entry of one of the execution's own lists.
fn appended(target: Target, index: u32) -> impl Fn(String) -> Body {
    move |text| Body::TextAppended(TextAppended { target: target.into(), index, text, ..Default::default() })
}

fn todo_events(events: &mut Vec<Body>, old: &AgentExecutionStatus, new: &AgentExecutionStatus) {
    for (id, item) in &new.todos {
        if old.todos.get(id) != Some(item) {
            events.push(Body::TodoSet(TodoSet { id: id.clone(), item: Some(item.clone()) }));
        }
    }
    for id in old.todos.keys().filter(|id| !new.todos.contains_key(*id)) {
        events.push(Body::TodoRemoved(TodoRemoved { id: id.clone() }));
    }
}

fn phase_event(old: &AgentExecutionStatus, new: &AgentExecutionStatus) -> Option<Body> {
    let changed = |old: &str, new: &str| if old == new { String::new() } else { new.to_owned() };
    let changed = PhaseChanged {
        phase: new.phase,
        error: changed(&old.error, &new.error),
        started_at: changed(&old.started_at, &new.started_at),
        completed_at: changed(&old.completed_at, &new.completed_at),
        exit: None,
    };
    let nothing = PhaseChanged { phase: old.phase, ..Default::default() };
    (changed != nothing).then_some(Body::PhaseChanged(changed))
}

/// Whether two entries are the same. Numbers that are no numbers do not equal themselves; their bytes do.
fn same<T: Message + PartialEq>(old: &T, new: &T) -> bool {
    old == new || (old.encoded_len() == new.encoded_len() && old.encode_to_vec() == new.encode_to_vec())
}

fn truncate(events: &mut Vec<Body>, list: List, old: usize, new: usize) {
    if new < old {
        let length = u32::try_from(new).unwrap_or(u32::MAX);
        events.push(Body::ListTruncated(ListTruncated { list: list.into(), length }));
    }
}

#[cfg(test)]
mod tests;

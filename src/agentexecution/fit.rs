//! Replies that every client can take: one above 3.5 MiB loses the contents of its oldest messages, and with
//! them what tools and sub-agents took and said at that time, then whatever else it must, and says so. The
//! state itself is never touched.

use prost::Message;
use prost_types::Struct;

use crate::limits::REPLY_BYTES_MAX;
use crate::proto::stigmer::agentexecution::{
    AgentExecution, AgentExecutionSpec, AgentExecutionStatus, AgentMessage, SubAgentExecution, ToolCall,
};
use crate::proto::stigmer::apiresource::ApiResourceMetadata;

/// The annotation of an execution from which something was left out, and the name in a reply's metadata.
pub const TRUNCATED: &str = "tapeline-truncated";

/// A reply that fits.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted<T> {
    /// The reply.
    pub reply: T,
    /// Whether something was left out.
    pub truncated: bool,
}

/// An execution of at most 3.5 MiB.
pub(super) fn one(execution: AgentExecution) -> Fitted<AgentExecution> {
    within(execution, REPLY_BYTES_MAX)
}

/// Executions of at most 3.5 MiB together. Each may have as much; only where that is too much have all an
/// equal share.
pub(super) fn many(executions: Vec<AgentExecution>) -> Fitted<Vec<AgentExecution>> {
    let total: usize = executions.iter().map(|execution| execution.encoded_len() + ENTRY_BYTES).sum();
    if total <= REPLY_BYTES_MAX {
        return Fitted { reply: executions, truncated: false };
    }
    let share = (REPLY_BYTES_MAX / executions.len().max(1)).saturating_sub(ENTRY_BYTES);
    let fitted: Vec<_> = executions.into_iter().map(|execution| within(execution, share)).collect();
    let truncated = fitted.iter().any(|one| one.truncated);
    Fitted { reply: fitted.into_iter().map(|one| one.reply).collect(), truncated }
}

/// What an entry of a list costs besides itself: its key and length.
const ENTRY_BYTES: usize = 6;
/// What the annotation costs, and the lengths around it.
const ANNOTATION_BYTES: usize = 64;

/// The ages that are told apart.
const AGES: usize = 1 << 20;

/// Leaves out of an execution what may go at this stage, until that comes to so many bytes.
type Stage = fn(&mut AgentExecution, usize);

/// In this order, each only if the ones before it were not enough. After the last one everything fits: what
/// remains is bounded by the limits of a head.
const STAGES: [Stage; 3] = [leave_out_parts, leave_out_entries, leave_out_the_rest];

fn within(mut execution: AgentExecution, bytes_max: usize) -> Fitted<AgentExecution> {
    if execution.encoded_len() <= bytes_max {
        return Fitted { reply: execution, truncated: false };
    }
    for leave_out in STAGES {
        let length = execution.encoded_len() + ANNOTATION_BYTES;
        if length > bytes_max {
            leave_out(&mut execution, length - bytes_max);
        }
    }
    truncated(execution)
}

/// An execution of which something is missing; it says so.
pub(super) fn truncated(mut execution: AgentExecution) -> Fitted<AgentExecution> {
    let metadata = execution.metadata.get_or_insert_default();
    metadata.annotations.insert(TRUNCATED.to_owned(), "true".to_owned());
    Fitted { reply: execution, truncated: true }
}

/// Something that may be large.
enum Part<'a> {
    Text(&'a mut String),
    Structure(&'a mut Option<Struct>),
}

impl Part<'_> {
    /// Leaves it out. Returns what it took, about, in bytes.
    fn leave_out(self) -> usize {
        match self {
            Part::Text(text) => std::mem::take(text).len(),
            Part::Structure(structure) => structure.take().map_or(0, |structure| structure.encoded_len()),
        }
    }
}

/// Texts and structures, the oldest first, whatever they are of: what is newest stays readable as a whole.
fn leave_out_parts(execution: &mut AgentExecution, mut excess: usize) {
    let Some(status) = &mut execution.status else { return };
    for part in parts_by_age(status) {
        if excess == 0 {
            return;
        }
        excess = excess.saturating_sub(part.leave_out());
    }
}

/// All long parts, by how far they stand from the beginning of their list. The lists grew side by side: a
/// third of one is about as old as a third of another.
fn parts_by_age(status: &mut AgentExecutionStatus) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (messages, calls) = (status.messages.len(), status.tool_calls.len());
    for (place, message) in status.messages.iter_mut().enumerate() {
        let age = place * AGES / messages;
        parts.push((age, Part::Text(&mut message.content)));
        parts.push((age, Part::Structure(&mut message.metadata)));
        message.tool_calls.iter_mut().for_each(|call| add_call(&mut parts, age, call));
    }
    for (place, call) in status.tool_calls.iter_mut().enumerate() {
        add_call(&mut parts, place * AGES / calls, call);
    }
    let agents = status.sub_agent_executions.len();
    for (place, agent) in status.sub_agent_executions.iter_mut().enumerate() {
        let age = place * AGES / agents;
        parts.extend([&mut agent.output, &mut agent.input].map(|text| (age, Part::Text(text))));
        parts.push((age, Part::Structure(&mut agent.metadata)));
    }
    parts.extend(status.todos.values_mut().map(|todo| (AGES, Part::Text(&mut todo.content))));
    parts.push((AGES, Part::Text(&mut status.error)));
    parts.sort_by_key(|(age, _)| *age);
    parts.into_iter().map(|(_, part)| part).collect()
}

fn add_call<'a>(parts: &mut Vec<(usize, Part<'a>)>, age: usize, call: &'a mut ToolCall) {
    parts.extend([&mut call.result, &mut call.error].map(|text| (age, Part::Text(text))));
    parts.push((age, Part::Structure(&mut call.args)));
    if let Some(component) = &mut call.component_metadata {
        parts.push((age, Part::Structure(&mut component.metadata)));
    }
}

/// All that entries say but their kind and status. They keep their places: clients count messages.
fn leave_out_entries(execution: &mut AgentExecution, _: usize) {
    let Some(status) = &mut execution.status else { return };
    for message in &mut status.messages {
        *message = AgentMessage { r#type: message.r#type, ..Default::default() };
    }
    for call in &mut status.tool_calls {
        *call = ToolCall { status: call.status, ..Default::default() };
    }
    for agent in &mut status.sub_agent_executions {
        *agent = SubAgentExecution { status: agent.status, ..Default::default() };
    }
    status.todos.clear();
}

/// Everything but what names the execution and says how it is.
fn leave_out_the_rest(execution: &mut AgentExecution, _: usize) {
    let status = execution.status.take().unwrap_or_default();
    execution.status =
        Some(AgentExecutionStatus { phase: status.phase, audit: status.audit, ..Default::default() });
    let spec = execution.spec.take().unwrap_or_default();
    let AgentExecutionSpec { session_id, agent_id, .. } = spec;
    execution.spec = Some(AgentExecutionSpec { session_id, agent_id, ..Default::default() });
    let ApiResourceMetadata { id, name, .. } = execution.metadata.take().unwrap_or_default();
    execution.metadata = Some(ApiResourceMetadata { id, name, ..Default::default() });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn execution(messages: usize, letters: usize) -> AgentExecution {
        let message = |number: usize| AgentMessage {
            content: "x".repeat(letters),
            timestamp: number.to_string(),
            ..Default::default()
        };
        let status =
            AgentExecutionStatus { messages: (0..messages).map(message).collect(), ..Default::default() };
        AgentExecution { status: Some(status), ..Default::default() }
    }

    fn emptied(execution: &AgentExecution) -> Vec<bool> {
        let status = execution.status.as_ref().expect("there is a status");
        status.messages.iter().map(|message| message.content.is_empty()).collect()
    }

    #[test]
    fn what_fits_is_not_touched() {
        let small = execution(3, 1 << 20);
        assert_eq!(one(small.clone()), Fitted { reply: small, truncated: false });
    }

    #[test]
    fn the_oldest_messages_are_emptied_until_it_fits_and_it_says_so() {
        let Fitted { reply, truncated } = one(execution(6, 1 << 20));
        assert!(truncated && reply.encoded_len() <= REPLY_BYTES_MAX);
        assert_eq!(emptied(&reply), [true, true, true, false, false, false]);
        assert_eq!(reply.metadata.expect("set").annotations[TRUNCATED], "true");
    }

    #[test]
    fn what_is_old_goes_wherever_it_stands_and_the_newest_messages_stay() {
        let mut long = execution(200, 1_000);
        let status = long.status.as_mut().expect("set");
        let call = |_| ToolCall { result: "r".repeat(30_000), ..Default::default() };
        status.tool_calls = (0..200).map(call).collect();
        let Fitted { reply, truncated } = one(long);
        assert!(truncated && reply.encoded_len() <= REPLY_BYTES_MAX && reply.encoded_len() > 3 << 20);
        let emptied = emptied(&reply);
        assert!(emptied[..80].iter().all(|is| *is) && !emptied[90..].iter().any(|is| *is));
        assert!(reply.status.expect("set").tool_calls[110..].iter().all(|call| !call.result.is_empty()));
    }

    #[test]
    fn long_results_go_when_the_messages_are_not_enough() {
        let mut large = execution(1, 10);
        let call = ToolCall { id: "t".into(), result: "r".repeat(4 << 20), ..Default::default() };
        large.status.as_mut().expect("set").tool_calls = vec![call];
        let Fitted { reply, truncated } = one(large);
        assert!(truncated && reply.encoded_len() <= REPLY_BYTES_MAX);
        assert_eq!(reply.status.expect("set").tool_calls[0].id, "t");
    }

    #[test]
    fn arguments_go_when_the_texts_are_not_enough() {
        let mut large = execution(1, 10);
        let text =
            prost_types::Value { kind: Some(prost_types::value::Kind::StringValue("a".repeat(1 << 20))) };
        let args = Struct { fields: [("content".to_owned(), text)].into() };
        let call =
            |id: usize| ToolCall { id: id.to_string(), args: Some(args.clone()), ..Default::default() };
        large.status.as_mut().expect("set").tool_calls = (0..5).map(call).collect();
        let Fitted { reply, truncated } = one(large);
        assert!(truncated && reply.encoded_len() <= REPLY_BYTES_MAX);
        let calls = reply.status.expect("set").tool_calls;
        let kept: Vec<_> = calls.iter().map(|call| (call.id.as_str(), call.args.is_some())).collect();
        assert_eq!(kept, [("0", false), ("1", false), ("2", true), ("3", true), ("4", true)]);
    }

    #[test]
    fn messages_keep_their_places_when_there_are_too_many_of_them_for_all_they_say() {
        let mut large = execution(200_000, 10);
        for message in &mut large.status.as_mut().expect("set").messages {
            (message.r#type, message.timestamp) = (2, "2026-11-25T10:00:00.000000".into());
        }
        let Fitted { reply, truncated } = one(large);
        assert!(truncated && reply.encoded_len() <= REPLY_BYTES_MAX);
        let messages = reply.status.expect("set").messages;
        assert!(messages.len() == 200_000 && messages.iter().all(|message| message.r#type == 2));
    }

    #[test]
    fn whatever_an_execution_has_it_fits_in_the_end() {
        let mut large = execution(3_000_000, 0);
        let labels = (0..100_000).map(|number: usize| (number.to_string(), "x".repeat(40))).collect();
        large.metadata = Some(ApiResourceMetadata { id: "one".into(), labels, ..Default::default() });
        large.status.as_mut().expect("set").phase = 4;
        let Fitted { reply, truncated } = one(large);
        assert!(truncated && reply.encoded_len() <= REPLY_BYTES_MAX);
        assert_eq!((reply.metadata.expect("set").id.as_str(), reply.status.expect("set").phase), ("one", 4));
    }

    #[test]
    fn a_list_fits_with_every_execution_in_it() {
        let Fitted { reply, truncated } = many((0..10).map(|_| execution(2, 1 << 20)).collect());
        let length: usize = reply.iter().map(|one| one.encoded_len() + ENTRY_BYTES).sum();
        assert!(truncated && length <= REPLY_BYTES_MAX && reply.len() == 10);
    }
}

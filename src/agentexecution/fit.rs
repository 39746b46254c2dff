//! Replies that every client can take: one above 3.5 MiB loses the contents of its oldest messages, then
//! the long texts of its tool calls and sub-agents, and says so. The state itself is never touched.

use prost::Message;

use crate::limits::REPLY_BYTES_MAX;
use crate::proto::stigmer::agentexecution::{AgentExecution, AgentExecutionStatus, AgentMessage, ToolCall};

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

fn within(mut execution: AgentExecution, bytes_max: usize) -> Fitted<AgentExecution> {
    let length = execution.encoded_len();
    if length <= bytes_max {
        return Fitted { reply: execution, truncated: false };
    }
    let mut excess = length + ANNOTATION_BYTES - bytes_max;
    if let Some(status) = &mut execution.status {
        texts_by_age(status, &mut |text| {
            if excess > 0 {
                excess = excess.saturating_sub(text.len());
                *text = String::new();
            }
        });
    }
    let metadata = execution.metadata.get_or_insert_default();
    metadata.annotations.insert(TRUNCATED.to_owned(), "true".to_owned());
    Fitted { reply: execution, truncated: true }
}

/// What may be left out, in the order in which it goes.
fn texts_by_age(status: &mut AgentExecutionStatus, visit: &mut impl FnMut(&mut String)) {
    for AgentMessage { content, .. } in &mut status.messages {
        visit(content);
    }
    let in_messages = status.messages.iter_mut().flat_map(|message| &mut message.tool_calls);
    for ToolCall { result, error, .. } in in_messages.chain(&mut status.tool_calls) {
        visit(result);
        visit(error);
    }
    for agent in &mut status.sub_agent_executions {
        visit(&mut agent.output);
        visit(&mut agent.input);
    }
    for todo in status.todos.values_mut() {
        visit(&mut todo.content);
    }
    visit(&mut status.error);
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
    fn long_results_go_when_the_messages_are_not_enough() {
        let mut large = execution(1, 10);
        let call = ToolCall { id: "t".into(), result: "r".repeat(4 << 20), ..Default::default() };
        large.status.as_mut().expect("set").tool_calls = vec![call];
        let Fitted { reply, truncated } = one(large);
        assert!(truncated && reply.encoded_len() <= REPLY_BYTES_MAX);
        assert_eq!(reply.status.expect("set").tool_calls[0].id, "t");
    }

    #[test]
    fn a_list_fits_with_every_execution_in_it() {
        let Fitted { reply, truncated } = many((0..10).map(|_| execution(2, 1 << 20)).collect());
        let length: usize = reply.iter().map(|one| one.encoded_len() + ENTRY_BYTES).sum();
        assert!(truncated && length <= REPLY_BYTES_MAX && reply.len() == 10);
    }
}

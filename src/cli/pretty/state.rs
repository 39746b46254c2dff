//! A state as a transcript that is over: what it holds, each thing once, without times.

use super::Pretty;
use super::page::Page;
use super::seen::{Key, Seen};
use crate::cli::output::Paint;
use crate::cli::printable::printable;
use crate::proto::stigmer::agentexecution::AgentExecutionStatus;

/// The messages, tool calls, sub-agents and to-do list of an execution, and its error if that was not
/// told whole, line by line; empty if there are none.
pub(crate) fn state(status: &AgentExecutionStatus, told_error: &str, paint: Paint) -> String {
    let mut pretty = Pretty { paint, page: Page::untimed(paint), seen: Seen::default(), now: None };
    for (index, message) in (0..).zip(&status.messages) {
        pretty.message_added(index, Some(message));
    }
    for (index, call) in (0..).zip(&status.tool_calls) {
        pretty.tool_call(Key::ToolCall(index), Some(call));
    }
    for (index, agent) in (0..).zip(&status.sub_agent_executions) {
        pretty.sub_agent(index, Some(agent));
    }
    for (id, item) in &status.todos {
        pretty.todo(id, Some(item));
    }
    if status.error != told_error {
        pretty.page.lines("error", &printable(&status.error));
    }
    pretty.finish()
}

//! What a runner's status does to the stored one. Pure.

use crate::proto::stigmer::agentexecution::AgentExecutionStatus;

/// The status after an update: lists and todos replace the stored ones unless they are empty, the phase
/// unless it is unspecified, texts unless they are empty. Audit and callback token stay as they are.
pub fn merge(present: &AgentExecutionStatus, update: AgentExecutionStatus) -> AgentExecutionStatus {
    AgentExecutionStatus {
        messages: choose(!update.messages.is_empty(), update.messages, &present.messages),
        phase: choose(update.phase != 0, update.phase, &present.phase),
        tool_calls: choose(!update.tool_calls.is_empty(), update.tool_calls, &present.tool_calls),
        sub_agent_executions: choose(
            !update.sub_agent_executions.is_empty(),
            update.sub_agent_executions,
            &present.sub_agent_executions,
        ),
        error: choose(!update.error.is_empty(), update.error, &present.error),
        started_at: choose(!update.started_at.is_empty(), update.started_at, &present.started_at),
        completed_at: choose(!update.completed_at.is_empty(), update.completed_at, &present.completed_at),
        todos: choose(!update.todos.is_empty(), update.todos, &present.todos),
        callback_token: present.callback_token.clone(),
        audit: present.audit.clone(),
    }
}

fn choose<T: Clone>(takes_new: bool, new: T, present: &T) -> T {
    if takes_new { new } else { present.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::stigmer::agentexecution::{AgentMessage, TodoItem};

    fn status() -> AgentExecutionStatus {
        AgentExecutionStatus {
            messages: vec![AgentMessage { content: "one".into(), ..Default::default() }],
            phase: 2,
            error: "e".into(),
            started_at: "s".into(),
            todos: [("t".to_owned(), TodoItem::default())].into(),
            ..Default::default()
        }
    }

    #[test]
    fn what_an_update_leaves_empty_stays_as_it_was() {
        assert_eq!(merge(&status(), AgentExecutionStatus::default()), status());
    }

    #[test]
    fn what_an_update_says_replaces_what_was_there() {
        let update = AgentExecutionStatus {
            messages: vec![AgentMessage::default(), AgentMessage::default()],
            phase: 3,
            error: "f".into(),
            completed_at: "c".into(),
            todos: [("u".to_owned(), TodoItem::default())].into(),
            ..Default::default()
        };
        let expected = AgentExecutionStatus { started_at: "s".into(), ..update.clone() };
        assert_eq!(merge(&status(), update), expected);
    }

    #[test]
    fn audit_and_callback_token_of_an_update_are_ignored() {
        let update = AgentExecutionStatus {
            callback_token: "x".into(),
            audit: Some(Default::default()),
            ..Default::default()
        };
        assert_eq!(merge(&status(), update), status());
    }
}

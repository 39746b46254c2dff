//! What a runner's status does to the stored one. Pure.

use crate::proto::stigmer::agentexecution::{
    AgentExecutionStatus, AgentMessage, ExecutionPhase, MessageType,
};

/// The status after an update: lists and todos replace the stored ones unless they are empty, the phase
/// unless it is unspecified, texts unless they are empty. Audit and callback token stay as they are.
///
/// One list does not replace the stored one: what is said of a failure of the system, by someone who does
/// not know the transcript, goes behind the transcript.
pub fn merge(present: &AgentExecutionStatus, update: AgentExecutionStatus) -> AgentExecutionStatus {
    let messages = match is_failure_of_the_system(&update) && present.messages.iter().any(is_of_a_run) {
        true => behind(&present.messages, update.messages),
        false => choose(!update.messages.is_empty(), update.messages, &present.messages),
    };
    AgentExecutionStatus {
        messages,
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

/// Whether an update says that the execution failed and has nothing else to show than that: all of its
/// messages are the system's.
fn is_failure_of_the_system(update: &AgentExecutionStatus) -> bool {
    update.phase() == ExecutionPhase::ExecutionFailed
        && !update.messages.is_empty()
        && !update.messages.iter().any(is_of_a_run)
}

/// Whether a message is part of what was said in the run, and not of the system.
fn is_of_a_run(message: &AgentMessage) -> bool {
    message.r#type() != MessageType::MessageSystem
}

/// The transcript, and behind it what is not there yet, so that the same update once more changes nothing.
fn behind(transcript: &[AgentMessage], said: Vec<AgentMessage>) -> Vec<AgentMessage> {
    let mut messages = transcript.to_vec();
    if !transcript.ends_with(&said) {
        messages.extend(said);
    }
    messages
}

fn choose<T: Clone>(takes_new: bool, new: T, present: &T) -> T {
    if takes_new { new } else { present.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::stigmer::agentexecution::TodoItem;

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
    fn what_a_failure_of_the_system_says_stands_behind_the_transcript_once() {
        let system = AgentMessage {
            r#type: MessageType::MessageSystem.into(),
            content: "gone".into(),
            ..Default::default()
        };
        let failure = AgentExecutionStatus { phase: 4, messages: vec![system.clone()], ..Default::default() };
        let failed = merge(&status(), failure.clone());
        assert_eq!(failed.messages, [&status().messages[..], std::slice::from_ref(&system)].concat());
        assert_eq!(merge(&failed, failure.clone()), failed);
        let running = AgentExecutionStatus { phase: 2, ..failure.clone() };
        assert_eq!(
            merge(&status(), running).messages,
            std::slice::from_ref(&system),
            "only a failure does so"
        );
        let systems = AgentExecutionStatus { messages: vec![system.clone()], ..status() };
        let more = AgentExecutionStatus { phase: 4, messages: vec![system.clone(), system], ..failure };
        assert_eq!(merge(&systems, more.clone()).messages, more.messages, "there is no transcript to lose");
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

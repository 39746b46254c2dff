//! The agent of the demo: a small session that thinks aloud, uses tools and keeps a to-do list. It appends
//! event by event under its producer number, so that a daemon that is killed in between makes it neither
//! lose nor repeat anything.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::daemon::DemoDaemon;
use super::reader::remark;
use super::{ID, Remarks};
use crate::cli::client::{Client, Repeat, timed};
use crate::cli::exit::CliError;
use crate::proto::stigmer::agentexecution::{
    AgentMessage, MessageType, TodoItem, TodoStatus, ToolCall, ToolCallStatus,
};
use crate::proto::v1::event::Body;
use crate::proto::v1::output::Stream;
use crate::proto::v1::{
    AppendRequest, Event, MessageAdded, MessageTextAppended, Output, Phase, PhaseChanged, Producer, TodoSet,
    ToolCallSet,
};

/// The pause between two events: about as fast as a model writes.
const PACE: Duration = Duration::from_millis(45);

/// Works through the session; on the way the daemon is killed and watcher B is called back. Returns how
/// many events the log has, the creation included, and the daemon.
pub(super) async fn work(
    client: Client,
    mut daemon: DemoDaemon,
    remarks: Remarks,
    resume: oneshot::Sender<()>,
) -> Result<(u64, DemoDaemon), CliError> {
    let session = session();
    let (kill_at, resume_at) = (session.len() / 2, session.len() * 3 / 4);
    let (mut resume, mut tail) = (Some(resume), 1);
    for (number, body) in session.into_iter().enumerate() {
        tokio::time::sleep(PACE).await;
        if number == kill_at {
            daemon.kill().await?;
            remark(&remarks, "the daemon is killed (kill -9), and started again".to_owned()).await;
            daemon.restart().await?;
        }
        if number == resume_at
            && let Some(resume) = resume.take()
        {
            // Watcher B may have failed; then it says so itself.
            let _ = resume.send(());
        }
        tail = append(&client, number as u64, body).await?;
    }
    Ok((tail, daemon))
}

/// Appends one event and returns the tail; repeated under the same number until it is acknowledged.
async fn append(client: &Client, number: u64, body: Body) -> Result<u64, CliError> {
    let request = AppendRequest {
        execution_id: ID.to_owned(),
        events: vec![Event { body: Some(body), ..Event::default() }],
        expected_last_seq: None,
        producer: Some(Producer { id: "demo-agent".to_owned(), epoch: 1, seq: number }),
    };
    let call = || async { client.log().append(timed(request.clone())).await };
    Ok(client.call(Repeat::AlsoWhenLost, call).await?.tail_seq)
}

/// What the agent does, event by event.
fn session() -> Vec<Body> {
    let mut session = vec![
        phase(Phase::InProgress),
        said(0, MessageType::MessageHuman, "The test `parses_empty_input` fails. Please fix it."),
        todo("1", "find the cause", TodoStatus::TodoInProgress),
        todo("2", "fix it and run the tests", TodoStatus::TodoPending),
    ];
    session.extend(thinks(1, "I will look at the parser first, then at what the test expects of it."));
    session.push(tool(0, "read_file", ToolCallStatus::ToolCallRunning, ""));
    session.push(tool(
        0,
        "read_file",
        ToolCallStatus::ToolCallCompleted,
        "fn parse(text: &str) -> Option<Ast> { … }",
    ));
    session.extend(thinks(2, "An empty text has no first token, and `parse` takes one without asking."));
    session.push(todo("1", "find the cause", TodoStatus::TodoCompleted));
    session.push(todo("2", "fix it and run the tests", TodoStatus::TodoInProgress));
    session.push(tool(1, "edit_file", ToolCallStatus::ToolCallCompleted, "1 line changed"));
    session.push(tool(2, "shell", ToolCallStatus::ToolCallRunning, ""));
    session.push(wrote("running 3 tests\n"));
    for test in ["parses_one_word", "parses_empty_input", "parses_nested_lists"] {
        session.push(wrote(&format!("test {test} ... ")));
        session.push(wrote("ok\n"));
    }
    session.push(tool(2, "shell", ToolCallStatus::ToolCallCompleted, "3 passed"));
    session.push(todo("2", "fix it and run the tests", TodoStatus::TodoCompleted));
    session.extend(thinks(3, "Done: an empty text is now an empty tree, and all three tests pass."));
    session.push(phase(Phase::Completed));
    session
}

fn phase(phase: Phase) -> Body {
    Body::PhaseChanged(PhaseChanged { phase: phase as i32, ..PhaseChanged::default() })
}

fn said(index: u32, speaker: MessageType, content: &str) -> Body {
    let message =
        AgentMessage { r#type: speaker as i32, content: content.to_owned(), ..AgentMessage::default() };
    Body::MessageAdded(MessageAdded { index, message: Some(message) })
}

/// A message that grows word by word.
fn thinks(index: u32, text: &str) -> Vec<Body> {
    let mut words = text.split_inclusive(' ');
    let first = said(index, MessageType::MessageAi, words.next().unwrap_or_default());
    let more =
        words.map(|word| Body::MessageTextAppended(MessageTextAppended { index, text: word.to_owned() }));
    std::iter::once(first).chain(more).collect()
}

fn todo(id: &str, content: &str, status: TodoStatus) -> Body {
    let item = TodoItem {
        id: id.to_owned(),
        content: content.to_owned(),
        status: status as i32,
        ..TodoItem::default()
    };
    Body::TodoSet(TodoSet { id: id.to_owned(), item: Some(item) })
}

fn tool(index: u32, name: &str, status: ToolCallStatus, result: &str) -> Body {
    let call = ToolCall {
        id: format!("call-{index}"),
        name: name.to_owned(),
        status: status as i32,
        result: result.to_owned(),
        ..ToolCall::default()
    };
    Body::ToolCallSet(ToolCallSet { index, tool_call: Some(call) })
}

fn wrote(text: &str) -> Body {
    let data = Bytes::from(text.to_owned());
    Body::Output(Output { stream: Stream::Stdout as i32, data, truncated: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_long_enough_to_be_cut_and_ends_once() {
        let session = session();
        assert!(session.len() > 60 && session.len() < 150, "{} events", session.len());
        let ends = session
            .iter()
            .filter(|body| matches!(body, Body::PhaseChanged(change) if change.phase() == Phase::Completed));
        assert_eq!(ends.count(), 1);
    }
}

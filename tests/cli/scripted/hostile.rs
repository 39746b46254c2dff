//! A daemon, or whatever answers in its place, that sends what a terminal would obey.

use std::collections::HashMap;

use tapeline::proto::stigmer::agentexecution::{
    AgentExecutionStatus, AgentMessage, SubAgentExecution, TodoItem, ToolCall,
};
use tapeline::proto::v1::watch_response::Frame as Body;
use tapeline::proto::v1::{
    End, Event, EventBatch, Execution, ExecutionCreated, GetStatsResponse, Hello, Phase, Watcher, end, event,
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::super::support::Done;
use super::{Script, hello, play};

/// Clears the screen, sets a title, turns letters around, ends the line and writes another one over it.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}1m\u{202e}x\u{2066}\rover\nnext\u{feff}";

fn hostile() -> String {
    HOSTILE.to_owned()
}

/// Nothing that was sent has reached a terminal as it was; and it was not just left out.
fn assert_harmless(done: &Done, what: &str) {
    let told = format!("{}{}", done.text(), done.stderr);
    let harmful = |letter: char| {
        (letter.is_control() && letter != '\n') || matches!(letter, '\u{202e}' | '\u{2066}' | '\u{feff}')
    };
    assert!(!told.chars().any(harmful), "{what}: {told:?}");
    assert!(told.contains("x1b") || told.contains("u001b"), "{what} leaves it out: {told:?}");
    let begins_a_line = told.lines().any(|line| line.starts_with("next"));
    assert!(!begins_a_line, "{what} lets it begin a line of its own: {told:?}");
}

fn execution() -> Execution {
    Execution {
        id: hostile(),
        log_id: hostile(),
        phase: i32::MAX,
        floor_seq: u64::MAX,
        tail_seq: u64::MAX,
        session_id: hostile(),
        agent_id: hostile(),
        display_name: hostile(),
        labels: [(hostile(), hostile())].into(),
        error: hostile(),
        stored_bytes: u64::MAX,
        ..Execution::default()
    }
}

fn state() -> AgentExecutionStatus {
    let call = ToolCall {
        id: hostile(),
        name: hostile(),
        result: hostile(),
        error: hostile(),
        started_at: hostile(),
        status: i32::MAX,
        ..ToolCall::default()
    };
    let message =
        AgentMessage { content: hostile(), tool_calls: vec![call.clone()], ..AgentMessage::default() };
    let agent = SubAgentExecution { name: hostile(), output: hostile(), ..SubAgentExecution::default() };
    let item = TodoItem { id: hostile(), content: hostile(), ..TodoItem::default() };
    AgentExecutionStatus {
        messages: vec![message],
        tool_calls: vec![call],
        sub_agent_executions: vec![agent],
        todos: [(hostile(), item)].into(),
        error: hostile(),
        ..AgentExecutionStatus::default()
    }
}

fn watcher() -> Watcher {
    Watcher {
        id: hostile(),
        peer: hostile(),
        execution_id: hostile(),
        cursor_seq: u64::MAX,
        lag_events: u64::MAX,
        state: i32::MIN,
        ..Watcher::default()
    }
}

#[test]
fn what_a_hostile_daemon_says_of_executions_and_watchers_does_not_reach_the_terminal() {
    for args in [&["get", "e1"][..], &["list"], &["create"], &["watchers"], &["stats"]] {
        for format in [&[][..], &["-o", "json"]] {
            let script = Script {
                execution: Some(execution()),
                state: Some(state()),
                watcher: Some(watcher()),
                stats: Some(GetStatsResponse {
                    version: hostile(),
                    store_id: hostile(),
                    unsealed_bytes: u64::MAX,
                    ..GetStatsResponse::default()
                }),
                ..Script::default()
            };
            let args = [args, format].concat();
            let (done, _) = play(script, &args);
            assert_eq!(done.code, Some(0), "{args:?}: {}", done.stderr);
            assert_harmless(&done, &args.join(" "));
        }
    }
}

#[test]
fn a_time_that_cannot_be_is_shown_as_none() {
    let time = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: i32::MIN });
    for args in [&["get", "e1"][..], &["list"]] {
        let script = Script {
            execution: Some(Execution { create_time: time, ..execution() }),
            state: Some(state()),
            ..Script::default()
        };
        let (done, _) = play(script, args);
        assert_eq!(done.code, Some(0), "{args:?}: {}", done.stderr);
        assert_harmless(&done, args[0]);
    }
}

#[test]
fn what_a_hostile_daemon_refuses_with_does_not_reach_the_terminal() {
    let mut details =
        ErrorDetails::with_error_info(HOSTILE, "tapeline", HashMap::from([(hostile(), hostile())]));
    details.add_bad_request_violation(HOSTILE, format!("described {HOSTILE}"));
    for error in [
        Status::with_error_details(Code::InvalidArgument, HOSTILE, details.clone()),
        Status::internal(HOSTILE),
        Status::not_found(HOSTILE),
    ] {
        for args in [&["get", "e1"][..], &["list"], &["watchers"], &["stats"]] {
            let (done, _) = play(Script { error: Some(error.clone()), ..Script::default() }, args);
            assert!(matches!(done.code, Some(2 | 3 | 5)), "{args:?}: {:?}", done.code);
            assert_harmless(&done, &args.join(" "));
        }
        for args in [&["append", "e1", "--type", "t", "--data", "d"][..], &["run", "--", "true"]] {
            let appends = [Err(error.clone())].into();
            let (done, _) = play(Script { appends, ..Script::default() }, args);
            assert_harmless(&done, args[0]);
        }
        let watches = [vec![Err(error.clone())]].into();
        let (done, _) =
            play(Script { watches, ..Script::default() }, &["watch", "e1", "--reconnect-for", "100ms"]);
        assert!(matches!(done.code, Some(2 | 3 | 5)), "{:?}", done.code);
        assert_harmless(&done, "watch");
    }
}

#[test]
fn what_a_hostile_log_says_does_not_reach_the_terminal() {
    let created = ExecutionCreated {
        display_name: hostile(),
        labels: [(hostile(), hostile())].into(),
        ..ExecutionCreated::default()
    };
    let event = Event { seq: 1, body: Some(event::Body::Created(created)), ..Event::default() };
    for format in ["pretty", "json"] {
        let end = End {
            reason: end::Reason::Terminal as i32,
            phase: Phase::Failed as i32,
            error: hostile(),
            ..End::default()
        };
        let events = EventBatch { events: vec![event.clone()] };
        let frames = vec![hello(), Ok(Body::Events(events)), Ok(Body::End(end))];
        let (done, _) =
            play(Script { watches: [frames].into(), ..Script::default() }, &["watch", "e1", "-o", format]);
        assert_eq!(done.code, Some(1), "{}", done.stderr);
        assert_harmless(&done, format);
    }
}

#[test]
fn a_greeting_whose_numbers_cannot_be_is_no_panic() {
    for (floor_seq, tail_seq) in [(u64::MAX, 0), (u64::MAX, u64::MAX), (0, u64::MAX)] {
        for start in
            [&["--tail", "0"][..], &["--tail", "4294967295"], &["--after", "18446744073709551615"], &[]]
        {
            let greeting = Hello { floor_seq, tail_seq, log_id: hostile(), ..Hello::default() };
            let frames = vec![Ok(Body::Hello(greeting)), super::end()];
            let args = [&["watch", "e1"][..], start].concat();
            let (done, _) = play(Script { watches: [frames].into(), ..Script::default() }, &args);
            assert_eq!(done.code, Some(0), "{args:?}: {}", done.stderr);
            assert!(!done.stderr.contains("panicked"), "{args:?}: {}", done.stderr);
        }
    }
}

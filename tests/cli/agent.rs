//! Runs of agents at the terminal: what `watch` and `get` show of messages, tool calls, sub-agents and
//! to-do lists, whether a Stigmer runner or a native producer wrote them.

use serde_json::{Value, json};
use tapeline::proto::stigmer::agentexecution as wire;
use tapeline::proto::stigmer::agentexecution::agent_execution_command_controller_client::AgentExecutionCommandControllerClient as Runner;
use tapeline::proto::stigmer::apiresource::ApiResourceMetadata;

use super::support::{Daemon, Running, eventually};

fn append(daemon: &Daemon, id: &str, events: &[Value]) {
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    let done = daemon.shell_with(&["append", id], lines.as_bytes());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

/// Sends a whole status, as a runner does again and again.
fn report(daemon: &Daemon, id: &str, status: wire::AgentExecutionStatus) {
    let input = wire::AgentExecutionUpdateStatusInput { execution_id: id.to_owned(), status: Some(status) };
    let sent = runtime().block_on(async {
        Runner::connect(daemon.url()).await.expect("it listens").update_status(input).await
    });
    sent.expect("the status is valid");
}

fn created_by_a_client(daemon: &Daemon) -> String {
    let spec =
        wire::AgentExecutionSpec { agent_id: "a".into(), message: "fix it".into(), ..Default::default() };
    let metadata = ApiResourceMetadata { name: "fix".into(), ..Default::default() };
    let execution = wire::AgentExecution { metadata: Some(metadata), spec: Some(spec), ..Default::default() };
    let reply = runtime()
        .block_on(async { Runner::connect(daemon.url()).await.expect("it listens").create(execution).await });
    reply.expect("it is valid").into_inner().metadata.expect("always set").id
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn said(speaker: wire::MessageType, content: &str) -> wire::AgentMessage {
    wire::AgentMessage { r#type: speaker as i32, content: content.to_owned(), ..Default::default() }
}

fn status(phase: wire::ExecutionPhase, messages: Vec<wire::AgentMessage>) -> wire::AgentExecutionStatus {
    wire::AgentExecutionStatus { phase: phase as i32, messages, ..Default::default() }
}

/// How Stigmer's command line fails its reader: "the CLI prints a growing message once, truncated; exits 0
/// on failure; never reconnects". A runner reports a message that grows while tools are used; the daemon is
/// killed in the middle, and the run fails.
#[test]
fn the_cli_prints_a_growing_message_once_and_whole_exits_1_on_failure_and_reconnects() {
    let mut daemon = Daemon::start();
    let id = created_by_a_client(&daemon);
    let watch = Running::start(&mut daemon.command(&["watch", &id]));
    let words: Vec<String> =
        (0..60).map(|number| format!("word{number:04} and a long way to the next one, ")).collect();
    let human = said(wire::MessageType::MessageHuman, "Please go on");
    for (number, end) in (1..=words.len()).step_by(3).enumerate() {
        let talking = said(wire::MessageType::MessageAi, &words[..end].concat());
        let mut messages = vec![human.clone(), talking];
        // What the tools say comes after the message that goes on growing.
        messages
            .extend((0..number / 4).map(|at| said(wire::MessageType::MessageTool, &format!("result{at}"))));
        report(&daemon, &id, status(wire::ExecutionPhase::ExecutionInProgress, messages));
        if number == 9 {
            let newest = words[end - 1].trim_end();
            eventually(|| watch.stdout().contains(newest), &|| watch.stdout());
            daemon.kill();
            eventually(|| watch.stderr().contains("connection lost"), &|| watch.stderr());
            daemon.restart();
        }
    }
    let talking = said(wire::MessageType::MessageAi, &words.concat());
    let mut last = status(wire::ExecutionPhase::ExecutionFailed, vec![human, talking]);
    last.error = "no tokens left".into();
    report(&daemon, &id, last);

    let done = watch.done();
    assert_eq!(done.code, Some(1), "the run failed: {}", done.stderr);
    assert!(done.stderr.contains("connected again"), "{}", done.stderr);
    let mut rest = done.text();
    for word in &words {
        let word = word.trim_end();
        assert_eq!(done.text().matches(word).count(), 1, "{word:?} is shown once:\n{}", done.text());
        rest = rest.split_once(word).unwrap_or_else(|| panic!("{word:?} is not in its place:\n{rest}")).1;
    }
    assert_eq!(done.text().matches(" ai #1  ").count(), 1, "{}", done.text());
    assert_eq!(done.text().matches(" ai #1 … ").count(), 6, "after all else that was said:\n{}", done.text());
    for shown in
        ["human #0      Please go on", "tool #2       result0", "phase         FAILED", "no tokens left"]
    {
        assert_eq!(done.text().matches(shown).count(), 1, "{shown:?}:\n{}", done.text());
    }
    assert!(!done.text().contains('\u{1b}'), "colours, and no terminal");
}

/// All that a state holds, by a native producer.
fn filled(daemon: &Daemon) {
    daemon.ok(&["create", "e1", "--name", "a talk", "--label", "team=core"]);
    let asks = json!({"type": "MESSAGE_AI", "content": "I look\nat it", "tool_calls": [
        {"name": "grep", "status": "TOOL_CALL_RUNNING", "args": {"n": 1.5, "in": [null, {"a": "b"}]}}]});
    append(
        daemon,
        "e1",
        &[
            json!({"phase_changed": {"phase": "PHASE_IN_PROGRESS"}}),
            json!({"message_added": {"index": 0, "message": {"type": "MESSAGE_HUMAN", "content": "\u{1b}[2Jgo"}}}),
            json!({"message_added": {"index": 1, "message": asks}}),
            json!({"message_text_appended": {"index": 1, "text": " again"}}),
            json!({"tool_call_set": {"index": 0, "tool_call":
                {"name": "ls", "status": "TOOL_CALL_COMPLETED", "result": "a b c"}}}),
            json!({"sub_agent_set": {"index": 0, "sub_agent":
                {"name": "scout", "status": "SUB_AGENT_FAILED", "error": "lost"}}}),
            json!({"todo_set": {"id": "t1", "item": {"id": "t1", "content": "look", "status": "TODO_COMPLETED"}}}),
            json!({"phase_changed": {"phase": "PHASE_FAILED", "error": "gave up"}}),
        ],
    );
}

#[test]
fn get_shows_an_execution_and_its_state_to_people() {
    let daemon = Daemon::start();
    filled(&daemon);
    let done = daemon.ok(&["get", "e1"]);
    for line in [
        "phase    FAILED",
        "error    gave up",
        "labels   team=core",
        "human #0      \\x1b[2Jgo",
        "ai #1         I look",
        "              at it again",
        "call #1.0     grep running in=[null, {a: \"b\"}] n=1.5",
        "call #0       ls completed: a b c",
        "sub-agent #0  scout failed: lost",
        "todo          [x] look",
    ] {
        let found = done.text().lines().filter(|found| *found == line).count();
        assert_eq!(found, 1, "{line:?} in:\n{}", done.text());
    }
    assert_eq!(done.stderr, "");
}

#[test]
fn get_shows_an_execution_and_its_state_to_programs() {
    let daemon = Daemon::start();
    filled(&daemon);
    let shown = daemon.get("e1");
    assert_eq!((&shown["id"], &shown["phase"]), (&json!("e1"), &json!("PHASE_FAILED")));
    let state = &shown["state"];
    assert_eq!(state["phase"], "EXECUTION_FAILED");
    assert_eq!(
        state["messages"][0],
        json!({"type": "MESSAGE_HUMAN", "content": "\u{1b}[2Jgo",
        "timestamp": "", "tool_calls": []})
    );
    assert_eq!(state["messages"][1]["content"], "I look\nat it again");
    let call = &state["messages"][1]["tool_calls"][0];
    assert_eq!(
        (&call["status"], &call["args"]),
        (&json!("TOOL_CALL_RUNNING"), &json!({"n": 1.5, "in": [null, {"a": "b"}]}))
    );
    assert_eq!(state["tool_calls"][0]["result"], "a b c");
    assert_eq!(state["sub_agent_executions"][0]["error"], "lost");
    assert_eq!(state["todos"]["t1"]["status"], "TODO_COMPLETED");
    assert_eq!(state["error"], "gave up");
}

#[test]
fn get_says_when_the_state_is_too_large_for_one_reply() {
    let daemon = Daemon::start();
    let id = created_by_a_client(&daemon);
    let large = |letter: &str| said(wire::MessageType::MessageAi, &letter.repeat(2 << 20));
    let messages = vec![large("x"), large("y")];
    report(&daemon, &id, status(wire::ExecutionPhase::ExecutionInProgress, messages));
    let done = daemon.ok(&["get", &id]);
    assert!(done.stderr.contains("oldest contents are left out"), "{}", done.stderr);
    let count = |letter| done.text().matches(letter).count();
    assert!(count('x') < 100 && count('y') >= 2 << 20, "{} and {}", count('x'), count('y'));
    let shown = daemon.ok(&["get", &id, "-o", "json"]);
    assert!(shown.stderr.contains("oldest contents are left out"), "{}", shown.stderr);
    assert_eq!(shown.json()[0]["state"]["messages"][0]["content"], "");
}

#[test]
fn get_shows_what_it_knows_when_the_state_cannot_be_had_and_fails() {
    let daemon = Daemon::start();
    daemon.ok(&["create", "e1", "--name", "a talk"]);
    let added = json!({"message_added": {"index": 0, "message": {"type": "MESSAGE_AI", "content": ""}}});
    append(&daemon, "e1", &[added]);
    // More than the daemon folds into one state.
    let piece =
        json!({"message_text_appended": {"index": 0, "text": "x".repeat(1_000_000)}}).to_string() + "\n";
    let done = daemon.shell_with(&["append", "e1"], piece.repeat(70).as_bytes());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let pretty = daemon.shell(&["get", "e1"]);
    assert_eq!(pretty.code, Some(1), "{}", pretty.stderr);
    assert!(pretty.text().contains("name     a talk\n"), "{}", pretty.text());
    assert!(pretty.stderr.contains("STATE_TOO_LARGE"), "{}", pretty.stderr);
    let shown = daemon.shell(&["get", "e1", "-o", "json"]);
    assert_eq!((shown.code, shown.json()[0]["state"].is_null()), (Some(1), true));
}

#[test]
fn get_shows_a_run_of_a_program_as_a_header_alone() {
    let daemon = Daemon::start();
    let run = daemon.shell(&["run", "--id", "r1", "--", "sh", "-c", "echo out; exit 3"]);
    assert_eq!(run.code, Some(3));
    let done = daemon.ok(&["get", "r1"]);
    assert!(done.text().contains("error    exit code 3\n"), "{}", done.text());
    assert!(done.text().lines().all(|line| !line.is_empty()), "nothing below the header:\n{}", done.text());
    assert_eq!(done.stderr, "");
    let state = &daemon.get("r1")["state"];
    assert_eq!((&state["messages"], &state["error"]), (&json!([]), &json!("exit code 3")));
}

#[test]
fn a_watch_from_a_cursor_in_the_middle_of_a_message_shows_the_rest_and_says_whose_it_is() {
    let daemon = Daemon::start();
    daemon.ok(&["create", "e1"]);
    append(
        &daemon,
        "e1",
        &[
            json!({"message_added": {"index": 0, "message": {"type": "MESSAGE_AI", "content": "one"}}}),
            json!({"message_text_appended": {"index": 0, "text": " two"}}),
            json!({"message_tool_call_set": {"index": 0, "tool_call_index": 0, "tool_call":
                {"name": "ls", "status": "TOOL_CALL_COMPLETED", "result": "a"}}}),
        ],
    );
    let shown = daemon.ok(&["logs", "e1", "--after", "2"]);
    let lines: Vec<&str> = shown.text().lines().map(|line| &line[9..]).collect();
    assert_eq!(lines, ["message #0 …   two", "call #0.0     ls completed: a"]);
}

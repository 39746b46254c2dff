//! Transcripts, as people see them.

mod growth;

use bytes::Bytes;
use prost_types::value::Kind;
use prost_types::{Struct, Value};

use super::*;
use crate::cli::limits::{SHOWN_ENTRIES_MAX, SHOWN_RESULT_LETTERS_MAX};
use crate::proto::stigmer::agentexecution::{
    AgentExecution, AgentExecutionSpec, AgentExecutionStatus, AgentMessage, MessageType, SubAgentExecution,
    SubAgentStatus, TodoItem, TodoStatus, ToolCall, ToolCallStatus,
};
use crate::proto::v1::output::Stream;
use crate::proto::v1::{
    MessageAdded, MessageReplaced, MessageTextAppended, MessageToolCallSet, Output, Phase, SubAgentSet,
    TodoRemoved, TodoSet, ToolCallSet,
};

/// A transcript without its times; the hour depends on the time zone of the machine.
fn shown(bodies: Vec<Body>) -> String {
    let mut pretty = Pretty::new(Paint::off());
    let events = bodies.into_iter().map(|body| Event { body: Some(body), ..Event::default() });
    let text: String = events.map(|event| pretty.event(&event)).collect();
    timeless(&(text + &pretty.finish()))
}

fn timeless(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_once(":00:00 ").map_or(line, |(_, rest)| rest));
    lines.collect::<Vec<_>>().join("\n")
}

fn output(stream: Stream, data: &'static [u8]) -> Body {
    Body::Output(Output { stream: stream as i32, data: Bytes::from_static(data), truncated: false })
}

fn said(content: &str) -> AgentMessage {
    AgentMessage { r#type: MessageType::MessageAi as i32, content: content.to_owned(), ..Default::default() }
}

fn message(index: u32, content: &str) -> Body {
    Body::MessageAdded(MessageAdded { index, message: Some(said(content)) })
}

fn replaced(index: u32, message: AgentMessage) -> Body {
    Body::MessageReplaced(MessageReplaced { index, message: Some(message) })
}

fn more(index: u32, text: &str) -> Body {
    Body::MessageTextAppended(MessageTextAppended { index, text: text.to_owned() })
}

fn grew(target: Target, index: u32, tool_call_index: u32, text: &str) -> Body {
    Body::TextAppended(TextAppended { target: target as i32, index, text: text.to_owned(), tool_call_index })
}

fn call(name: &str, status: ToolCallStatus, result: &str) -> ToolCall {
    ToolCall { name: name.to_owned(), status: status as i32, result: result.to_owned(), ..Default::default() }
}

fn tool(index: u32, tool_call: ToolCall) -> Body {
    Body::ToolCallSet(ToolCallSet { index, tool_call: Some(tool_call) })
}

fn nested(index: u32, tool_call_index: u32, tool_call: ToolCall) -> Body {
    Body::MessageToolCallSet(MessageToolCallSet { index, tool_call_index, tool_call: Some(tool_call) })
}

fn agent(status: SubAgentStatus, output: &str) -> Body {
    let (name, input) = ("scout".to_owned(), "look around".to_owned());
    let sub_agent = SubAgentExecution {
        name,
        input,
        status: status as i32,
        output: output.to_owned(),
        ..Default::default()
    };
    Body::SubAgentSet(SubAgentSet { index: 0, sub_agent: Some(sub_agent) })
}

fn todo(id: &str, content: &str, status: TodoStatus, updated_at: &str) -> Body {
    let item = TodoItem {
        content: content.to_owned(),
        status: status as i32,
        updated_at: updated_at.to_owned(),
        ..Default::default()
    };
    Body::TodoSet(TodoSet { id: id.to_owned(), item: Some(item) })
}

fn phase(phase: Phase) -> Body {
    Body::PhaseChanged(PhaseChanged { phase: phase as i32, ..PhaseChanged::default() })
}

fn cut(list: List, length: u32) -> Body {
    Body::ListTruncated(ListTruncated { list: list as i32, length })
}

/// One line for each, whatever the width of the columns.
fn assert_lines(bodies: Vec<Body>, expected: &[&str]) {
    let text = shown(bodies);
    let lines: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines, expected);
}

#[test]
fn what_programs_wrote_stands_as_they_wrote_it() {
    let bodies = vec![
        output(Stream::Stdout, b"gr\xc3"),
        output(Stream::Stdout, b"\xbc\xc3\x9fe\r\n\x1b[2J"),
        output(Stream::Stderr, b"oh\n"),
    ];
    assert_eq!(shown(bodies), "grüße\n\\x1b[2J\noh");
}

#[test]
fn a_message_grows_on_its_line_until_something_else_is_said_and_then_is_named_again() {
    let bodies =
        vec![message(0, "I will"), more(0, " look\ninto it\n\n"), phase(Phase::InProgress), more(0, "!")];
    let indent = " ".repeat(23);
    assert_eq!(
        shown(bodies),
        format!("ai #0         I will look\n{indent}into it\n\nphase         IN_PROGRESS\nai #0 …       !")
    );
}

#[test]
fn two_messages_that_grow_by_turns_are_told_apart() {
    let bodies = vec![message(0, "a"), message(1, "b"), more(0, "a"), more(1, "b"), more(1, "b")];
    assert_lines(bodies, &["ai #0 a", "ai #1 b", "ai #0 … a", "ai #1 … bb"]);
}

#[test]
fn a_message_whose_beginning_was_not_seen_is_shown_from_where_it_was_seen() {
    let bodies = vec![more(7, "and"), more(7, " so on"), replaced(7, said("and so on")), more(7, ".")];
    assert_lines(bodies, &["message #7 … and so on", "ai #7 replaced and so on."]);
}

#[test]
fn what_agents_wrote_cannot_reach_the_terminal() {
    let hostile = "a\u{1b}]0;title\u{7}\u{202e}\u{9b}2J\u{2028}b\u{e0041}\rover";
    let args = Struct { fields: [(hostile.to_owned(), string(hostile))].into() };
    let hostile_call = ToolCall {
        args: Some(args),
        error: hostile.to_owned(),
        ..call(hostile, ToolCallStatus::ToolCallRunning, hostile)
    };
    let failed =
        PhaseChanged { phase: Phase::Failed as i32, error: hostile.to_owned(), ..Default::default() };
    let sub_agent = SubAgentExecution {
        name: hostile.to_owned(),
        input: hostile.to_owned(),
        output: hostile.to_owned(),
        error: hostile.to_owned(),
        ..Default::default()
    };
    let text = shown(vec![
        message(0, hostile),
        more(0, hostile),
        replaced(0, said(&format!("other {hostile}"))),
        nested(0, 0, hostile_call.clone()),
        tool(0, hostile_call),
        grew(Target::ToolCallResult, 0, 0, hostile),
        grew(Target::MessageToolCallResult, 0, 3, hostile),
        Body::SubAgentSet(SubAgentSet { index: 0, sub_agent: Some(sub_agent) }),
        grew(Target::SubAgentOutput, 0, 0, hostile),
        grew(Target::Unspecified, 0, 0, hostile),
        todo(hostile, hostile, TodoStatus::TodoPending, ""),
        Body::TodoRemoved(TodoRemoved { id: hostile.to_owned() }),
        Body::TodoRemoved(TodoRemoved { id: format!("other {hostile}") }),
        Body::PhaseChanged(failed),
    ]);
    let harmful = ['\u{1b}', '\u{7}', '\u{202e}', '\u{9b}', '\u{2028}', '\u{e0041}', '\r'];
    assert!(!text.contains(harmful), "{text:?}");
    assert!(text.contains("\\x1b]0;title"), "{text:?}");
    assert_eq!(text.matches("title").count(), 25, "{text}");
}

fn string(text: &str) -> Value {
    Value { kind: Some(Kind::StringValue(text.to_owned())) }
}

#[test]
fn a_rewritten_message_shows_only_what_is_new_and_another_text_is_shown_whole() {
    let bodies = vec![
        message(0, "one"),
        more(0, " two"),
        replaced(0, said("one two three")),
        replaced(0, said("one two three")),
        replaced(0, said("one 2 three")),
        more(0, " four"),
        replaced(0, AgentMessage { r#type: MessageType::MessageHuman as i32, ..said("one 2 three four!") }),
    ];
    assert_lines(
        bodies,
        &[
            "ai #0 one two",
            "ai #0 rewritten three",
            "ai #0 rewritten (its text is the same)",
            "ai #0 replaced one 2 three four",
            "human #0 rewritten !",
        ],
    );
}

#[test]
fn a_tool_call_has_a_line_for_each_change_with_what_is_new() {
    let args = Struct {
        fields: [("path", string("a \"b\"")), ("n", Value { kind: Some(Kind::NumberValue(3.0)) })]
            .map(|(key, value)| (key.to_owned(), value))
            .into(),
    };
    let at = |status, result: &str| ToolCall { args: Some(args.clone()), ..call("grep", status, result) };
    let mut failed = at(ToolCallStatus::ToolCallFailed, "3 hits");
    failed.error = "gone".to_owned();
    failed.started_at = "2026-01-31T12:00:00.5".to_owned();
    failed.completed_at = "2026-01-31T12:01:02".to_owned();
    let bodies = vec![
        tool(0, at(ToolCallStatus::ToolCallPending, "")),
        tool(0, at(ToolCallStatus::ToolCallPending, "")),
        tool(0, at(ToolCallStatus::ToolCallRunning, "")),
        grew(Target::ToolCallResult, 0, 0, "3 h"),
        grew(Target::ToolCallResult, 0, 0, "its"),
        tool(0, failed),
    ];
    assert_lines(
        bodies,
        &[
            r#"call #0 grep pending n=3 path="a \"b\"""#,
            "call #0 grep pending → running",
            "result #0 3 hits",
            "call #0 grep running → failed in 1 min 1 s (6 B): gone",
        ],
    );
}

#[test]
fn the_time_a_call_took_is_that_between_its_events_if_it_says_none() {
    let mut pretty = Pretty::new(Paint::off());
    let mut at = |seconds, status| {
        let record_time = Some(prost_types::Timestamp { seconds, nanos: 0 });
        let body = Some(tool(0, call("grep", status, "")));
        pretty.event(&Event { record_time, body, ..Event::default() })
    };
    at(100, ToolCallStatus::ToolCallRunning);
    let text = at(107, ToolCallStatus::ToolCallCompleted);
    assert!(text.ends_with("grep running → completed in 7.0 s\n"), "{text}");
}

#[test]
fn two_tool_calls_with_equal_content_are_two() {
    let same = || call("ls", ToolCallStatus::ToolCallCompleted, "a");
    let asking = AgentMessage { tool_calls: vec![same(), same()], ..said("look") };
    let bodies = vec![
        tool(0, same()),
        tool(1, same()),
        Body::MessageAdded(MessageAdded { index: 0, message: Some(asking.clone()) }),
        nested(0, 1, same()),
        nested(0, 9, same()),
        nested(0, 2, same()),
        grew(Target::MessageToolCallResult, 0, 2, "b"),
        replaced(0, asking),
    ];
    let line = "ls completed: a";
    assert_lines(
        bodies,
        &[
            &format!("call #0 {line}"),
            &format!("call #1 {line}"),
            "ai #0 look",
            &format!("call #0.0 {line}"),
            &format!("call #0.1 {line}"),
            &format!("call #0.2 {line}"),
            "result #0.2 … b",
            "ai #0 rewritten (its text is the same)",
            "cut tool calls of message #0: 2 left",
        ],
    );
}

#[test]
fn a_long_result_is_cut_and_its_size_is_told() {
    let long = "x".repeat(3_000);
    let done = |result: &str| tool(0, call("cat", ToolCallStatus::ToolCallCompleted, result));
    let text = shown(vec![done(&long), done(&(long.clone() + &long)), done("short")]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains(&format!(": {}… (2.9 KiB)", "x".repeat(ASIDE_LETTERS_MAX))), "{text}");
    assert!(lines[1].contains(": …xxx") && lines[1].ends_with("… (5.8 KiB)"), "{text}");
    assert!(lines[2].ends_with("cat completed: replaced by short"), "{text}");
}

#[test]
fn a_result_that_grows_is_shown_up_to_a_bound_and_then_only_measured() {
    let pieces = (0..100).map(|_| grew(Target::ToolCallResult, 0, 0, &"x".repeat(300)));
    let text = shown(
        std::iter::once(tool(0, call("cat", ToolCallStatus::ToolCallRunning, ""))).chain(pieces).collect(),
    );
    assert_eq!(text.matches('x').count(), SHOWN_RESULT_LETTERS_MAX, "{text}");
    let told: Vec<&str> = text.lines().filter(|line| line.contains("so far")).collect();
    assert_eq!(told.len(), 5, "1.1 KiB, and each time it has doubled: {text}");
}

#[test]
fn a_sub_agent_has_a_line_for_each_change_and_its_output_grows() {
    let bodies = vec![
        agent(SubAgentStatus::SubAgentPending, ""),
        agent(SubAgentStatus::SubAgentInProgress, ""),
        grew(Target::SubAgentOutput, 0, 0, "I see"),
        grew(Target::SubAgentOutput, 0, 0, " a"),
        agent(SubAgentStatus::SubAgentCompleted, "I see a house"),
        agent(SubAgentStatus::SubAgentCompleted, "I see a house"),
        agent(SubAgentStatus::SubAgentCompleted, "Nothing"),
    ];
    assert_lines(
        bodies,
        &[
            "sub-agent #0 scout pending: look around",
            "sub-agent #0 scout pending → in progress",
            "sub-agent #0 says I see a",
            "sub-agent #0 scout in progress → completed",
            "sub-agent #0 … house",
            "sub-agent #0 replaced Nothing",
        ],
    );
}

#[test]
fn only_changes_of_the_to_do_list_are_shown() {
    let bodies = vec![
        todo("1", "look", TodoStatus::TodoPending, "a"),
        todo("1", "look", TodoStatus::TodoPending, "b"),
        todo("1", "look", TodoStatus::TodoInProgress, "c"),
        todo("1", "look twice", TodoStatus::TodoInProgress, "c"),
        todo("1", "look twice", TodoStatus::TodoCompleted, "c"),
        Body::TodoRemoved(TodoRemoved { id: "1".to_owned() }),
    ];
    assert_lines(
        bodies,
        &[
            "todo [ ] look",
            "todo [>] look",
            "todo [>] look twice",
            "todo [x] look twice",
            "todo removed: look twice",
        ],
    );
}

#[test]
fn what_a_list_has_lost_is_new_when_it_comes_again() {
    let done = || call("ls", ToolCallStatus::ToolCallCompleted, "");
    let bodies = vec![
        message(0, "a"),
        message(1, "b"),
        nested(1, 0, done()),
        tool(0, done()),
        cut(List::Messages, 1),
        message(1, "b"),
        nested(1, 0, done()),
        tool(0, done()),
        cut(List::ToolCalls, 0),
        tool(0, done()),
    ];
    assert_lines(
        bodies,
        &[
            "ai #0 a",
            "ai #1 b",
            "call #1.0 ls completed",
            "call #0 ls completed",
            "cut messages: 1 left",
            "ai #1 b",
            "call #1.0 ls completed",
            "cut tool calls: 0 left",
            "call #0 ls completed",
        ],
    );
}

#[test]
fn an_error_is_shown_whole_and_an_exit_code_once() {
    let failed = |error: &str, exit| {
        let error = error.to_owned();
        Body::PhaseChanged(PhaseChanged { phase: Phase::Failed as i32, error, exit, ..Default::default() })
    };
    let exit = crate::proto::v1::ExitStatus { status: Some(Status::Code(3)) };
    let bodies = vec![failed("exit code 3", Some(exit)), failed("first\nsecond", None)];
    assert_lines(bodies, &["phase FAILED exit code 3", "phase FAILED", "error first", "second"]);
}

#[test]
fn times_of_a_phase_and_what_is_asked_now_are_told() {
    let began = PhaseChanged {
        phase: Phase::InProgress as i32,
        started_at: "2026-01-31T12:00".to_owned(),
        ..Default::default()
    };
    let spec = AgentExecutionSpec { message: "mend\nit".to_owned(), ..Default::default() };
    let execution = AgentExecution { spec: Some(spec), ..Default::default() };
    let bodies = vec![
        Body::PhaseChanged(began),
        Body::SpecReplaced(SpecReplaced { execution: Some(execution) }),
        Body::SpecReplaced(SpecReplaced::default()),
    ];
    assert_lines(
        bodies,
        &["phase IN_PROGRESS, began 2026-01-31T12:00", "spec replaced: mend\\nit", "spec replaced:"],
    );
}

#[test]
fn colours_change_nothing_but_colours() {
    let bodies = || {
        vec![
            message(0, "a"),
            phase(Phase::Failed),
            more(0, "\nb"),
            replaced(0, said("a\nb")),
            tool(0, call("ls", ToolCallStatus::ToolCallFailed, "")),
            agent(SubAgentStatus::SubAgentCompleted, "done"),
            output(Stream::Stderr, b"oh"),
        ]
    };
    let mut pretty = Pretty::new(Paint::on());
    let events = bodies().into_iter().map(|body| Event { body: Some(body), ..Event::default() });
    let mut painted: String = events.map(|event| pretty.event(&event)).collect();
    painted += &pretty.finish();
    let mut parts = painted.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    let plain = parts.fold(first, |text, part| text + part.split_once('m').expect("a colour").1);
    assert!(painted.contains('\u{1b}'));
    assert_eq!(timeless(&plain), shown(bodies()));
}

#[test]
fn a_state_is_shown_without_times_and_an_empty_one_is_nothing() {
    assert_eq!(state(&AgentExecutionStatus::default(), "", Paint::off()), "");
    let asking = AgentMessage {
        tool_calls: vec![call("ls", ToolCallStatus::ToolCallRunning, "")],
        ..said("look\nhere")
    };
    let status = AgentExecutionStatus {
        messages: vec![asking],
        error: "gone".to_owned(),
        ..AgentExecutionStatus::default()
    };
    let indent = " ".repeat(14);
    let expected = format!("ai #0         look\n{indent}here\ncall #0.0     ls running\n");
    assert_eq!(state(&status, "gone", Paint::off()), expected);
    assert_eq!(state(&status, "go", Paint::off()), expected + "error         gone\n");
}

//! Requests of the Stigmer contract that are too long, too deep or too many: each has its code and both
//! numbers, and nothing of it is written.

use prost::Message;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use tapeline::proto::stigmer::agentexecution as wire;
use tonic::Code;

use super::contract::{
    COMMAND, IN_PROGRESS, QUERY, clients, contents, created, get, id_of, message, new_execution,
    new_execution_with_id, status_of, tail, update, update_with, written,
};
use super::refusal::{Refusal, invalid_field, refused};
use super::support::daemon::Daemon;
use super::wire::{call, frame};

fn text(letters: usize) -> Option<Struct> {
    let value = Value { kind: Some(Kind::StringValue("x".repeat(letters))) };
    Some(Struct { fields: [("content".to_owned(), value)].into() })
}

fn nested(levels: usize) -> Option<Struct> {
    let mut value = Value { kind: Some(Kind::BoolValue(true)) };
    for _ in 0..levels {
        value = Value { kind: Some(Kind::ListValue(ListValue { values: vec![value] })) };
    }
    Some(Struct { fields: [("deep".to_owned(), value)].into() })
}

#[tokio::test]
async fn what_is_no_long_text_may_have_1_mib_and_is_refused_by_its_place_with_both_numbers() {
    const LARGE: usize = 1 << 20;
    let daemon = Daemon::start();
    let (mut command, query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let before = written(&daemon).await;
    let too_large = |refusal: Refusal, field: &str| {
        assert_eq!(refusal.field(), field);
        assert_eq!(refusal.number("limit"), LARGE as u64, "{field}");
        assert!((LARGE as u64..LARGE as u64 + 1_000).contains(&refusal.number("actual")), "{field}");
    };
    let (code, reason) = (Code::InvalidArgument, "EVENT_TOO_LARGE");
    let nothing = wire::AgentExecutionStatus::default;
    let call = |args| wire::ToolCall { args, ..Default::default() };
    let with_call = |args| wire::AgentMessage { tool_calls: vec![call(args)], ..message("a") };
    let agent = wire::SubAgentExecution { input: "x".repeat(LARGE), ..Default::default() };
    let todo = wire::TodoItem { content: "x".repeat(LARGE), ..Default::default() };
    for (field, status) in [
        (
            "status.tool_calls[0]",
            wire::AgentExecutionStatus { tool_calls: vec![call(text(LARGE))], ..nothing() },
        ),
        (
            "status.messages[1].tool_calls[0]",
            wire::AgentExecutionStatus { messages: vec![message("a"), with_call(text(LARGE))], ..nothing() },
        ),
        (
            "status.messages[0]",
            wire::AgentExecutionStatus {
                messages: vec![wire::AgentMessage { metadata: text(LARGE), ..message("a") }],
                ..nothing()
            },
        ),
        (
            "status.sub_agent_executions[0]",
            wire::AgentExecutionStatus { sub_agent_executions: vec![agent], ..nothing() },
        ),
        ("status.todos", wire::AgentExecutionStatus { todos: [("t".to_owned(), todo)].into(), ..nothing() }),
        ("status.error", wire::AgentExecutionStatus { error: "x".repeat(LARGE), ..nothing() }),
    ] {
        too_large(refused(command.update_status(update_with(&id, status)).await, code, reason), field);
    }
    let large = |id: &str| {
        let mut execution = new_execution_with_id(id);
        execution.spec.as_mut().expect("set").message = "x".repeat(LARGE);
        execution
    };
    too_large(refused(command.create(large("")).await, code, reason), "spec");
    too_large(refused(command.update(large(&id)).await, code, reason), "spec");
    assert_eq!(written(&daemon).await, before);
    // What grows may be longer than that.
    let result = wire::ToolCall { result: "x".repeat(3 * LARGE), ..Default::default() };
    let status = wire::AgentExecutionStatus { tool_calls: vec![result], ..nothing() };
    command.update_status(update_with(&id, status)).await.expect("a result may be long");
    assert_eq!(status_of(&get(&query, &id).await).tool_calls[0].result.len(), 3 * LARGE);
}

#[tokio::test]
async fn what_is_too_long_to_be_read_or_is_no_message_is_refused_below_the_handlers() {
    let daemon = Daemon::start();
    let (mut command, query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let before = written(&daemon).await;
    let large = "x".repeat(17 << 20);
    let mut huge = new_execution("one");
    huge.spec.as_mut().expect("set").message = large.clone();
    for status in [
        command.update_status(update(&id, IN_PROGRESS, &[&large])).await.expect_err("17 MiB"),
        command.create(huge.clone()).await.expect_err("17 MiB"),
        command.update(huge).await.expect_err("17 MiB"),
    ] {
        assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
        assert!(status.details().is_empty(), "{status:?}");
    }
    // A message that is fine but for one byte of its text.
    let encoded = update(&id, IN_PROGRESS, &["uniquely"]).encode_to_vec();
    let at = encoded.windows(8).position(|window| window == b"uniquely").expect("it is there");
    let mut invalid = encoded.clone();
    invalid[at] = 0xff;
    let id_message = id_of("\u{fffd}").encode_to_vec();
    let mut invalid_id = id_message.clone();
    invalid_id.truncate(3);
    let channel = daemon.channel();
    for (path, bytes) in [
        (format!("{COMMAND}updateStatus"), &invalid[..]),
        (format!("{COMMAND}updateStatus"), &encoded[..encoded.len() - 1]),
        (format!("{COMMAND}create"), b"\x0a\x01\xff"),
        (format!("{COMMAND}update"), &[0xff; 32]),
        (format!("{COMMAND}delete"), b"\x0a\x01\xff"),
        (format!("{QUERY}get"), &invalid_id),
        (format!("{QUERY}subscribe"), b"\x0a\x01\xff"),
        (format!("{QUERY}list"), b"\x12\x01\xff"),
        (format!("{QUERY}listBySession"), b"\x0a\x01\xff"),
    ] {
        let length = u32::try_from(bytes.len()).expect("it is short");
        let status = call(channel.clone(), &path, frame(0, length, bytes)).await;
        assert_eq!(status.code(), Code::Internal, "{path}: {status:?}");
    }
    assert_eq!(written(&daemon).await, before);
    assert!(contents(&get(&query, &id).await).is_empty());
}

/// A decoder follows messages in messages for a hundred steps, and a watcher meets a message one step deeper
/// than the daemon: what it could not read is refused where it comes in.
#[tokio::test]
async fn what_is_nested_too_deep_for_a_watcher_or_for_the_daemon_is_refused() {
    let daemon = Daemon::start();
    let (mut command, _) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let mut deep = async |levels| {
        let call = wire::ToolCall { args: nested(levels), ..Default::default() };
        let messages = vec![message("a"), wire::AgentMessage { tool_calls: vec![call], ..message("b") }];
        let status = wire::AgentExecutionStatus { messages, ..Default::default() };
        command.update_status(update_with(&id, status)).await
    };
    let mut levels = 40;
    while deep(levels).await.is_ok() {
        levels += 1;
    }
    let before = written(&daemon).await;
    assert_eq!(invalid_field(deep(levels).await), "status.messages[1].tool_calls[0]");
    let status = deep(2 * levels).await.expect_err("too deep to be decoded");
    assert_eq!(status.code(), Code::Internal, "{status:?}");
    assert_eq!(written(&daemon).await, before);
}

/// Each todo is an event, and as many as the store takes at once are taken.
#[tokio::test]
async fn a_hundred_thousand_todos_are_taken_and_one_change_more_is_refused_with_both_numbers() {
    const TODOS: usize = 100_000;
    let daemon = Daemon::start();
    let (mut command, query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let before = tail(&daemon, &id).await;
    let todos: std::collections::BTreeMap<_, _> =
        (0..TODOS).map(|number| (format!("t{number}"), wire::TodoItem::default())).collect();
    let status = wire::AgentExecutionStatus { todos, ..Default::default() };
    let more = wire::AgentExecutionStatus { phase: IN_PROGRESS, ..status.clone() };
    let refusal = refused(
        command.update_status(update_with(&id, more.clone())).await,
        Code::InvalidArgument,
        "BATCH_TOO_LARGE",
    );
    assert_eq!((refusal.number("limit"), refusal.number("actual")), (TODOS as u64, TODOS as u64 + 1));
    assert_eq!(tail(&daemon, &id).await, before);
    command.update_status(update_with(&id, status)).await.expect("the store takes as many");
    assert_eq!(tail(&daemon, &id).await, before + TODOS as u64);
    assert_eq!(status_of(&get(&query, &id).await).todos.len(), TODOS);
    command.update_status(update_with(&id, more)).await.expect("one change is left of it");
    assert_eq!(tail(&daemon, &id).await, before + TODOS as u64 + 1);
}

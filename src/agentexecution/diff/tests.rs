//! The laws: what the events of a difference add up to is the second state, no difference is no event,
//! and what stayed the same costs nothing.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use tapeline_storage::{Rules, StoredEvent};

use super::growth::pieces;
use super::*;
use crate::agentexecution::merge::merge;
use crate::execution::event::internal_batch;
use crate::execution::fold::Folded;
use crate::execution::rules::ExecutionRules;
use crate::limits::DIFF_TEXT_BYTES_MAX;
use crate::proto::stigmer::agentexecution::{AgentMessage, TodoItem};
use crate::proto::v1::{Event, ExecutionCreated};

/// A log as its rules and readers see it.
#[derive(Default)]
struct Log {
    folded: Folded,
    rule_state: Vec<u8>,
}

impl Log {
    fn created() -> Self {
        let mut log = Self::default();
        log.append(vec![Body::Created(ExecutionCreated::default())]);
        log
    }

    fn append(&mut self, bodies: Vec<Body>) {
        let events = internal_batch(bodies).expect("no event is too large");
        self.rule_state = ExecutionRules.admit(&self.rule_state, &events).expect("the rules admit it");
        for event in events {
            let stored = StoredEvent {
                seq: self.folded.through_seq() + 1,
                position: 0,
                record_time_ns: 0,
                type_tag: event.type_tag,
                custom_type: None,
                payload: event.payload,
            };
            self.folded.add(&stored).expect("it is an event");
        }
    }

    /// Merges an update as the contract does. Returns what it cost in bytes.
    fn update(&mut self, update: AgentExecutionStatus) -> usize {
        let before = self.folded.execution().clone();
        let status = merge(before.status.as_ref().expect("set at the creation"), update);
        let after = AgentExecution { status: Some(status), ..before.clone() };
        let events = diff(&before, &after);
        let cost = events.iter().map(cost_of).sum();
        if !events.is_empty() {
            self.append(events);
        }
        assert_eq!(self.folded.execution(), &after);
        assert_eq!(diff(&after, &after), []);
        cost
    }
}

fn cost_of(body: &Body) -> usize {
    Event { body: Some(body.clone()), ..Default::default() }.encoded_len()
}

fn metadata(number: f64) -> prost_types::Struct {
    let value = prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(number)) };
    prost_types::Struct { fields: [("n".to_owned(), value)].into() }
}

fn text() -> impl Strategy<Value = String> {
    // Few letters, so that one text is often the beginning of another.
    "[aä€]{0,6}"
}

fn call() -> impl Strategy<Value = ToolCall> {
    (text(), 0..5_i32).prop_map(|(result, status)| ToolCall { result, status, ..Default::default() })
}

fn message() -> impl Strategy<Value = AgentMessage> {
    let struct_ =
        prop_oneof![Just(None), Just(Some(prost_types::Struct::default())), Just(Some(metadata(1.5)))];
    (0..2_i32, text(), vec(call(), 0..3), struct_).prop_map(|(kind, content, tool_calls, metadata)| {
        AgentMessage { r#type: kind, content, tool_calls, metadata, ..Default::default() }
    })
}

fn agent() -> impl Strategy<Value = SubAgentExecution> {
    (text(), 0..5_i32).prop_map(|(output, status)| SubAgentExecution { output, status, ..Default::default() })
}

fn todo() -> impl Strategy<Value = TodoItem> {
    text().prop_map(|content| TodoItem { content, ..Default::default() })
}

fn status() -> impl Strategy<Value = AgentExecutionStatus> {
    let lists = (vec(message(), 0..5), vec(call(), 0..4), vec(agent(), 0..4));
    (lists, btree_map("[a-d]", todo(), 0..4), text(), text()).prop_map(
        |((messages, tool_calls, sub_agent_executions), todos, error, started_at)| AgentExecutionStatus {
            messages,
            tool_calls,
            sub_agent_executions,
            todos,
            error,
            started_at,
            ..Default::default()
        },
    )
}

proptest! {
    #[test]
    fn whatever_a_runner_sends_the_log_adds_up_to_the_merged_state(
        updates in vec(status(), 1..8),
        phases in vec(0..3_i32, 8),
    ) {
        let mut log = Log::created();
        let mut phase = 0;
        for (mut update, next) in updates.into_iter().zip(phases) {
            phase = phase.max(next);
            update.phase = phase;
            log.update(update);
        }
    }

    #[test]
    fn a_text_comes_back_from_its_pieces(text in "[aä€𝄞]{0,40}", times in 1..60_000_usize) {
        let text = text.repeat(times);
        prop_assert_eq!(pieces(&text).collect::<String>(), text.clone());
        prop_assert!(pieces(&text).all(|piece| piece.len() <= DIFF_TEXT_BYTES_MAX));
    }
}

fn large() -> AgentExecutionStatus {
    let message = |number: usize| AgentMessage {
        content: format!("message {number} ").repeat(20),
        ..Default::default()
    };
    AgentExecutionStatus { messages: (0..1_000).map(message).collect(), phase: 2, ..Default::default() }
}

#[test]
fn one_more_token_in_a_thousand_messages_costs_the_token() {
    let mut log = Log::created();
    let mut state = large();
    log.update(state.clone());
    state.messages[999].content.push_str("token");
    assert!(log.update(state.clone()) < 30);
    state.messages.push(AgentMessage { content: "new".into(), ..Default::default() });
    assert!(log.update(state.clone()) < 30);
    state.messages[500].tool_calls.push(ToolCall { id: "t".into(), ..Default::default() });
    assert!(log.update(state.clone()) < 30);
    state.messages[500].tool_calls[0].status = 3;
    assert!(log.update(state.clone()) < 30);
    state.todos.insert("a".into(), TodoItem::default());
    assert!(log.update(state.clone()) < 30);
    assert_eq!(log.update(state), 0);
}

/// A message as a runner of tools has them: one call in it, with a result of so many bytes.
fn message_with_call(args: Option<prost_types::Struct>, result_bytes: usize) -> AgentMessage {
    let call = ToolCall { id: "t".into(), args, result: "é".repeat(result_bytes / 2), ..Default::default() };
    AgentMessage { content: "reads".into(), tool_calls: vec![call], ..Default::default() }
}

/// A value of many bytes that cannot be cut.
fn large_struct(bytes: usize) -> prost_types::Struct {
    let value = prost_types::value::Kind::StringValue("s".repeat(bytes));
    let value = prost_types::Value { kind: Some(value) };
    prost_types::Struct { fields: [("s".to_owned(), value)].into() }
}

#[test]
fn long_texts_are_cut_and_come_back_whole() {
    let long = "ä".repeat(3 << 19);
    let call = ToolCall { result: long.clone(), ..Default::default() };
    let nested = AgentMessage { tool_calls: vec![call.clone(), call.clone()], ..Default::default() };
    let mut log = Log::created();
    log.update(AgentExecutionStatus {
        messages: vec![AgentMessage { content: long.clone(), ..Default::default() }, nested],
        tool_calls: vec![call],
        sub_agent_executions: vec![SubAgentExecution { output: long, ..Default::default() }],
        ..Default::default()
    });
}

#[test]
fn a_text_shares_its_event_with_what_cannot_be_cut() {
    let (part, text) = (large_struct(900 << 10), "x".repeat(900 << 10));
    let call = ToolCall { args: Some(part.clone()), result: text.clone(), ..Default::default() };
    let agent = SubAgentExecution {
        input: "i".repeat(900 << 10),
        output: text.clone(),
        metadata: Some(metadata(1.0)),
        ..Default::default()
    };
    let message = AgentMessage {
        content: text,
        metadata: Some(part),
        tool_calls: vec![call.clone(), call.clone()],
        ..Default::default()
    };
    let mut log = Log::created();
    let mut status = AgentExecutionStatus {
        messages: vec![message],
        tool_calls: vec![call],
        sub_agent_executions: vec![agent],
        ..Default::default()
    };
    log.update(status.clone());
    status.messages[0].r#type = 3;
    log.update(status);
}

#[test]
fn a_result_inside_a_message_costs_what_it_grew_by() {
    let mut log = Log::created();
    let mut status = AgentExecutionStatus {
        messages: vec![message_with_call(Some(large_struct(100 << 10)), 100), AgentMessage::default()],
        ..Default::default()
    };
    log.update(status.clone());
    for size in [50, 1 << 20, 3 << 20] {
        status.messages[0].tool_calls[0].result.push_str(&"r".repeat(size));
        assert!(log.update(status.clone()) < size + 200);
    }
    status.messages[0].content.push_str(" more");
    assert!(log.update(status.clone()) < 30);
    status.phase = 3;
    assert!(log.update(status) < 30);
}

#[test]
fn every_text_fits_whatever_else_is_in_its_event() {
    for bytes in ((1 << 20) - 700..(1 << 20) - 90).step_by(13) {
        let call =
            ToolCall { args: Some(large_struct(bytes)), result: "r".repeat(1_000), ..Default::default() };
        let nested = AgentMessage { tool_calls: vec![call.clone()], ..Default::default() };
        let status =
            AgentExecutionStatus { messages: vec![nested], tool_calls: vec![call], ..Default::default() };
        Log::created().update(status);
    }
}

#[test]
fn a_number_that_is_none_is_no_difference() {
    let message = AgentMessage { metadata: Some(metadata(f64::NAN)), ..Default::default() };
    let status = AgentExecutionStatus { messages: vec![message], phase: 1, ..Default::default() };
    let state = AgentExecution { status: Some(status), ..Default::default() };
    assert_eq!(diff(&state, &state.clone()), []);
}

#[test]
fn a_change_of_the_phase_is_the_last_event() {
    let after =
        AgentExecution { status: Some(AgentExecutionStatus { phase: 3, ..large() }), ..Default::default() };
    let events = diff(&AgentExecution::default(), &after);
    assert!(matches!(events.last(), Some(Body::PhaseChanged(changed)) if changed.phase == 3));
}

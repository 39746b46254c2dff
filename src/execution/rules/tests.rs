//! Appends that the rules let through, and appends that they refuse.

use proptest::prelude::*;

use super::*;
use crate::execution::event;
use crate::proto::v1::event::Body;
use crate::proto::v1::{
    Event, ExecutionCreated, ListTruncated, MessageAdded, MessageReplaced, MessageTextAppended,
    MessageToolCallSet, Output, PhaseChanged, SubAgentSet, TextAppended, ToolCallSet,
};

const MESSAGES: i32 = List::Messages as i32;
const TOOL_RESULT: i32 = Target::ToolCallResult as i32;
const AGENT_OUTPUT: i32 = Target::SubAgentOutput as i32;
const MESSAGE_CALL: i32 = Target::MessageToolCallResult as i32;

fn batch(bodies: Vec<Body>) -> Vec<NewEvent> {
    let events = bodies.into_iter().map(|body| Event { body: Some(body), ..Default::default() });
    event::client_batch(events.collect()).expect("the batch is valid by itself")
}

/// The state after each body in turn, or the field that was refused.
fn after(state: &[u8], bodies: Vec<Body>) -> Result<RuleState, String> {
    ExecutionRules.admit(state, &batch(bodies)).map_err(|reject| reject.field)
}

fn born() -> RuleState {
    let created = event::created(ExecutionCreated::default()).expect("it is valid");
    ExecutionRules.admit(&[], &[created]).expect("it is admitted")
}

fn phase_changed(phase: i32) -> Body {
    Body::PhaseChanged(PhaseChanged { phase, ..Default::default() })
}

fn added(index: u32) -> Body {
    Body::MessageAdded(MessageAdded { index, message: Some(Default::default()) })
}

fn refusal<T>(field: &str) -> Result<T, String> {
    Err(field.to_owned())
}

#[test]
fn a_phase_may_repeat_and_skip_but_never_go_back() {
    let running = after(&born(), vec![phase_changed(2), phase_changed(2)]).expect("again is allowed");
    assert_eq!(after(&running, vec![phase_changed(1)]), refusal("events[0].phase_changed.phase"));
    assert!(after(&running, vec![phase_changed(5)]).is_ok());
    assert!(after(&born(), vec![phase_changed(3)]).is_ok(), "a step may be skipped");
}

#[test]
fn a_message_is_added_at_the_end_only() {
    let two = after(&born(), vec![added(0), added(1)]).expect("in order");
    assert_eq!(after(&two, vec![added(1)]), refusal("events[0].message_added.index"));
    assert_eq!(after(&two, vec![added(2), added(4)]), refusal("events[1].message_added.index"));
}

#[test]
fn text_is_appended_to_what_exists_only() {
    let text = |index| Body::MessageTextAppended(MessageTextAppended { index, text: "x".into() });
    assert_eq!(after(&born(), vec![text(0)]), refusal("events[0].message_text_appended.index"));
    assert!(after(&born(), vec![added(0), text(0)]).is_ok());
    let replaced = Body::MessageReplaced(MessageReplaced { index: 0, message: None });
    assert_eq!(after(&born(), vec![replaced]), refusal("events[0].message_replaced.index"));
    let call = Body::MessageToolCallSet(MessageToolCallSet { index: 0, tool_call_index: 9, tool_call: None });
    assert_eq!(after(&born(), vec![call.clone()]), refusal("events[0].message_tool_call_set.index"));
    assert!(after(&born(), vec![added(0), call]).is_ok());
}

#[test]
fn a_tool_call_or_a_sub_agent_is_set_inside_its_list_or_right_behind_it() {
    let call = |index| Body::ToolCallSet(ToolCallSet { index, tool_call: None });
    let agent = |index| Body::SubAgentSet(SubAgentSet { index, sub_agent: None });
    let text = |target, index| {
        Body::TextAppended(TextAppended { target, index, text: "x".into(), tool_call_index: 0 })
    };
    let state = after(&born(), vec![call(0), call(0), call(1), agent(0)]).expect("inside or behind");
    assert_eq!(after(&state, vec![call(3)]), refusal("events[0].tool_call_set.index"));
    assert_eq!(after(&state, vec![agent(2)]), refusal("events[0].sub_agent_set.index"));
    assert!(after(&state, vec![text(TOOL_RESULT, 1), text(AGENT_OUTPUT, 0)]).is_ok());
    assert_eq!(after(&state, vec![text(AGENT_OUTPUT, 1)]), refusal("events[0].text_appended.index"));
    assert_eq!(after(&state, vec![text(MESSAGE_CALL, 0)]), refusal("events[0].text_appended.index"));
    assert!(after(&state, vec![added(0), text(MESSAGE_CALL, 0)]).is_ok());
}

#[test]
fn a_list_is_never_cut_to_more_than_it_has() {
    let cut = |length| Body::ListTruncated(ListTruncated { list: MESSAGES, length });
    assert_eq!(after(&born(), vec![cut(1)]), refusal("events[0].list_truncated.length"));
    let one = after(&born(), vec![added(0), added(1), cut(1)]).expect("it has two");
    assert!(after(&one, vec![added(1)]).is_ok(), "the list is one long again");
}

#[test]
fn a_refused_batch_leaves_no_trace_in_the_state() {
    let state = born();
    assert!(after(&state, vec![added(0), added(7)]).is_err());
    assert!(after(&state, vec![added(0)]).is_ok());
}

#[test]
fn the_numbers_a_rule_reads_are_those_of_the_real_messages() {
    let indexed = vec![
        Body::MessageAdded(MessageAdded { index: 7, message: Some(Default::default()) }),
        Body::MessageTextAppended(MessageTextAppended { index: 7, text: "x".into() }),
        Body::MessageReplaced(MessageReplaced { index: 7, message: Some(Default::default()) }),
        Body::ToolCallSet(ToolCallSet { index: 7, tool_call: Some(Default::default()) }),
        Body::SubAgentSet(SubAgentSet { index: 7, sub_agent: Some(Default::default()) }),
        Body::MessageToolCallSet(MessageToolCallSet { index: 7, tool_call_index: 1, tool_call: None }),
    ];
    for event in batch(indexed) {
        assert_eq!(index(&event).ok(), Some(7), "tag {}", event.type_tag);
    }
    let text = TextAppended { target: AGENT_OUTPUT, index: 9, text: "x".into(), tool_call_index: 1 };
    let cut = ListTruncated { list: MESSAGES, length: 9 };
    for event in batch(vec![Body::TextAppended(text), Body::ListTruncated(cut)]) {
        assert_eq!(aimed(&event).ok().map(|aimed| aimed.number), Some(9));
    }
}

#[test]
fn kinds_without_rules_leave_the_state_as_it_is() {
    let state = born();
    let output = Body::Output(Output { stream: 1, ..Default::default() });
    assert_eq!(after(&state, vec![output]), Ok(state));
}

proptest! {
    #[test]
    fn any_bytes_as_state_or_payload_are_an_error_or_a_state_but_never_a_panic(
        state in proptest::collection::vec(any::<u8>(), 0..32),
        tag in 0_u32..40,
        payload in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let event = NewEvent { type_tag: tag, payload: payload.into(), ..Default::default() };
        if let Ok(state) = ExecutionRules.admit(&state, &[event]) {
            prop_assert_eq!(State::decode(&state).map(|state| state.encode()), Some(state));
        }
    }
}

//! Which events may follow which.

use super::*;
use crate::execution::event::{created, parse_batch};
use crate::proto::v1::event::Body;
use crate::proto::v1::{self as wire, Event};

/// What the rules say of bodies appended one batch each, from the creation on.
fn all_of(bodies: impl IntoIterator<Item = Body>) -> Result<RuleState, String> {
    let first = created(wire::ExecutionCreated::default()).expect("fine");
    let mut state = ExecutionRules.admit(&[], &[first]).expect("a creation");
    for body in bodies {
        let event = Event { body: Some(body), ..Event::default() };
        let events = parse_batch(vec![event]).expect("a possible event");
        state = ExecutionRules.admit(&state, &events).map_err(|reject| reject.field)?;
    }
    Ok(state)
}

fn message(index: u32) -> Body {
    Body::MessageAdded(wire::MessageAdded { index, message: None })
}

fn text(index: u32) -> Body {
    Body::MessageTextAppended(wire::MessageTextAppended { index, text: "more".into() })
}

fn tool_call(index: u32) -> Body {
    Body::ToolCallSet(wire::ToolCallSet { index, tool_call: None })
}

fn truncated(list: List, length: u32) -> Body {
    Body::ListTruncated(wire::ListTruncated { list: list.into(), length })
}

fn phase(phase: wire::Phase) -> Body {
    Body::PhaseChanged(wire::PhaseChanged { phase: phase.into(), ..Default::default() })
}

fn refused(bodies: impl IntoIterator<Item = Body>) -> String {
    all_of(bodies).expect_err("refused")
}

#[test]
fn phases_only_move_forward_and_steps_may_be_skipped() {
    use wire::Phase::{Completed, InProgress, Pending};
    assert!(all_of([phase(Pending), phase(InProgress), phase(InProgress), phase(Completed)]).is_ok());
    assert!(all_of([phase(Completed)]).is_ok());
    assert_eq!(refused([phase(InProgress), phase(Pending)]), "events[0].phase_changed.phase");
}

#[test]
fn an_index_beyond_its_list_is_refused() {
    assert!(all_of([message(0), text(0), message(1), text(1), text(0)]).is_ok());
    assert_eq!(refused([message(1)]), "events[0].message_added.index");
    assert_eq!(refused([message(0), message(0)]), "events[0].message_added.index");
    assert_eq!(refused([text(0)]), "events[0].message_text_appended.index");
    assert!(all_of([tool_call(0), tool_call(0), tool_call(1)]).is_ok());
    assert_eq!(refused([tool_call(1)]), "events[0].tool_call_set.index");
    let in_message = |index| Body::MessageToolCallSet(wire::MessageToolCallSet { index, ..Default::default() });
    assert_eq!(refused([in_message(0)]), "events[0].message_tool_call_set.index");
    let result = |index| Body::TextAppended(wire::TextAppended { target: 1, index, text: "more".into() });
    assert!(all_of([tool_call(0), result(0)]).is_ok());
    assert_eq!(refused([result(0)]), "events[0].text_appended.index");
}

#[test]
fn a_list_can_only_be_cut_to_what_it_has() {
    assert!(all_of([message(0), message(1), truncated(List::Messages, 1), message(1)]).is_ok());
    assert_eq!(refused([message(0), truncated(List::Messages, 2)]), "events[0].list_truncated.length");
    assert_eq!(refused([message(0), truncated(List::ToolCalls, 1)]), "events[0].list_truncated.length");
}

#[test]
fn events_of_one_append_follow_each_other() {
    let events = [message(0), text(0), text(1)].map(|body| Event { body: Some(body), ..Event::default() });
    let events = parse_batch(events.to_vec()).expect("possible events");
    let reject = ExecutionRules.admit(&[1], &events).expect_err("there is no message 1");
    assert_eq!(reject.field, "events[2].message_text_appended.index");
}

#[test]
fn the_state_is_short_and_survives_its_encoding() {
    let lengths = Lengths { phase: 2, messages: 3, tool_calls: 4, sub_agents: u32::MAX };
    let state = lengths.encode_state();
    assert!(state.len() <= tapeline_storage::limits::RULE_STATE_BYTES_MAX);
    assert_eq!(Lengths::decode_state(&state), lengths);
    assert_eq!(Lengths::decode_state(&[]), Lengths::default());
}

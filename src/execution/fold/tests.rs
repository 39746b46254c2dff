//! States: kind by kind, in steps over bases, and against the lengths that the rules remember.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use tapeline_storage::{NewEvent, Rules};

use super::*;
use crate::execution::event;
use crate::execution::rules::ExecutionRules;
use crate::proto::stigmer::agentexecution::{
    AgentExecutionSpec, ExecutionPhase, SubAgentExecution, TodoItem, ToolCall,
};
use crate::proto::v1::{AppendRequest, CustomEvent, Output, TodoRemoved};

const MESSAGES: i32 = List::Messages as i32;

fn payload(body: Body) -> Bytes {
    Event { body: Some(body), ..Default::default() }.encode_to_vec().into()
}

fn stored(seq: Seq, body: Body) -> StoredEvent {
    let type_tag = kind::of(&body);
    let payload = payload(body);
    StoredEvent { seq, position: seq, record_time_ns: 0, type_tag, custom_type: None, payload }
}

fn add_all(folded: &mut Folded, bodies: &[Body]) {
    for body in bodies {
        let seq = folded.through_seq() + 1;
        folded.add(&stored(seq, body.clone())).expect("it is an event");
    }
}

fn fold(bodies: &[Body]) -> Folded {
    let mut folded = Folded::default();
    add_all(&mut folded, bodies);
    folded
}

fn reread(folded: &Folded) -> Folded {
    let base = folded.to_base();
    assert_eq!(base.len(), folded.base_len());
    Folded::from_base(base).expect("a base is read again")
}

fn message(content: &str) -> AgentMessage {
    AgentMessage { content: content.into(), ..Default::default() }
}

fn added(index: u32, content: &str) -> Body {
    Body::MessageAdded(MessageAdded { index, message: Some(message(content)) })
}

fn call(result: &str) -> ToolCall {
    ToolCall { result: result.into(), ..Default::default() }
}

fn status(folded: &Folded) -> &AgentExecutionStatus {
    folded.execution().status.as_ref().expect("there is a status")
}

fn contents(folded: &Folded) -> Vec<&str> {
    status(folded).messages.iter().map(|message| message.content.as_str()).collect()
}

#[test]
fn the_creation_gives_the_spec_the_labels_and_the_name() {
    let spec =
        AgentExecutionSpec { message: "do".into(), callback_token: "t0k".into(), ..Default::default() };
    let labels = [("a".to_owned(), "b".to_owned())];
    let created =
        ExecutionCreated { spec: Some(spec.clone()), labels: labels.into(), display_name: "N".into() };
    let folded = fold(&[Body::Created(created)]);
    assert_eq!(folded.execution().spec, Some(spec), "secrets included");
    let metadata = folded.execution().metadata.as_ref().expect("there is metadata");
    assert_eq!((metadata.name.as_str(), metadata.labels.len()), ("N", 1));
    assert_eq!(status(&folded).phase(), ExecutionPhase::ExecutionPending);
    assert_eq!(reread(&folded), folded);
}

#[test]
fn a_phase_keeps_what_it_does_not_say() {
    let failed = PhaseChanged { phase: 2, error: "e".into(), started_at: "s".into(), ..Default::default() };
    let exit = ExitStatus { status: Some(crate::proto::v1::exit_status::Status::Code(7)) };
    let ended = PhaseChanged { phase: 4, completed_at: "c".into(), exit: Some(exit), ..Default::default() };
    let folded = fold(&[Body::PhaseChanged(failed), Body::PhaseChanged(ended)]);
    let status = status(&folded);
    assert_eq!(status.phase(), ExecutionPhase::ExecutionFailed);
    let texts = [&status.error, &status.started_at, &status.completed_at];
    assert_eq!(texts, ["e", "s", "c"]);
    assert_eq!(reread(&folded).exit(), &exit, "also in the base");
}

#[test]
fn the_phases_of_an_execution_have_our_numbers() {
    for number in 1..=5 {
        let ours = Phase::try_from(number).expect("1 to 5 are phases").as_str_name();
        let theirs = ExecutionPhase::try_from(number).expect("1 to 5 are phases").as_str_name();
        assert_eq!(ours.strip_prefix("PHASE_"), theirs.strip_prefix("EXECUTION_"));
    }
}

#[test]
fn a_transcript_grows_is_replaced_and_is_cut() {
    let text =
        |index, text: &str| Body::MessageTextAppended(MessageTextAppended { index, text: text.into() });
    let replaced = Body::MessageReplaced(MessageReplaced { index: 0, message: Some(message("new")) });
    let mut bodies = vec![added(0, "a"), added(1, "b"), text(1, "bb"), text(9, "lost")];
    assert_eq!(contents(&fold(&bodies)), ["a", "bbb"]);
    bodies.extend([
        replaced,
        Body::ListTruncated(ListTruncated { list: MESSAGES, length: 1 }),
        added(1, "c"),
    ]);
    assert_eq!(contents(&fold(&bodies)), ["new", "c"]);
}

#[test]
fn tool_calls_sub_agents_and_to_dos_are_set_by_their_place() {
    let tool = |index, result| Body::ToolCallSet(ToolCallSet { index, tool_call: Some(call(result)) });
    let agent = SubAgentExecution { output: "o".into(), ..Default::default() };
    let todo = |id: &str| Body::TodoSet(TodoSet { id: id.into(), item: Some(TodoItem::default()) });
    let text = |target: Target| {
        Body::TextAppended(TextAppended { target: target.into(), text: "+".into(), ..Default::default() })
    };
    let folded = fold(&[
        tool(0, "x"),
        tool(1, "y"),
        tool(0, "z"),
        tool(7, "lost"),
        Body::SubAgentSet(SubAgentSet { index: 0, sub_agent: Some(agent) }),
        text(Target::ToolCallResult),
        text(Target::SubAgentOutput),
        todo("1"),
        todo("2"),
        Body::TodoRemoved(TodoRemoved { id: "1".into() }),
    ]);
    let status = status(&folded);
    let results: Vec<_> = status.tool_calls.iter().map(|call| call.result.as_str()).collect();
    assert_eq!(results, ["z+", "y"]);
    assert_eq!(status.sub_agent_executions[0].output, "o+");
    assert_eq!(status.todos.keys().collect::<Vec<_>>(), ["2"]);
}

#[test]
fn a_tool_call_beyond_those_of_its_message_is_added_at_the_end() {
    let set = |index, tool_call_index, result| {
        let tool_call = Some(call(result));
        Body::MessageToolCallSet(MessageToolCallSet { index, tool_call_index, tool_call })
    };
    let folded =
        fold(&[added(0, ""), set(0, 0, "a"), set(0, u32::MAX, "b"), set(0, 0, "c"), set(3, 0, "lost")]);
    let results: Vec<_> =
        status(&folded).messages[0].tool_calls.iter().map(|call| call.result.as_str()).collect();
    assert_eq!(results, ["c", "b"]);
}

#[test]
fn the_result_of_a_tool_call_of_a_message_grows_where_it_is() {
    let tool_call = Some(call("a"));
    let set = Body::MessageToolCallSet(MessageToolCallSet { index: 1, tool_call_index: 0, tool_call });
    let target = Target::MessageToolCallResult.into();
    let text = |index, tool_call_index| {
        Body::TextAppended(TextAppended { target, index, text: "+".into(), tool_call_index })
    };
    let folded = fold(&[added(0, ""), added(1, ""), set, text(1, 0), text(1, 1), text(0, 0), text(2, 0)]);
    let messages = &status(&folded).messages;
    assert!(messages[0].tool_calls.is_empty());
    assert_eq!(messages[1].tool_calls, [call("a+")]);
}

#[test]
fn the_users_part_is_replaced_and_the_status_is_not() {
    let metadata = ApiResourceMetadata { name: "new".into(), ..Default::default() };
    let status_of_request = Some(AgentExecutionStatus { error: "not read".into(), ..Default::default() });
    let execution =
        AgentExecution { metadata: Some(metadata.clone()), status: status_of_request, ..Default::default() };
    let created = ExecutionCreated { spec: Some(AgentExecutionSpec::default()), ..Default::default() };
    let replaced = Body::SpecReplaced(SpecReplaced { execution: Some(execution) });
    let folded = fold(&[Body::Created(created), added(0, "kept"), replaced]);
    assert_eq!(folded.execution().metadata, Some(metadata));
    assert_eq!(folded.execution().spec, Some(AgentExecutionSpec::default()), "unset stays as it was");
    assert_eq!((contents(&folded), status(&folded).error.as_str()), (vec!["kept"], ""));
}

#[test]
fn whatever_a_request_can_nest_is_read_again_from_a_base() {
    let nested = |depth: usize| {
        let deeper = |value, _| Value { kind: Some(Kind::ListValue(ListValue { values: vec![value] })) };
        let value = (0..depth).fold(Value { kind: Some(Kind::BoolValue(true)) }, deeper);
        let args = Some(Struct { fields: [("a".to_owned(), value)].into() });
        let tool_call = Some(ToolCall { args, ..Default::default() });
        Body::MessageToolCallSet(MessageToolCallSet { index: 0, tool_call_index: 0, tool_call })
    };
    let is_taken = |depth: &usize| {
        let events = vec![Event { body: Some(nested(*depth)), ..Default::default() }];
        let request = AppendRequest { events, ..Default::default() };
        AppendRequest::decode(request.encode_to_vec().as_slice()).is_ok()
    };
    let deepest = (0..100).take_while(is_taken).last().expect("something can be nested");
    assert!((10..99).contains(&deepest), "there is a limit: {deepest}");
    let folded = fold(&[added(0, ""), nested(deepest)]);
    assert_eq!(status(&folded).messages[0].tool_calls.len(), 1);
    assert_eq!(reread(&folded), folded);
}

#[test]
fn the_bytes_of_a_base_are_those_of_the_format() {
    let exit = Some(ExitStatus { status: Some(crate::proto::v1::exit_status::Status::Code(3)) });
    let ended = PhaseChanged { phase: 3, exit, ..Default::default() };
    let mut folded = Folded::default();
    folded.add(&stored(7, Body::PhaseChanged(ended))).expect("it is an event");
    let (version, seq, exit, execution) = ([1], [7, 0, 0, 0, 0, 0, 0, 0], [2, 0x08, 3], [0x2a, 2, 0x10, 3]);
    assert_eq!(folded.to_base(), [&version[..], &seq, &exit, &execution].concat());
}

#[test]
fn a_base_of_another_version_or_a_short_one_is_an_error() {
    assert_eq!(Folded::from_base(Bytes::from_static(&[2, 0])), Err(BaseError::Version(2)));
    for short in [&b""[..], &[1], &[1, 0, 0, 0, 0, 0, 0, 0, 0]] {
        let read = Folded::from_base(Bytes::from_static(short));
        assert!(matches!(read, Err(BaseError::Damaged(_))), "{read:?}");
    }
}

/// Two bytes on the wire for each, and one more for the length.
#[test]
fn a_state_is_too_large_by_what_it_takes_in_memory_and_always_at_the_same_event() {
    let events: Vec<_> = (0..1_000_u32).map(|index| stored(u64::from(index) + 1, added(index, ""))).collect();
    let limit = 100 * size_of::<AgentMessage>();
    let failed = |step: usize| {
        let mut folded = Folded::default();
        let mut pages = events.chunks(step);
        let error = pages.find_map(|page| folded.add_all(page, limit).err()).expect("it is too large");
        (error, folded.through_seq())
    };
    let actual = limit + size_of::<AgentMessage>();
    let too_large = FoldError::TooLarge(Excess::over(limit, actual).expect("it is above"));
    assert_eq!([1, 7, 1_000].map(failed), [(); 3].map(|()| (too_large.clone(), 101)));
    assert_eq!(fold(&[]).add_all(&events[..100], limit), Ok(()));
}

/// A runner that replaces a message again and again adds nothing to what there is.
#[test]
fn what_was_replaced_or_cut_weighs_nothing() {
    let replaced =
        |text: &str| Body::MessageReplaced(MessageReplaced { index: 0, message: Some(message(text)) });
    let once = fold(&[added(0, ""), replaced("long")]);
    let mut often = vec![added(0, "x"), added(1, "y")];
    often.extend((0..100).map(|number: i32| replaced(&"x".repeat(number as usize))));
    often.extend([Body::ListTruncated(ListTruncated { list: MESSAGES, length: 1 }), replaced("long")]);
    assert_eq!(fold(&often).memory_bytes(), once.memory_bytes());
    assert_eq!(Folded::default().memory_bytes_with(once.execution()), once.memory_bytes());
    let status = AgentExecution { status: once.execution().status.clone(), ..Default::default() };
    assert_eq!(fold(&often).memory_bytes_with(&status), once.memory_bytes());
}

/// A token that lies in the bytes it was read from would keep all of them in memory.
#[test]
fn a_token_is_not_a_part_of_the_bytes_it_came_in() {
    let spec = AgentExecutionSpec {
        message: "x".repeat(1 << 20),
        callback_token: "t0k".into(),
        ..Default::default()
    };
    let folded = fold(&[Body::Created(ExecutionCreated { spec: Some(spec), ..Default::default() })]);
    for folded in [reread(&folded), folded] {
        let token = folded.execution.spec.expect("set").callback_token;
        assert!(token.try_into_mut().is_ok_and(|token| token.capacity() < 1 << 20));
    }
}

#[test]
fn a_payload_that_is_no_event_changes_nothing() {
    let mut folded = fold(&[added(0, "a")]);
    let before = folded.clone();
    let damaged = StoredEvent { payload: Bytes::from_static(&[0x62, 0xff]), ..stored(2, added(1, "")) };
    assert!(folded.add(&damaged).is_err());
    assert_eq!(folded, before);
}

fn texts() -> impl Strategy<Value = String> {
    select(vec!["", "a", "é", "long"]).prop_map(str::to_owned)
}

/// Bodies of every kind, with indexes that often fit and often do not.
fn bodies() -> impl Strategy<Value = Body> {
    let numbers = (0_u32..4, 0_u32..4, 0_i32..4, 0_i32..7, any::<bool>());
    (0_usize..15, numbers, texts()).prop_map(|(kind, (index, inner, which, phase, is_set), text)| {
        let message = is_set.then(|| message(&text));
        let tool_call = is_set.then(|| call(&text));
        match kind {
            0 => Body::Created(ExecutionCreated { display_name: text, ..Default::default() }),
            1 => Body::PhaseChanged(PhaseChanged { phase, error: text, ..Default::default() }),
            2 => Body::MessageAdded(MessageAdded { index, message }),
            3 => Body::MessageTextAppended(MessageTextAppended { index, text }),
            4 => Body::MessageReplaced(MessageReplaced { index, message }),
            5 => Body::ToolCallSet(ToolCallSet { index, tool_call }),
            6 => Body::SubAgentSet(SubAgentSet { index, sub_agent: None }),
            7 => Body::TodoSet(TodoSet { id: text, item: None }),
            8 => Body::TodoRemoved(TodoRemoved { id: text }),
            9 => Body::ListTruncated(ListTruncated { list: which, length: inner }),
            10 => Body::SpecReplaced(SpecReplaced { execution: is_set.then(AgentExecution::default) }),
            11 => Body::Output(Output { stream: 1, data: text.into(), truncated: is_set }),
            12 => Body::TextAppended(TextAppended { target: which, index, text, tool_call_index: inner }),
            13 => Body::MessageToolCallSet(MessageToolCallSet { index, tool_call_index: inner, tool_call }),
            _ => Body::Custom(CustomEvent { r#type: text, ..Default::default() }),
        }
    })
}

/// Applies the bodies that the rules let through. Returns them with what the rules remember at the end.
fn admitted(bodies: Vec<Body>) -> (Vec<Body>, Vec<u8>) {
    let created = event::created(ExecutionCreated::default()).expect("it is valid");
    let mut state = ExecutionRules.admit(&[], &[created]).expect("it is admitted");
    let mut kept = vec![Body::Created(ExecutionCreated::default())];
    for body in bodies {
        let wire = Event { body: Some(body.clone()), ..Default::default() };
        let Ok(batch) = event::client_batch(vec![wire]) else { continue };
        if let Ok(after) = ExecutionRules.admit(&state, &batch) {
            state = after;
            kept.push(body);
        }
    }
    (kept, state)
}

proptest! {
    #[test]
    fn folding_in_steps_over_bases_is_folding_at_once(all in vec(bodies(), 0..40), cut in 0_usize..40) {
        let (prefix, rest) = all.split_at(cut.min(all.len()));
        let mut stepped = reread(&fold(prefix));
        add_all(&mut stepped, rest);
        prop_assert_eq!(stepped, fold(&all));
    }

    #[test]
    fn the_lists_are_as_long_as_the_rules_say(all in vec(bodies(), 0..60)) {
        let (kept, rules) = admitted(all);
        let folded = fold(&kept);
        let status = status(&folded);
        let mut expected = vec![1, u8::try_from(status.phase).expect("a phase is small")];
        let lengths = [status.messages.len(), status.tool_calls.len(), status.sub_agent_executions.len()];
        for length in lengths {
            expected.extend(u32::try_from(length).expect("a list is short").to_le_bytes());
        }
        prop_assert_eq!(rules, expected);
    }

    #[test]
    fn any_bytes_as_base_or_payload_are_an_error_or_a_state_but_never_a_panic(
        base in vec(any::<u8>(), 0..64),
        payload in vec(any::<u8>(), 0..64),
        type_tag in 0_u32..40,
    ) {
        let versioned: Vec<u8> = [1, 9, 0, 0, 0, 0, 0, 0, 0].into_iter().chain(base.clone()).collect();
        for base in [base, versioned] {
            let Ok(mut folded) = Folded::from_base(base.into()) else { continue };
            let event = StoredEvent { type_tag, payload: payload.clone().into(), ..stored(1, added(0, "")) };
            let _ = folded.add(&event);
            let again = Folded::from_base(folded.to_base());
            prop_assert_eq!(again.map(|folded| folded.to_base()), Ok(folded.to_base()));
        }
    }
}

/// What the tests store is what the write path stores.
#[test]
fn what_the_write_path_encodes_is_folded() {
    let wire = vec![Event { body: Some(added(0, "a")), ..Default::default() }];
    let NewEvent { type_tag, payload, .. } = event::client_batch(wire).expect("it is valid").remove(0);
    let mut folded = Folded::default();
    let event = StoredEvent { type_tag, payload, ..stored(1, added(0, "")) };
    folded.add(&event).expect("it is an event");
    assert_eq!(contents(&folded), ["a"]);
}

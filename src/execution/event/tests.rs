//! What becomes of wire events, and which are refused.

use super::*;
use crate::proto::v1::Event;

fn event(body: Body) -> Event {
    Event { body: Some(body), ..Event::default() }
}

fn output(data: Vec<u8>) -> Event {
    event(Body::Output(wire::Output { stream: 1, data: data.into(), truncated: false }))
}

fn phase(phase: i32, error: &str) -> Event {
    event(Body::PhaseChanged(wire::PhaseChanged { phase, error: error.into(), ..Default::default() }))
}

fn refused_field(events: Vec<Event>) -> String {
    match parse_batch(events).expect_err("refused") {
        InvalidEvents::Field { field, .. } => field,
        other => panic!("{other}"),
    }
}

#[test]
fn only_the_body_of_an_event_is_kept() {
    let sent = Event { seq: 9, position: 8, execution_id: "x".into(), ..output(b"hello".to_vec()) };
    let parsed = parse_batch(vec![sent, output(b"again".to_vec())]).expect("fine");
    assert_eq!(Event::decode(parsed[0].payload.clone()).expect("our own"), output(b"hello".to_vec()));
    assert_eq!(Event::decode(parsed[1].payload.clone()).expect("our own"), output(b"again".to_vec()));
    assert_eq!(parsed[0].type_tag, 21);
}

#[test]
fn the_type_tag_is_the_field_number_on_the_wire() {
    let events = [output(vec![]), phase(2, ""), event(Body::TodoRemoved(wire::TodoRemoved { id: "1".into() }))];
    for parsed in parse_batch(events.to_vec()).expect("fine") {
        // The key of the only field: number and wire type 2.
        let key = prost::encoding::decode_varint(&mut parsed.payload.clone()).expect("a key");
        assert_eq!(key >> 3, u64::from(parsed.type_tag));
    }
}

#[test]
fn a_change_of_phase_is_known_to_the_store_with_a_shortened_error() {
    let error = "ä".repeat(3_000);
    let parsed = parse_batch(vec![phase(4, &error)]).expect("fine").remove(0);
    let change = parsed.head_change.expect("a change");
    assert_eq!(change.phase, Some(Phase::Failed));
    assert_eq!(change.error.expect("an error").len(), HEAD_ERROR_BYTES_MAX);
    assert!(parsed.payload.len() > 6_000, "the event keeps the whole text");
}

#[test]
fn what_must_not_be_appended_is_refused_with_its_field() {
    assert_eq!(refused_field(vec![]), "events");
    assert_eq!(refused_field(vec![output(vec![]), Event::default()]), "events[1].body");
    assert_eq!(refused_field(vec![event(Body::Created(Default::default()))]), "events[0].created");
    assert_eq!(refused_field(vec![phase(0, "")]), "events[0].phase_changed.phase");
    assert_eq!(refused_field(vec![phase(77, "")]), "events[0].phase_changed.phase");
    assert_eq!(refused_field(vec![phase(3, ""), output(vec![])]), "events[0].phase_changed.phase");
    assert_eq!(refused_field(vec![event(Body::Custom(Default::default()))]), "events[0].custom.type");
    assert_eq!(refused_field(vec![event(Body::Output(Default::default()))]), "events[0].output.stream");
    assert_eq!(refused_field(vec![event(Body::TextAppended(Default::default()))]), "events[0].text_appended.target");
    assert_eq!(refused_field(vec![event(Body::ListTruncated(Default::default()))]), "events[0].list_truncated.list");
}

#[test]
fn sizes_are_bounded_by_event_and_by_batch() {
    let too_large = parse_batch(vec![output(vec![]), output(vec![0; EVENT_BYTES_MAX])]);
    assert!(matches!(too_large, Err(InvalidEvents::EventTooLarge { index: 1, .. })));
    assert!(parse_batch(vec![output(vec![0; EVENT_BYTES_MAX - 20])]).is_ok());
    let bytes = parse_batch(vec![output(vec![0; EVENT_BYTES_MAX - 20]); 5]);
    assert!(matches!(bytes, Err(InvalidEvents::BatchTooLarge { unit: "bytes", .. })));
    let events = parse_batch(vec![output(vec![]); BATCH_EVENTS_MAX + 1]);
    assert!(matches!(events, Err(InvalidEvents::BatchTooLarge { unit: "events", actual: 1_001, .. })));
}

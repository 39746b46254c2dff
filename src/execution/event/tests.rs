//! Bodies that are refused, and bodies that are stored as they should be.

use bytes::Bytes;
use tapeline_storage::Phase;
use tapeline_storage::limits::MIB;

use super::*;
use crate::proto::v1::{CustomEvent, ListTruncated, Output, PhaseChanged, TextAppended};

fn event(body: Body) -> Event {
    Event { body: Some(body), ..Default::default() }
}

fn output(bytes: usize) -> Event {
    event(Body::Output(Output { stream: 1, data: Bytes::from(vec![7; bytes]), truncated: false }))
}

fn phase_changed(phase: i32) -> Event {
    event(Body::PhaseChanged(PhaseChanged { phase, ..Default::default() }))
}

/// The field that a batch is refused for.
fn refused_field(events: Vec<Event>) -> String {
    match client_batch(events).expect_err("the batch is refused") {
        Invalid::Field { field, .. } => field,
        other => panic!("another error: {other:?}"),
    }
}

#[test]
fn what_is_stored_is_the_body_alone_and_reads_back_equal() {
    let custom = CustomEvent {
        r#type: "metric".into(),
        attributes: [("b".into(), "2".into()), ("a".into(), "1".into())].into(),
        ..Default::default()
    };
    let sent = Event { seq: 99, position: 98, ..event(Body::Custom(custom)) };
    let stored = client_batch(vec![output(3), sent.clone()]).expect("it is valid");
    assert_eq!(stored[1].type_tag, 30);
    assert_eq!(stored[1].custom_type.as_deref(), Some("metric"));
    let read = Event::decode(stored[1].payload.clone()).expect("it is an event");
    assert_eq!(read, Event { seq: 0, position: 0, ..sent });
}

#[test]
fn the_type_tag_is_the_number_of_the_body_field() {
    for body in
        [Body::Output(Output { stream: 1, ..Default::default() }), Body::Custom(CustomEvent::default())]
    {
        let tag = kind::of(&body);
        let bytes = event(body).encode_to_vec();
        let key = prost::encoding::decode_varint(&mut bytes.as_slice()).expect("it begins with a key");
        assert_eq!(key >> 3, u64::from(tag));
    }
}

#[test]
fn a_batch_has_1_to_1000_events() {
    assert_eq!(refused_field(vec![]), "events");
    assert!(client_batch(vec![output(1); 1_000]).is_ok());
    let refused = client_batch(vec![output(1); 1_001]).expect_err("it is too large");
    assert_eq!(
        refused,
        Invalid::BatchTooLarge { what: "events", excess: Excess { limit: 1_000, actual: 1_001 } }
    );
}

#[test]
fn an_event_has_at_most_1_mib_and_a_batch_4_mib() {
    let refused = client_batch(vec![output(1), output(MIB)]).expect_err("with its frame it is larger");
    assert!(matches!(refused, Invalid::EventTooLarge { field, .. } if field == "events[1]"));
    let almost = MIB - 16;
    assert!(client_batch(vec![output(almost); 4]).is_ok());
    let refused = client_batch(vec![output(almost); 5]).expect_err("it is too large");
    assert!(matches!(refused, Invalid::BatchTooLarge { what: "bytes", .. }));
}

#[test]
fn a_terminal_phase_must_be_the_last_event_of_its_batch() {
    assert_eq!(refused_field(vec![phase_changed(3), output(1)]), "events[0].phase_changed.phase");
    let batch = client_batch(vec![output(1), phase_changed(3)]).expect("it is the last");
    let change = batch[1].head_change.as_ref().expect("a phase changes the head");
    assert_eq!(change.phase, Some(Phase::Completed));
}

#[test]
fn what_is_unspecified_or_unknown_is_refused_with_its_place() {
    assert_eq!(refused_field(vec![Event::default()]), "events[0]");
    assert_eq!(refused_field(vec![output(1), phase_changed(0)]), "events[1].phase_changed.phase");
    assert_eq!(refused_field(vec![phase_changed(77)]), "events[0].phase_changed.phase");
    assert_eq!(refused_field(vec![event(Body::Created(Default::default()))]), "events[0].created");
    let cut = ListTruncated { list: 4, length: 0 };
    assert_eq!(refused_field(vec![event(Body::ListTruncated(cut))]), "events[0].list_truncated.list");
    assert_eq!(refused_field(vec![event(Body::Output(Output::default()))]), "events[0].output.stream");
    let text = TextAppended::default();
    assert_eq!(refused_field(vec![event(Body::TextAppended(text))]), "events[0].text_appended.target");
    for name in [String::new(), "x".repeat(257)] {
        let custom = CustomEvent { r#type: name, ..Default::default() };
        assert_eq!(refused_field(vec![event(Body::Custom(custom))]), "events[0].custom.type");
    }
}

//! What admission lets through at its largest fits into a record, and comes out of it again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::*;
use super::samples::{DIGEST, creation, encoded, event, head};
use crate::limits::{
    APPEND_BYTES_MAX, CUSTOM_TYPE_BYTES_MAX, EXECUTION_ID_BYTES_MAX, HEAD_ERROR_BYTES_MAX,
    HEAD_TEXT_BYTES_MAX, LABEL_KEY_BYTES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_MAX, NUMBERING_MAX,
    PRODUCER_ID_BYTES_MAX, PRODUCERS_MAX, RECORD_BODY_BYTES_MAX, RULE_STATE_BYTES_MAX,
};
use crate::{
    BatchSpan, Creation, ExecutionId, ExecutionRef, Head, HeadChange, Lease, Phase, Producer, ProducerState,
};

fn text(length: usize) -> String {
    "x".repeat(length)
}

fn longest_lease() -> Lease {
    Lease { owner: text(PRODUCER_ID_BYTES_MAX), duration_ms: u64::MAX }
}

fn longest_producer(index: usize) -> Producer {
    let id = format!("{index:0width$}", width = PRODUCER_ID_BYTES_MAX);
    Producer { id: Arc::from(id), epoch: u64::MAX, seq: u64::MAX }
}

fn longest_creation() -> Creation {
    let label =
        |index| (format!("{index:0width$}", width = LABEL_KEY_BYTES_MAX), text(LABEL_VALUE_BYTES_MAX));
    Creation {
        number: u64::MAX,
        id: ExecutionId::parse(&text(EXECUTION_ID_BYTES_MAX)).expect("an id"),
        labels: (0..LABELS_MAX).map(label).collect::<BTreeMap<_, _>>(),
        ..creation()
    }
}

fn body_bytes(frame: &[u8]) -> usize {
    frame.len() - FRAME_BYTES
}

#[test]
fn the_largest_event_that_is_admitted_is_written_and_read_again() {
    let (payload, custom_type) = (vec![0xff; APPEND_BYTES_MAX], text(CUSTOM_TYPE_BYTES_MAX));
    let head_text = Some(text(HEAD_TEXT_BYTES_MAX));
    let record = Record::Event(EventRecord {
        number: u64::MAX,
        seq: u64::MAX,
        position: u64::MAX,
        record_time_ns: u64::MAX,
        type_tag: u32::MAX,
        custom_type: Some(&custom_type),
        head_change: Some(HeadChange {
            phase: Some(Phase::Cancelled),
            error: Some(text(HEAD_ERROR_BYTES_MAX)),
            session_id: head_text.clone(),
            agent_id: head_text.clone(),
            display_name: head_text,
            lease: Some(longest_lease()),
        }),
        batch: Some(BatchStart {
            events: u32::MAX,
            producer: Some(ProducerStamp { producer: longest_producer(0), digest: u128::MAX }),
            rule_state: Some(vec![0xff; RULE_STATE_BYTES_MAX]),
        }),
        payload: &payload,
    });
    let frame = encoded(&record);
    assert!(body_bytes(&frame) <= RECORD_BODY_BYTES_MAX);
    assert!(Record::decode(&frame) == Ok((record, frame.len())));
}

#[test]
fn the_largest_base_is_written_and_read_again() {
    let base = vec![7; APPEND_BYTES_MAX];
    let (number, floor_seq, freed_bytes) = (u64::MAX, u64::MAX, u64::MAX);
    let record = Record::Trim(TrimRecord { number, floor_seq, freed_bytes, base: Some(&base) });
    let frame = encoded(&record);
    assert!(body_bytes(&frame) <= RECORD_BODY_BYTES_MAX);
    assert!(Record::decode(&frame) == Ok((record, frame.len())));
}

#[test]
fn the_largest_creation_and_the_head_it_grows_into_are_written_and_read_again() {
    let creation = longest_creation();
    let frame = encoded(&Record::Create(creation.clone()));
    assert_eq!(Record::decode(&frame), Ok((Record::Create(creation.clone()), frame.len())));

    let Creation { id, log_id, digest, labels, .. } = creation;
    let highest = NUMBERING_MAX - 1;
    let span =
        BatchSpan { first_seq: highest, last_seq: highest, last_position: highest, record_time_ns: u64::MAX };
    let state = |index| ProducerState { producer: longest_producer(index), digest: DIGEST, span };
    let long: Arc<str> = Arc::from(text(HEAD_TEXT_BYTES_MAX));
    let head = Head {
        number: highest,
        execution: Arc::new(ExecutionRef { id, log_id, labels }),
        create_digest: digest,
        floor_seq: highest,
        tail_seq: highest,
        tail_position: highest,
        stored_bytes: highest,
        session_id: long.clone(),
        agent_id: long.clone(),
        display_name: long,
        error: Arc::from(text(HEAD_ERROR_BYTES_MAX)),
        rule_state: vec![0xff; RULE_STATE_BYTES_MAX],
        producers: (0..PRODUCERS_MAX).map(state).collect(),
        lease: Some(longest_lease()),
        ..head()
    };
    let mut frame = Vec::new();
    encode_head(&mut frame, &head);
    assert!(body_bytes(&frame) <= 64 << 10, "a head stays small: {} bytes", frame.len());
    assert_eq!(decode_head(&frame), Ok(head));
}

#[test]
fn a_body_one_byte_above_the_limit_is_not_read() {
    let fields = encoded(&Record::Event(EventRecord { payload: b"", ..event() }));
    // The length of the payload takes one byte when it is empty, five when it is this long.
    let payload = vec![1; RECORD_BODY_BYTES_MAX + 1 - (body_bytes(&fields) - 1) - 5];
    let frame = encoded(&Record::Event(EventRecord { payload: &payload, ..event() }));
    assert_eq!(body_bytes(&frame), RECORD_BODY_BYTES_MAX + 1);
    assert_eq!(Record::decode(&frame), Err(RecordError::TooLong(RECORD_BODY_BYTES_MAX + 1)));
}

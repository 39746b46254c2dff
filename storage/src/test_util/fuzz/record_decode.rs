//! Any bytes as a record: decoding must not panic, and what it accepts must be what would be written.

use bytes::Bytes;

use crate::limits::RECORD_BODY_BYTES_MAX;
use crate::record::{EventRecord, FRAME_BYTES, Record, VERSION, decode_head, encode_head};
use crate::{Applied, BatchApplied, Head};

/// Where the checksum of a frame begins.
const CHECKSUM_AT: usize = 6;

/// Decodes the input as it is, and once more as a body in a sound frame whose kind is its first byte,
/// because no fuzzer guesses a checksum.
pub fn record_decode(input: &[u8]) {
    check(input);
    if let Some((kind, body)) = input.split_first() {
        check(&framed(*kind, body));
    }
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("an input is smaller than 4 GiB");
    let mut frame = vec![VERSION, kind];
    frame.extend_from_slice(&length.to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&frame), body);
    frame.extend_from_slice(&checksum.to_le_bytes());
    frame.extend_from_slice(body);
    frame
}

fn check(bytes: &[u8]) {
    check_record(bytes);
    check_event(bytes);
    check_head(bytes);
}

fn check_record(bytes: &[u8]) {
    let Ok((record, length)) = Record::decode(bytes) else { return };
    assert!((FRAME_BYTES..=bytes.len()).contains(&length), "a record has the length of its frame");
    let mut again = Vec::new();
    record.encode(&mut again);
    let (same, whole) = Record::decode(&again).expect("what was encoded decodes");
    assert_eq!((&same, whole), (&record, again.len()));
    assert!(again.len() <= length, "our own encoding is the shortest");
    check_damage(&bytes[..length]);
}

/// A record that is cut short, or one of whose bytes behind the header is wrong, is none.
fn check_damage(frame: &[u8]) {
    assert!(Record::decode(&frame[..frame.len() - 1]).is_err(), "a record that is cut short was accepted");
    let mut wrong = frame.to_vec();
    let at = CHECKSUM_AT + frame.len() % (frame.len() - CHECKSUM_AT);
    wrong[at] ^= 1 << (frame.len() % 8);
    assert!(Record::decode(&wrong).is_err(), "a wrong byte at {at} was accepted");
}

fn check_event(bytes: &[u8]) {
    let source = Bytes::copy_from_slice(bytes);
    let Ok((event, length)) = EventRecord::decode(&source) else { return };
    let (record, whole) = Record::decode(&source).expect("an event is a record");
    assert_eq!((&record, whole), (&Record::Event(event.clone()), length));
    assert_eq!(event.to_stored(&source).payload, event.payload);
    assert_eq!(event.applied().payload_bytes, event.payload.len());
}

fn check_head(bytes: &[u8]) {
    let Ok(head) = decode_head(bytes) else { return };
    let mut again = Vec::new();
    encode_head(&mut again, &head);
    assert_eq!(decode_head(&again).expect("what was encoded decodes"), head);
    assert!(decode_head(&[bytes, &[0]].concat()).is_err(), "a byte behind a head was accepted");
    go_on(head);
}

/// What a start and a writer do with a head that was read: the arithmetic on its numbers stays in range.
fn go_on(mut head: Head) {
    let (seq, position) = (head.tail_seq + 1, head.tail_position + 1);
    let batch = BatchApplied { events: u32::MAX, producer: None, rule_state: None };
    let record_time_ns = head.update_time_ns;
    let (payload_bytes, change, batch) = (RECORD_BODY_BYTES_MAX, None, Some(batch));
    head.apply(&Applied { seq, position, record_time_ns, payload_bytes, change, batch });
    let kept = head.tail_seq + 1 - head.floor_seq;
    assert!(kept > 0, "the event that was just applied is kept");
    assert!(head.producers.iter().all(|state| state.span.first_seq - 1 < state.span.last_seq));
    head.trim(head.tail_seq + 1, u64::MAX);
}

//! Bytes that were not written by the codec, or not left as they were: an error, never a panic.

use proptest::prelude::*;

use super::super::*;
use super::samples::{any_head, any_record, creation, encoded, event, head, plain_event, trim};
use crate::limits::RECORD_BODY_BYTES_MAX;

/// A frame with a right checksum around any body.
fn framed(version: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![version, kind];
    frame.extend_from_slice(&(body.len() as u32).to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&frame), body);
    frame.extend_from_slice(&checksum.to_le_bytes());
    frame.extend_from_slice(body);
    frame
}

/// A frame of each kind that stands in the journal, and a head.
fn samples() -> Vec<Vec<u8>> {
    let delete = Record::Delete(DeleteRecord { number: 7 });
    let records = [
        Record::Create(creation()),
        Record::Event(event()),
        Record::Event(plain_event()),
        delete,
        Record::Trim(trim()),
    ];
    let mut samples: Vec<_> = records.iter().map(encoded).collect();
    let mut bytes = Vec::new();
    encode_head(&mut bytes, &head());
    samples.push(bytes);
    samples
}

/// Decodes as what the kind says.
fn decode(bytes: &[u8]) -> Result<(), RecordError> {
    match bytes.get(1) {
        Some(&kind) if kind == Kind::Head as u8 => decode_head(bytes).map(drop),
        _ => Record::decode(bytes).map(drop),
    }
}

#[test]
fn the_samples_are_sound() {
    for sample in samples() {
        assert_eq!(decode(&sample), Ok(()));
        assert_eq!(framed(VERSION, sample[1], &sample[FRAME_BYTES..]), sample);
    }
}

#[test]
fn bytes_that_end_inside_a_record_are_told_from_damage() {
    for sample in samples() {
        for have in 0..sample.len() {
            let need = if have < FRAME_BYTES { FRAME_BYTES } else { sample.len() };
            assert_eq!(decode(&sample[..have]), Err(RecordError::Truncated { have, need }));
        }
    }
}

#[test]
fn every_flipped_bit_of_every_kind_is_an_error() {
    for sample in samples() {
        for bit in 0..sample.len() * 8 {
            let mut wrong = sample.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&wrong).is_err(), "bit {bit} of kind {}", sample[1]);
        }
    }
}

#[test]
fn bytes_behind_the_last_field_of_a_body_are_refused() {
    for sample in samples() {
        for behind in [&[0_u8][..], &[1, 2, 3]] {
            let body = [&sample[FRAME_BYTES..], behind].concat();
            let expected = Err(RecordError::Trailing(behind.len()));
            assert_eq!(decode(&framed(VERSION, sample[1], &body)), expected);
        }
    }
}

#[test]
fn bytes_behind_a_head_are_refused() {
    let mut bytes = samples().pop().expect("the last sample is a head");
    bytes.extend_from_slice(&[0, 0]);
    assert_eq!(decode_head(&bytes), Err(RecordError::Trailing(2)));
}

#[test]
fn a_body_that_ends_before_its_last_field_is_refused() {
    for sample in samples() {
        let body = &sample[FRAME_BYTES..];
        for length in 0..body.len() {
            let cut = decode(&framed(VERSION, sample[1], &body[..length]));
            assert!(
                matches!(cut, Err(RecordError::Body(_))),
                "{length} bytes of kind {}: {cut:?}",
                sample[1]
            );
        }
    }
}

#[test]
fn another_version_is_named_before_anything_else_is_looked_at() {
    for sample in samples() {
        for version in (0..=u8::MAX).filter(|version| *version != VERSION) {
            // As a newer program might write it: the bytes behind the number are its own affair.
            assert_eq!(
                decode(&[version, sample[1], 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0]),
                Err(RecordError::Version(version))
            );
        }
    }
}

#[test]
fn a_kind_that_is_not_known_or_may_not_stand_here_is_named() {
    let sample = encoded(&Record::Delete(DeleteRecord { number: 7 }));
    for kind in (0..=u8::MAX).filter(|kind| !(1..=4).contains(kind)) {
        let frame = framed(VERSION, kind, &sample[FRAME_BYTES..]);
        assert_eq!(Record::decode(&frame), Err(RecordError::Kind(kind)));
        assert_eq!(EventRecord::decode(&frame), Err(RecordError::Kind(kind)));
    }
}

#[test]
fn a_body_longer_than_any_is_refused_before_it_is_read() {
    let header = |length: usize| {
        let mut header = vec![VERSION, Kind::Event as u8];
        header.extend_from_slice(&(length as u32).to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        header
    };
    for length in [RECORD_BODY_BYTES_MAX + 1, u32::MAX as usize] {
        assert_eq!(decode(&header(length)), Err(RecordError::TooLong(length)));
    }
    let (have, need) = (FRAME_BYTES, FRAME_BYTES + RECORD_BODY_BYTES_MAX);
    assert_eq!(decode(&header(RECORD_BODY_BYTES_MAX)), Err(RecordError::Truncated { have, need }));
}

/// A length in the encoding of a body.
fn length(length: u64) -> Vec<u8> {
    [&[253][..], &length.to_le_bytes()].concat()
}

#[test]
fn a_length_inside_a_body_that_promises_more_than_is_there_is_refused_and_reserves_nothing() {
    let mut bare = Vec::new();
    encode_head(&mut bare, &crate::Head::new(&crate::Creation { labels: Default::default(), ..creation() }));
    let plain = EventRecord { payload: b"", ..plain_event() };
    // Each body without the length that is its last field, or the last but one.
    let bodies = [
        (
            Kind::Create,
            encoded(&Record::Create(crate::Creation { labels: Default::default(), ..creation() })),
            1,
        ),
        (Kind::Event, encoded(&Record::Event(plain)), 1),
        (Kind::Trim, encoded(&Record::Trim(TrimRecord { base: Some(b""), ..trim() })), 1),
        (Kind::Head, bare, 2),
    ];
    for (kind, frame, cut) in bodies {
        for promised in [1 << 16, RECORD_BODY_BYTES_MAX as u64, u64::from(u32::MAX), u64::MAX] {
            let body = [&frame[FRAME_BYTES..frame.len() - cut], &length(promised)].concat();
            let found = decode(&framed(VERSION, kind as u8, &body));
            assert!(matches!(found, Err(RecordError::Body(_))), "{kind:?} with {promised}: {found:?}");
        }
    }
}

#[test]
fn fields_that_no_writer_writes_are_refused() {
    // number, id, log id, digest, no labels
    let creation = |id: &[u8]| [&[7, id.len() as u8][..], id, &[0; 33]].concat();
    assert_eq!(decode(&framed(VERSION, 1, &creation(b"aex-1"))), Ok(()));
    for id in [&b""[..], b"a b", b"\xff", "ä".as_bytes()] {
        let found = decode(&framed(VERSION, 1, &creation(id)));
        assert!(matches!(found, Err(RecordError::Body(_))), "{id:?}: {found:?}");
    }
    // number, seq, position, time, type tag, no custom type, a change of the phase alone, no batch
    let event = |phase: u8| [&[7, 2, 3, 4, 13, 0, 1, 1, phase][..], &[0; 5], &[0, 0]].concat();
    for phase in 0..=u8::MAX {
        let found = decode(&framed(VERSION, 2, &event(phase)));
        match phase {
            1..=5 => assert_eq!(found, Ok(())),
            _ => assert!(matches!(found, Err(RecordError::Body(_))), "phase {phase}: {found:?}"),
        }
    }
    // A mark for "there" that is neither 0 nor 1.
    let found = decode(&framed(VERSION, 4, &[7, 1, 0, 2, 0]));
    assert!(matches!(found, Err(RecordError::Body(_))), "{found:?}");
}

/// Damage before the checksum was made, or a forger, once got a head through whose numbers overflowed.
#[test]
fn a_head_whose_numbers_cannot_be_is_refused_although_its_checksum_is_right() {
    let changes: [fn(&mut crate::Head); 10] = [
        |head| head.number = 0,
        |head| head.number = u64::MAX,
        |head| head.tail_seq = u64::MAX,
        |head| head.tail_position = u64::MAX,
        |head| head.stored_bytes = u64::MAX,
        |head| head.floor_seq = 0,
        |head| head.floor_seq = head.tail_seq + 2,
        |head| head.producers[0].span.first_seq = 0,
        |head| head.producers[0].span.last_seq = head.tail_seq + 1,
        |head| head.producers[0].span.last_position = head.tail_position + 1,
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut wrong = head();
        change(&mut wrong);
        let mut frame = Vec::new();
        encode_head(&mut frame, &wrong);
        assert!(matches!(decode_head(&frame), Err(RecordError::Body(_))), "change {index} was accepted");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_record_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Record::decode(&bytes).is_err());
        prop_assert!(EventRecord::decode(&bytes).is_err());
        prop_assert!(decode_head(&bytes).is_err());
    }

    #[test]
    fn an_arbitrary_body_behind_a_right_checksum_is_refused_or_means_something(
        kind in 0..=13_u8,
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let frame = framed(VERSION, kind, &body);
        if let Ok((record, length)) = Record::decode(&frame) {
            prop_assert_eq!(length, frame.len());
            let again = encoded(&record);
            prop_assert_eq!(Record::decode(&again), Ok((record, again.len())));
        }
        if let Ok(head) = decode_head(&frame) {
            let mut again = Vec::new();
            encode_head(&mut again, &head);
            prop_assert_eq!(decode_head(&again), Ok(head));
        }
    }

    #[test]
    fn a_changed_body_behind_a_right_checksum_never_panics(
        owned in any_record(),
        head in any_head(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut head_frame = Vec::new();
        encode_head(&mut head_frame, &head);
        for sound in [encoded(&owned.record()), head_frame] {
            let mut body = sound[FRAME_BYTES..].to_vec();
            changes.iter().for_each(|(at, byte)| { let at = at.index(body.len()); body[at] = *byte; });
            let frame = framed(VERSION, sound[1], &body);
            if let Ok((record, _)) = Record::decode(&frame) {
                prop_assert!(Record::decode(&encoded(&record)).is_ok());
            }
            // What is asserted is that it returns.
            let _ = decode_head(&frame);
        }
    }
}

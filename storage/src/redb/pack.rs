//! Packing: turns what was admitted into record frames, into what readers and the hook get, and moves
//! the head. Pure: no clock, no file; what it is given was checked by [`super::admit`].

use crate::record::{BatchStart, DeleteRecord, EventRecord, ProducerStamp, Record, TrimRecord};
use crate::{BatchSpan, Creation, Head, NewEvent, Position, Producer, Seq, StoredEvent};

/// The events of one append as they were packed.
#[derive(Debug)]
pub(super) struct Packed {
    /// As readers get them.
    pub(super) events: Vec<StoredEvent>,
    /// Where they stand.
    pub(super) span: BatchSpan,
}

/// Appends the records of an append to `out` and moves `head` over them. There must be an event. All
/// of them get the same time: `now_ns`, or the head's last time if the clock ran backwards.
pub(super) fn pack_append(
    out: &mut Vec<u8>,
    head: &mut Head,
    first_position: Position,
    now_ns: u64,
    events: Vec<NewEvent>,
    producer: Option<(Producer, u128)>,
    rule_state: Option<Vec<u8>>,
) -> Packed {
    let record_time_ns = now_ns.max(head.update_time_ns);
    let first_seq = head.tail_seq + 1;
    let mut batch = Some(BatchStart {
        events: u32::try_from(events.len()).expect("admission bounds the events of an append"),
        producer: producer.map(|(producer, digest)| ProducerStamp { producer, digest }),
        rule_state,
    });
    let mut stored = Vec::with_capacity(events.len());
    for (event, index) in events.into_iter().zip(0..) {
        let (seq, position) = (first_seq + index, first_position + index);
        let NewEvent { type_tag, custom_type, head_change, payload } = event;
        let record = EventRecord {
            number: head.number,
            seq,
            position,
            record_time_ns,
            type_tag,
            custom_type: custom_type.as_deref(),
            head_change: head_change.map(|change| *change),
            batch: batch.take(),
            payload: &payload,
        };
        record.encode(out);
        head.apply(&record.applied());
        stored.push(StoredEvent { seq, position, record_time_ns, type_tag, custom_type, payload });
    }
    let last_position = first_position + (stored.len() as u64).saturating_sub(1);
    let span = BatchSpan { first_seq, last_seq: head.tail_seq, last_position, record_time_ns };
    Packed { events: stored, span }
}

/// Appends the record of a creation to `out`; returns the head it begins. Its first events follow.
pub(super) fn pack_create(out: &mut Vec<u8>, creation: &Creation) -> Head {
    Record::Create(creation.clone()).encode(out);
    Head::new(creation)
}

/// Appends the record of a trim to `out` and raises the floor of `head`.
pub(super) fn pack_trim(
    out: &mut Vec<u8>,
    head: &mut Head,
    floor_seq: Seq,
    freed_bytes: u64,
    base: Option<&[u8]>,
) {
    Record::Trim(TrimRecord { number: head.number, floor_seq, freed_bytes, base }).encode(out);
    head.trim(floor_seq, freed_bytes);
}

/// Appends the record of a deletion to `out`.
pub(super) fn pack_delete(out: &mut Vec<u8>, number: u64) {
    Record::Delete(DeleteRecord { number }).encode(out);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::{ExecutionId, HeadChange, LogId, Phase};

    fn creation() -> Creation {
        Creation {
            number: 7,
            id: ExecutionId::parse("packed").expect("an id"),
            log_id: LogId(9),
            digest: 11,
            labels: BTreeMap::from([("team".to_owned(), "a".to_owned())]),
        }
    }

    fn event() -> impl Strategy<Value = NewEvent> {
        let change = proptest::option::of(("[a-z]{0,8}", proptest::option::of(Just(Phase::InProgress))));
        (0_u32..40, proptest::option::of("[a-z]{1,8}"), change, proptest::collection::vec(any::<u8>(), 0..50))
            .prop_map(|(type_tag, custom_type, change, payload)| NewEvent {
                type_tag,
                custom_type: custom_type.map(|text| Arc::from(text.as_str())),
                head_change: change.map(|(error, phase)| {
                    Box::new(HeadChange { error: Some(error), phase, ..HeadChange::default() })
                }),
                payload: Bytes::from(payload),
            })
    }

    /// Folds record frames as a start does.
    fn fold(bytes: &[u8]) -> (Head, Vec<StoredEvent>) {
        let source = Bytes::copy_from_slice(bytes);
        let (mut head, mut events, mut at) = (None, Vec::new(), 0);
        while at < source.len() {
            let (record, length) = Record::decode(&source[at..]).expect("it was just packed");
            match record {
                Record::Create(creation) => head = Some(Head::new(&creation)),
                Record::Event(event) => {
                    head.as_mut().expect("created first").apply(&event.applied());
                    events.push(event.to_stored(&source));
                }
                Record::Trim(trim) => {
                    head.as_mut().expect("created first").trim(trim.floor_seq, trim.freed_bytes);
                }
                Record::Delete(_) => head = None,
            }
            at += length;
        }
        (head.expect("not deleted"), events)
    }

    proptest! {
        #[test]
        fn what_was_packed_folds_to_the_same_head_and_events(
            appends in proptest::collection::vec(
                (proptest::collection::vec(event(), 1..6), any::<u32>(), proptest::option::of("[a-c]"), any::<bool>()),
                1..8,
            ),
            trimmed in any::<bool>(),
        ) {
            let mut out = Vec::new();
            let mut head = pack_create(&mut out, &creation());
            let (mut events, mut position) = (Vec::new(), 5);
            for (index, (append, now, producer, ruled)) in appends.into_iter().enumerate() {
                let producer = producer
                    .map(|id| (Producer { id: id.as_str().into(), epoch: 1, seq: index as u64 }, u128::from(now)));
                let rule_state = ruled.then(|| vec![index as u8]);
                let packed =
                    pack_append(&mut out, &mut head, position, u64::from(now), append, producer, rule_state);
                prop_assert_eq!(packed.span.last_position, position + packed.events.len() as u64 - 1);
                position = packed.span.last_position + 1;
                events.extend(packed.events);
            }
            if trimmed {
                pack_trim(&mut out, &mut head, 2, 1, Some(b"base"));
            }
            let (folded, stored) = fold(&out);
            prop_assert_eq!(&folded, &head);
            prop_assert_eq!(&stored, &events);
            prop_assert!(stored.windows(2).all(|pair| pair[0].record_time_ns <= pair[1].record_time_ns));
            prop_assert!(stored.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq));
        }
    }
}

//! The way out of bincode, which has no maintainer any more: wincode reads and writes the same bytes
//! for every body. A struct is encoded as the tuple of its fields, a map as the list of its pairs, so
//! the bodies are written here once more as tuples.

use proptest::prelude::*;

use super::super::*;
use super::samples::{Owned, any_head, any_record, encoded};
use crate::Lease;

/// Reads a whole body as a type with wincode, and refuses it unless wincode writes the same bytes.
macro_rules! read_by_wincode {
    ($body:ty, $frame:expr) => {{
        let config = ::wincode::config::Configuration::default().with_varint_encoding();
        let body: &[u8] = &$frame[$crate::record::FRAME_BYTES..];
        let value: $body = ::wincode::config::deserialize_exact(body, config).expect("wincode reads it");
        let again = ::wincode::config::serialize(&value, config).expect("wincode writes it");
        assert_eq!(again, body, "wincode writes other bytes");
        value
    }};
}
pub(crate) use read_by_wincode;

type Labels<'a> = Vec<(&'a str, &'a str)>;
type LeaseFields<'a> = (&'a str, u64);
type Stamp<'a> = (&'a str, u64, u64, [u8; 16]);
type Texts<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>, Option<&'a str>);
type Change<'a> = (Option<u8>, Texts<'a>, Option<LeaseFields<'a>>);
type Batch<'a> = (u32, Option<Stamp<'a>>, Option<&'a [u8]>);
type Create<'a> = (u64, &'a str, [u8; 16], [u8; 16], Labels<'a>);
type Event<'a> =
    ((u64, u64, u64, u64, u32), Option<&'a str>, Option<Change<'a>>, Option<Batch<'a>>, &'a [u8]);
type Trim<'a> = (u64, u64, u64, Option<&'a [u8]>);
type ProducerFields<'a> = (Stamp<'a>, u64, u64, u64, u64);
type HeadFields<'a> = (
    (u64, &'a str, [u8; 16], Labels<'a>, [u8; 16]),
    (u8, u64, u64, u64, u64, u64, Option<u64>),
    (&'a str, &'a str, &'a str, &'a str),
    (u64, &'a [u8], Vec<ProducerFields<'a>>, Option<LeaseFields<'a>>),
);

fn labels(labels: &std::collections::BTreeMap<String, String>) -> Labels<'_> {
    labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

fn lease(lease: &Option<Lease>) -> Option<LeaseFields<'_>> {
    lease.as_ref().map(|lease| (lease.owner.as_str(), lease.duration_ms))
}

fn stamp(producer: &crate::Producer, digest: u128) -> Stamp<'_> {
    (&producer.id, producer.epoch, producer.seq, digest.to_le_bytes())
}

fn change(change: &crate::HeadChange) -> Change<'_> {
    let texts = (
        change.error.as_deref(),
        change.session_id.as_deref(),
        change.agent_id.as_deref(),
        change.display_name.as_deref(),
    );
    (change.phase.map(|phase| phase as u8), texts, lease(&change.lease))
}

fn batch(batch: &BatchStart) -> Batch<'_> {
    let producer = batch.producer.as_ref().map(|known| stamp(&known.producer, known.digest));
    (batch.events, producer, batch.rule_state.as_deref())
}

fn check_record(owned: &Owned) {
    let frame = encoded(&owned.record());
    match owned.record() {
        Record::Create(creation) => {
            let (log_id, digest) = (creation.log_id.0.to_le_bytes(), creation.digest.to_le_bytes());
            let expected = (creation.number, creation.id.as_str(), log_id, digest, labels(&creation.labels));
            assert_eq!(read_by_wincode!(Create<'_>, frame), expected);
        }
        Record::Event(event) => {
            let numbers = (event.number, event.seq, event.position, event.record_time_ns, event.type_tag);
            let (change, batch) = (event.head_change.as_ref().map(change), event.batch.as_ref().map(batch));
            let expected = (numbers, event.custom_type, change, batch, event.payload);
            assert_eq!(read_by_wincode!(Event<'_>, frame), expected);
        }
        Record::Delete(delete) => assert_eq!(read_by_wincode!((u64,), frame), (delete.number,)),
        Record::Trim(trim) => {
            let expected = (trim.number, trim.floor_seq, trim.freed_bytes, trim.base);
            assert_eq!(read_by_wincode!(Trim<'_>, frame), expected);
        }
    }
}

proptest! {
    #[test]
    fn wincode_reads_and_writes_the_same_bytes_for_every_record(owned in any_record()) {
        check_record(&owned);
    }

    #[test]
    fn wincode_reads_and_writes_the_same_bytes_for_every_head(head in any_head()) {
        let mut frame = Vec::new();
        encode_head(&mut frame, &head);
        let execution = &head.execution;
        let (log_id, digest) = (execution.log_id.0.to_le_bytes(), head.create_digest.to_le_bytes());
        let names = (head.number, execution.id.as_str(), log_id, labels(&execution.labels), digest);
        let (seqs, times) = ((head.floor_seq, head.tail_seq), (head.create_time_ns, head.update_time_ns));
        let numbers =
            (head.phase as u8, seqs.0, seqs.1, head.tail_position, times.0, times.1, head.end_time_ns);
        let texts = (&*head.session_id, &*head.agent_id, &*head.display_name, &*head.error);
        let producer = |known: &crate::ProducerState| {
            // Written out, because a closure cannot name what it borrows from.
            (known.producer.id.to_string(), known.producer.epoch, known.producer.seq, known.digest, known.span)
        };
        let found = read_by_wincode!(HeadFields<'_>, frame);
        prop_assert_eq!((found.0, found.1, found.2), (names, numbers, texts));
        let (stored_bytes, rule_state, producers, found_lease) = found.3;
        prop_assert_eq!((stored_bytes, rule_state), (head.stored_bytes, &head.rule_state[..]));
        prop_assert_eq!(found_lease, lease(&head.lease));
        let found: Vec<_> = producers
            .into_iter()
            .map(|((id, epoch, seq, digest), first_seq, last_seq, last_position, record_time_ns)| {
                let span = crate::BatchSpan { first_seq, last_seq, last_position, record_time_ns };
                (id.to_owned(), epoch, seq, u128::from_le_bytes(digest), span)
            })
            .collect();
        prop_assert_eq!(found, head.producers.iter().map(producer).collect::<Vec<_>>());
    }
}

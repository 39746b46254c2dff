//! What the tests encode: one fixed record of each kind with every field set, and strategies for any.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::*;
use crate::limits::NUMBERING_MAX;
use crate::{
    BatchSpan, Creation, ExecutionId, ExecutionRef, Head, HeadChange, Lease, LogId, Phase, Producer,
    ProducerState,
};

pub(super) const DIGEST: u128 = 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100;

pub(super) fn creation() -> Creation {
    Creation {
        number: 7,
        id: ExecutionId::parse("aex-1").expect("an id"),
        log_id: LogId(0x1f1e_1d1c_1b1a_1918_1716_1514_1312_1110),
        digest: DIGEST,
        labels: BTreeMap::from([("env".to_owned(), "test".to_owned()), ("team".to_owned(), "a".to_owned())]),
    }
}

/// An event with every field set; its numbers take one, three, five and nine bytes.
pub(super) fn event() -> EventRecord<'static> {
    EventRecord {
        number: 7,
        seq: 251,
        position: 70_000,
        record_time_ns: 1_700_000_000_123_456_789,
        type_tag: 30,
        custom_type: Some("build.step"),
        head_change: Some(HeadChange {
            phase: Some(Phase::Failed),
            error: Some("no".to_owned()),
            session_id: Some("ses-1".to_owned()),
            agent_id: Some("agt-1".to_owned()),
            display_name: Some("Ä".to_owned()),
            lease: Some(Lease { owner: "run-1".to_owned(), duration_ms: 30_000 }),
        }),
        batch: Some(BatchStart {
            events: 1,
            producer: Some(ProducerStamp { producer: producer(), digest: DIGEST }),
            rule_state: Some(vec![4, 0, 1]),
        }),
        payload: b"\xf2\x01\x03abc",
    }
}

/// An event with none of the optional fields, as most are.
pub(super) fn plain_event() -> EventRecord<'static> {
    EventRecord {
        number: 7,
        seq: 2,
        position: 3,
        record_time_ns: 4,
        type_tag: 13,
        custom_type: None,
        head_change: None,
        batch: None,
        payload: b"xy",
    }
}

pub(super) fn trim() -> TrimRecord<'static> {
    TrimRecord { number: 7, floor_seq: 251, freed_bytes: 70_000, base: Some(b"folded") }
}

pub(super) fn producer() -> Producer {
    Producer { id: Arc::from("run-1"), epoch: 2, seq: 300 }
}

pub(super) fn head() -> Head {
    let Creation { number, id, log_id, digest, labels } = creation();
    let span =
        BatchSpan { first_seq: 250, last_seq: 251, last_position: 70_000, record_time_ns: 1_700_000_000 };
    Head {
        number,
        execution: Arc::new(ExecutionRef { id, log_id, labels }),
        create_digest: digest,
        phase: Phase::Failed,
        floor_seq: 3,
        tail_seq: 251,
        tail_position: 70_000,
        create_time_ns: 1_600_000_000,
        update_time_ns: 1_700_000_000,
        end_time_ns: Some(1_700_000_000),
        session_id: Arc::from("ses-1"),
        agent_id: Arc::from("agt-1"),
        display_name: Arc::from("Ä"),
        error: Arc::from("no"),
        stored_bytes: 9_999,
        rule_state: vec![4, 0, 1],
        producers: vec![ProducerState { producer: producer(), digest: DIGEST, span }],
        lease: Some(Lease { owner: "run-1".to_owned(), duration_ms: 30_000 }),
    }
}

/// A number of any length in the encoding.
pub(super) fn number() -> impl Strategy<Value = u64> {
    let edges = [0, 1, 250, 251, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, u64::MAX - 1, u64::MAX];
    prop_oneof![2 => prop::sample::select(edges.to_vec()), 1 => 0..400_u64, 1 => any::<u64>()]
}

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![9 => prop::collection::vec(any::<u8>(), 0..40), 1 => prop::collection::vec(any::<u8>(), 240..700)]
}

fn phase() -> impl Strategy<Value = Phase> {
    (1..=5_u8).prop_map(|number| Phase::from_number(number).expect("1 to 5 are phases"))
}

fn lease() -> impl Strategy<Value = Lease> {
    (text(), number()).prop_map(|(owner, duration_ms)| Lease { owner, duration_ms })
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map(text(), text(), 0..4)
}

fn any_producer() -> impl Strategy<Value = Producer> {
    (text(), number(), number()).prop_map(|(id, epoch, seq)| Producer { id: Arc::from(id), epoch, seq })
}

fn stamp() -> impl Strategy<Value = ProducerStamp> {
    (any_producer(), any::<u128>()).prop_map(|(producer, digest)| ProducerStamp { producer, digest })
}

pub(super) fn any_creation() -> impl Strategy<Value = Creation> {
    (number(), "[A-Za-z0-9_.:-]{1,128}", any::<[u128; 2]>(), labels()).prop_map(
        |(number, id, [log_id, digest], labels)| Creation {
            number,
            id: ExecutionId::parse(&id).expect("the pattern is that of ids"),
            log_id: LogId(log_id),
            digest,
            labels,
        },
    )
}

fn head_change() -> impl Strategy<Value = HeadChange> {
    let some = || prop::option::of(text());
    (prop::option::of(phase()), some(), some(), some(), some(), prop::option::of(lease())).prop_map(
        |(phase, error, session_id, agent_id, display_name, lease)| HeadChange {
            phase,
            error,
            session_id,
            agent_id,
            display_name,
            lease,
        },
    )
}

fn batch() -> impl Strategy<Value = BatchStart> {
    (any::<u32>(), prop::option::of(stamp()), prop::option::of(bytes()))
        .prop_map(|(events, producer, rule_state)| BatchStart { events, producer, rule_state })
}

/// A record with what it borrows.
#[allow(clippy::large_enum_variant, reason = "a test has a few of them")]
#[derive(Clone, Debug)]
pub(super) enum Owned {
    Create(Creation),
    Event { event: EventRecord<'static>, custom_type: Option<String>, payload: Vec<u8> },
    Delete(DeleteRecord),
    Trim { trim: TrimRecord<'static>, base: Option<Vec<u8>> },
}

impl Owned {
    pub(super) fn record(&self) -> Record<'_> {
        match self {
            Self::Create(creation) => Record::Create(creation.clone()),
            Self::Event { event, custom_type, payload } => {
                Record::Event(EventRecord { custom_type: custom_type.as_deref(), payload, ..event.clone() })
            }
            Self::Delete(delete) => Record::Delete(*delete),
            Self::Trim { trim, base } => Record::Trim(TrimRecord { base: base.as_deref(), ..*trim }),
        }
    }
}

pub(super) fn encoded(record: &Record<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    record.encode(&mut out);
    out
}

pub(super) fn any_event() -> impl Strategy<Value = Owned> {
    let numbers = ([number(), number(), number(), number()], any::<u32>());
    let options = (prop::option::of(text()), prop::option::of(head_change()), prop::option::of(batch()));
    (numbers, options, bytes()).prop_map(
        |(
            ([number, seq, position, record_time_ns], type_tag),
            (custom_type, head_change, batch),
            payload,
        )| {
            let numbers = EventRecord { number, seq, position, record_time_ns, type_tag, ..plain_event() };
            Owned::Event { event: EventRecord { head_change, batch, ..numbers }, custom_type, payload }
        },
    )
}

pub(super) fn any_record() -> impl Strategy<Value = Owned> {
    let trim = ([number(), number(), number()], prop::option::of(bytes())).prop_map(
        |([number, floor_seq, freed_bytes], base)| {
            let trim = TrimRecord { number, floor_seq, freed_bytes, base: None };
            Owned::Trim { trim, base }
        },
    );
    prop_oneof![
        1 => any_creation().prop_map(Owned::Create),
        4 => any_event(),
        1 => number().prop_map(|number| Owned::Delete(DeleteRecord { number })),
        1 => trim,
    ]
}

fn producer_state() -> impl Strategy<Value = ProducerState> {
    (stamp(), [number(), number(), number(), number()]).prop_map(
        |(ProducerStamp { producer, digest }, [first_seq, last_seq, last_position, record_time_ns])| {
            let span = BatchSpan { first_seq, last_seq, last_position, record_time_ns };
            ProducerState { producer, digest, span }
        },
    )
}

pub(super) fn any_head() -> impl Strategy<Value = Head> {
    let numbers = [number(), number(), number(), number(), number(), number()];
    let texts = [text(), text(), text(), text()];
    let lists = (bytes(), prop::collection::vec(producer_state(), 0..4));
    let options = (prop::option::of(number()), prop::option::of(lease()));
    (any_creation(), phase(), numbers, texts, lists, options).prop_map(
        |(creation, phase, numbers, texts, (rule_state, producers), (end_time_ns, lease))| {
            let [floor_seq, tail_seq, tail_position, create_time_ns, update_time_ns, stored_bytes] = numbers;
            let [tail_seq, tail_position, stored_bytes] =
                [tail_seq, tail_position, stored_bytes].map(|number| number % NUMBERING_MAX);
            let floor_seq = 1 + floor_seq % (tail_seq + 1);
            let creation = Creation { number: creation.number % (NUMBERING_MAX - 1) + 1, ..creation };
            let sent = |mut state: ProducerState| {
                state.span.last_seq = 1 + state.span.last_seq % tail_seq;
                state.span.first_seq = 1 + state.span.first_seq % state.span.last_seq;
                state.span.last_position %= tail_position + 1;
                state
            };
            let producers = if tail_seq == 0 { Vec::new() } else { producers };
            let producers = producers.into_iter().map(sent).collect();
            let [session_id, agent_id, display_name, error] = texts.map(Arc::from);
            Head {
                phase,
                floor_seq,
                tail_seq,
                tail_position,
                create_time_ns,
                update_time_ns,
                end_time_ns,
                session_id,
                agent_id,
                display_name,
                error,
                stored_bytes,
                rule_state,
                producers,
                lease,
                ..Head::new(&creation)
            }
        },
    )
}

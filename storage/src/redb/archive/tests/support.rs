//! A journal for tests: writes commits as the writer does, and cuts them for sealing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::super::units::Budget;
use super::super::{Archive, SealInput};
use super::model::{Batch, Model, Op, log_id};
use crate::record::{BatchStart, DeleteRecord, EventRecord, ProducerStamp, Record, TrimRecord};
use crate::redb::testing::disk::Disk;
use crate::{Creation, ExecutionId, HeadChange, Phase, Position, Producer, Seq, StoreId, StoredEvent};

pub(super) const STORE: StoreId = StoreId(42);

/// One commit: what it did, and its bytes as in the journal.
#[derive(Clone, Debug)]
pub(super) struct Written {
    row: u64,
    first_position: Position,
    last_position: Position,
    bytes: Bytes,
    ops: Vec<Op>,
}

/// Writes commits, and remembers which of them were sealed.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal {
    /// As of the last write.
    pub(super) now: Model,
    /// As of the last sealed row.
    pub(super) sealed: Model,
    unsealed: Vec<Written>,
    ops: Vec<Op>,
    row: u64,
    clock_ns: u64,
}

/// What an append is made of.
#[derive(Clone, Debug, Default)]
pub(super) struct Append {
    pub(super) payloads: Vec<Bytes>,
    pub(super) producer: Option<Producer>,
    pub(super) phase: Option<Phase>,
    pub(super) session: Option<String>,
}

impl Append {
    pub(super) fn of(payloads: impl IntoIterator<Item = Bytes>) -> Self {
        Self { payloads: payloads.into_iter().collect(), ..Self::default() }
    }
}

pub(super) fn digest_of(producer: &Producer) -> u128 {
    u128::from(producer.epoch) << 64 | u128::from(producer.seq) << 8 | producer.id.len() as u128
}

impl Journal {
    /// Lets the clock run backwards, as no writer does.
    pub(super) fn rewind_clock(&mut self) {
        self.clock_ns = 0;
    }

    pub(super) fn advance_clock(&mut self, ns: u64) {
        self.clock_ns += ns;
    }

    pub(super) fn create(&mut self, id: &str, labels: &[(&str, &str)], first: Append) -> u64 {
        let number = self.now.last_number + 1;
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.write(Op::Create { number, id: id.to_owned(), labels });
        self.append(number, first);
        number
    }

    pub(super) fn append(&mut self, number: u64, append: Append) {
        let first_seq = self.now.of(number).tail_seq() + 1;
        let first_position = self.now.position + 1;
        let time_ns = self.clock_ns;
        let event = |(index, payload): (usize, &Bytes)| StoredEvent {
            seq: first_seq + index as u64,
            position: first_position + index as u64,
            record_time_ns: time_ns,
            type_tag: 10 + index as u32,
            custom_type: (index == 1).then(|| Arc::from("custom")),
            payload: payload.clone(),
        };
        let events = append.payloads.iter().enumerate().map(event).collect();
        let producer = append.producer.map(|producer| (producer.clone(), digest_of(&producer)));
        let batch = Batch { producer, phase: append.phase, session: append.session, events };
        self.write(Op::Append { number, batch });
    }

    pub(super) fn trim(&mut self, number: u64, floor_seq: Seq, base: Option<Bytes>) {
        let execution = self.now.of(number);
        let gone = &execution.kept()[..(floor_seq - execution.floor_seq) as usize];
        let freed_bytes = gone.iter().map(|event| event.payload.len() as u64).sum();
        self.write(Op::Trim { number, floor_seq, freed_bytes, base });
    }

    pub(super) fn delete(&mut self, number: u64) {
        self.write(Op::Delete { number });
    }

    fn write(&mut self, op: Op) {
        self.ops.push(op);
        let last = self.ops.len() - 1;
        self.now.apply(&self.ops[last]);
    }

    /// Ends the commit.
    pub(super) fn commit(&mut self) {
        let ops = std::mem::take(&mut self.ops);
        if ops.is_empty() {
            return;
        }
        let mut bytes = Vec::new();
        let first_position =
            self.unsealed.last().map_or(self.sealed.position, |written| written.last_position) + 1;
        ops.iter().for_each(|op| encode(op, &mut bytes));
        self.row += 1 + ops.len() as u64 % 2;
        let last_position = self.now.position;
        let bytes = Bytes::from(bytes);
        self.unsealed.push(Written { row: self.row, first_position, last_position, bytes, ops });
    }

    pub(super) fn unsealed(&self) -> usize {
        self.unsealed.len()
    }

    /// The first `commits` that are not sealed.
    pub(super) fn input(&self, commits: usize) -> SealInput {
        let cut = &self.unsealed[..commits];
        let (first, last) = (&cut[0], &cut[commits - 1]);
        SealInput {
            last_row: last.row,
            first_position: first.first_position,
            last_position: last.last_position,
            commits: cut.iter().map(|written| written.bytes.clone()).collect(),
        }
    }

    /// The executions of which something is not sealed.
    pub(super) fn concerned(&self) -> BTreeSet<u64> {
        self.unsealed.iter().flat_map(|written| &written.ops).map(Op::number).collect()
    }

    /// Notes that everything up to a row is sealed.
    pub(super) fn sealed_to(&mut self, row: u64) {
        let count = self.unsealed.iter().take_while(|written| written.row <= row).count();
        for written in self.unsealed.drain(..count) {
            written.ops.iter().for_each(|op| self.sealed.apply(op));
        }
    }

    /// Seals the first `commits` that are not sealed.
    pub(super) fn seal(&mut self, archive: &Archive, commits: usize) {
        let input = self.input(commits);
        let outcome = archive.seal(&input, &|| Ok(())).expect("the gate is open and the input sound");
        assert_eq!(outcome.meta.sealed_row, input.last_row);
        self.sealed_to(input.last_row);
    }

    pub(super) fn seal_all(&mut self, archive: &Archive) {
        self.commit();
        self.seal(archive, self.unsealed());
    }
}

fn encode(op: &Op, out: &mut Vec<u8>) {
    match op {
        Op::Create { number, id, labels } => {
            let id = ExecutionId::parse(id).expect("tests use allowed ids");
            let labels: BTreeMap<String, String> = labels.clone();
            let digest = u128::from(*number);
            Record::Create(Creation { number: *number, id, log_id: log_id(*number), digest, labels })
                .encode(out);
        }
        Op::Append { number, batch } => encode_batch(*number, batch, out),
        Op::Trim { number, floor_seq, freed_bytes, base } => {
            let (number, floor_seq, freed_bytes, base) = (*number, *floor_seq, *freed_bytes, base.as_deref());
            Record::Trim(TrimRecord { number, floor_seq, freed_bytes, base }).encode(out);
        }
        Op::Delete { number } => Record::Delete(DeleteRecord { number: *number }).encode(out),
    }
}

fn encode_batch(number: u64, batch: &Batch, out: &mut Vec<u8>) {
    let last = batch.events.len() - 1;
    for (index, event) in batch.events.iter().enumerate() {
        let start = || BatchStart {
            events: batch.events.len() as u32,
            producer: batch.producer.clone().map(|(producer, digest)| ProducerStamp { producer, digest }),
            rule_state: None,
        };
        let change = HeadChange {
            phase: batch.phase.filter(|_| index == last),
            session_id: batch.session.clone().filter(|_| index == 0),
            ..HeadChange::default()
        };
        let record = EventRecord {
            number,
            seq: event.seq,
            position: event.position,
            record_time_ns: event.record_time_ns,
            type_tag: event.type_tag,
            custom_type: event.custom_type.as_deref(),
            head_change: (change != HeadChange::default()).then_some(change),
            batch: (index == 0).then(start),
            payload: &event.payload,
        };
        record.encode(out);
    }
}

/// A new archive on a new disk.
pub(super) fn new_archive() -> (Disk, Archive) {
    let disk = Disk::default();
    let db = disk.open();
    Archive::init(&db, STORE).expect("a new disk takes an archive");
    (disk, Archive::open(db, STORE).expect("it was just made"))
}

/// An archive whose units are so small that every sealing takes several.
pub(super) fn in_small_units(mut archive: Archive) -> Archive {
    archive.budget = Budget { slice_bytes: 5 << 10, unit_bytes: 12 << 10 };
    archive
}

/// An archive whose slices are small and whose units are not.
pub(super) fn in_small_slices(mut archive: Archive) -> Archive {
    archive.budget.slice_bytes = 5 << 10;
    archive
}

/// `length` bytes that compress to about a quarter, or not at all.
pub(super) fn payload(seed: u64, length: usize, random: bool) -> Bytes {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let byte = |word: u64| if random { word as u8 } else { b"aaaabcd "[word as usize % 8] };
    (0..length).map(|_| byte(next() >> 11)).collect()
}

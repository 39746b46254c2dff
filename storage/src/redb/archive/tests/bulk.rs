//! Large inputs, made without a model.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::SealInput;
use super::model::log_id;
use crate::record::{BatchStart, EventRecord, Record};
use crate::{Creation, ExecutionId, HeadChange, Phase};

/// Makes one input after the other, of events that go around all executions.
pub(super) struct Bulk {
    executions: u64,
    payloads: Vec<Bytes>,
    created: u64,
    tails: Vec<u64>,
    position: u64,
    row: u64,
    turn: u64,
}

/// Events in one commit.
const COMMIT_EVENTS: usize = 64;

impl Bulk {
    pub(super) fn new(executions: u64, payloads: Vec<Bytes>) -> Self {
        let tails = vec![0; executions as usize];
        Self { executions, payloads, created: 0, tails, position: 0, row: 0, turn: 0 }
    }

    /// An input of about this many bytes.
    pub(super) fn next(&mut self, bytes_min: usize) -> SealInput {
        let first_position = self.position + 1;
        let (mut commits, mut bytes) = (Vec::new(), 0);
        while bytes < bytes_min {
            let mut commit = Vec::new();
            for _ in 0..COMMIT_EVENTS {
                self.append_next(&mut commit);
            }
            bytes += commit.len();
            commits.push(Bytes::from(commit));
            self.row += 1;
        }
        SealInput { last_row: self.row, first_position, last_position: self.position, commits }
    }

    /// How many events there are so far.
    pub(super) fn events(&self) -> u64 {
        self.position
    }

    fn append_next(&mut self, commit: &mut Vec<u8>) {
        let number = self.turn % self.executions + 1;
        self.turn += 1;
        if number > self.created {
            self.created = number;
            Record::Create(creation(number)).encode(commit);
        }
        self.position += 1;
        let tail = &mut self.tails[number as usize - 1];
        *tail += 1;
        let change = HeadChange {
            phase: (*tail == 1 && number.is_multiple_of(2)).then_some(Phase::InProgress),
            session_id: (*tail == 1).then(|| format!("session-{}", number / 10)),
            ..HeadChange::default()
        };
        let record = EventRecord {
            number,
            seq: *tail,
            position: self.position,
            record_time_ns: 1_700_000_000_000_000_000 + self.position * 1_000,
            type_tag: 13,
            custom_type: None,
            head_change: (*tail == 1).then_some(change),
            batch: Some(BatchStart { events: 1, producer: None, rule_state: None }),
            payload: &self.payloads[self.position as usize % self.payloads.len()],
        };
        record.encode(commit);
    }
}

fn creation(number: u64) -> Creation {
    let id = format!("aex-{:016x}{:010}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15), number);
    let parity = if number.is_multiple_of(2) { "even" } else { "odd" };
    Creation {
        number,
        id: ExecutionId::parse(&id).expect("allowed"),
        log_id: log_id(number),
        digest: u128::from(number),
        labels: BTreeMap::from([(parity.to_owned(), "yes".to_owned()), ("all".to_owned(), "yes".to_owned())]),
    }
}

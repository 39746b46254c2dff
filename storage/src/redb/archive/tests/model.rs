//! What the archive must say, kept in plain vectors.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::{BatchSpan, LogId, Phase, Position, Producer, Seq, StoredEvent};

/// One thing that was written, with all numbers given.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Create { number: u64, id: String, labels: BTreeMap<String, String> },
    Append { number: u64, batch: Batch },
    Trim { number: u64, floor_seq: Seq, freed_bytes: u64, base: Option<Bytes> },
    Delete { number: u64 },
}

#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) producer: Option<(Producer, u128)>,
    pub(super) phase: Option<Phase>,
    pub(super) session: Option<String>,
    pub(super) events: Vec<StoredEvent>,
}

#[derive(Clone, Debug)]
pub(super) struct Execution {
    pub(super) number: u64,
    pub(super) id: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) session: String,
    pub(super) phase: Phase,
    pub(super) floor_seq: Seq,
    /// All that were ever written, those below the floor included.
    pub(super) events: Vec<StoredEvent>,
    pub(super) batches: Vec<(Producer, u128, BatchSpan)>,
    pub(super) base: Option<Bytes>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) executions: BTreeMap<u64, Execution>,
    pub(super) deleted: BTreeMap<String, u64>,
    pub(super) position: Position,
    pub(super) last_number: u64,
}

pub(super) fn log_id(number: u64) -> LogId {
    LogId(u128::from(number) << 64 | 7)
}

impl Op {
    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Create { number, .. }
            | Self::Append { number, .. }
            | Self::Trim { number, .. }
            | Self::Delete { number } => *number,
        }
    }
}

impl Execution {
    pub(super) fn tail_seq(&self) -> Seq {
        self.events.len() as u64
    }

    pub(super) fn kept(&self) -> &[StoredEvent] {
        &self.events[self.floor_seq as usize - 1..]
    }

    fn append(&mut self, batch: &Batch) {
        self.events.extend(batch.events.iter().cloned());
        if let Some(phase) = batch.phase {
            self.phase = phase;
        }
        if let Some(session) = &batch.session {
            self.session = session.clone();
        }
        if let Some((producer, digest)) = &batch.producer {
            let (first, last) = (&batch.events[0], &batch.events[batch.events.len() - 1]);
            let span = BatchSpan {
                first_seq: first.seq,
                last_seq: last.seq,
                last_position: last.position,
                record_time_ns: first.record_time_ns,
            };
            self.batches.push((producer.clone(), *digest, span));
        }
    }
}

impl Model {
    pub(super) fn apply(&mut self, op: &Op) {
        match op {
            Op::Create { number, id, labels } => {
                let execution = Execution {
                    number: *number,
                    id: id.clone(),
                    labels: labels.clone(),
                    session: String::new(),
                    phase: Phase::Pending,
                    floor_seq: 1,
                    events: Vec::new(),
                    batches: Vec::new(),
                    base: None,
                };
                self.executions.insert(*number, execution);
                self.last_number = *number;
            }
            Op::Append { number, batch } => {
                self.position = batch.events[batch.events.len() - 1].position;
                self.of(*number).append(batch);
            }
            Op::Trim { number, floor_seq, base, .. } => {
                let execution = self.of(*number);
                execution.floor_seq = *floor_seq;
                if base.is_some() {
                    execution.base.clone_from(base);
                }
            }
            Op::Delete { number } => {
                let execution = self.executions.remove(number).expect("only what exists is deleted");
                self.deleted.insert(execution.id, *number);
            }
        }
    }

    pub(super) fn of(&mut self, number: u64) -> &mut Execution {
        self.executions.get_mut(&number).expect("only what exists is changed")
    }

    /// All kept events in order of position, with their executions' numbers.
    pub(super) fn all(&self) -> Vec<(u64, Arc<str>, StoredEvent)> {
        let mut all: Vec<_> = self
            .executions
            .values()
            .flat_map(|execution| {
                let id: Arc<str> = Arc::from(execution.id.as_str());
                execution.kept().iter().map(move |event| (execution.number, id.clone(), event.clone()))
            })
            .collect();
        all.sort_by_key(|(.., event)| event.position);
        all
    }
}

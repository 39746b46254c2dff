//! What a store of events should do, in as few words as possible: vectors in memory, no disk, no
//! threads. The engine must answer every request as this does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::{
    AppendRequest, CreateRequest, ExecutionId, ListQuery, NewEvent, Phase, Position, Producer, Seq,
    WriteError,
};

/// A whole store.
#[derive(Clone, Default)]
pub(super) struct Model {
    pub(super) logs: BTreeMap<ExecutionId, Log>,
    pub(super) deleted: BTreeSet<ExecutionId>,
    /// The last position given out.
    pub(super) position: Position,
    /// Executions ever created.
    created: u64,
}

/// One execution.
#[derive(Clone)]
pub(super) struct Log {
    pub(super) number: u64,
    pub(super) digest: u128,
    pub(super) labels: BTreeMap<String, String>,
    /// All events ever appended, the trimmed ones included; seq 1 stands first.
    pub(super) events: Vec<Entry>,
    pub(super) floor: Seq,
    pub(super) phase: Phase,
    pub(super) base: Option<Vec<u8>>,
    batches: Vec<Batch>,
}

/// One event.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) position: Position,
    pub(super) event: NewEvent,
}

/// One append of a producer.
#[derive(Clone)]
struct Batch {
    producer: Producer,
    digest: u128,
    first_seq: Seq,
    last_seq: Seq,
}

/// What an append should be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) first_seq: Seq,
    pub(super) last_seq: Seq,
    pub(super) tail_seq: Seq,
    pub(super) duplicate: bool,
    /// Its events may be gone, so that it may be answered with seqs 0, whatever its content.
    pub(super) may_be_gone: bool,
    /// Its content is other than what was written.
    pub(super) conflict: bool,
}

impl Model {
    pub(super) fn create(&mut self, request: &CreateRequest) -> Result<bool, WriteError> {
        let execution = request.execution.clone();
        let deleted = self.deleted.contains(&execution);
        match self.logs.get(&execution) {
            Some(log) if log.digest == request.digest => return Ok(true),
            known if known.is_some() || deleted => return Err(WriteError::Exists { execution, deleted }),
            _ => {}
        }
        self.created += 1;
        let mut log = Log {
            number: self.created,
            digest: request.digest,
            labels: request.labels.clone(),
            events: Vec::new(),
            floor: 1,
            phase: Phase::Pending,
            base: None,
            batches: Vec::new(),
        };
        log.push(&request.events, &mut self.position);
        self.logs.insert(execution, log);
        Ok(false)
    }

    pub(super) fn append(&mut self, request: &AppendRequest) -> Result<Expected, WriteError> {
        let log = find(&mut self.logs, &self.deleted, &request.execution)?;
        if let Some((producer, digest)) = &request.producer
            && let Some(duplicate) = log.known(producer, *digest)?
        {
            return Ok(duplicate);
        }
        log.check(request)?;
        let first_seq = log.tail() + 1;
        log.push(&request.events, &mut self.position);
        let last_seq = log.tail();
        if let Some((producer, digest)) = &request.producer {
            log.batches.push(Batch { producer: producer.clone(), digest: *digest, first_seq, last_seq });
        }
        Ok(Expected {
            first_seq,
            last_seq,
            tail_seq: last_seq,
            duplicate: false,
            may_be_gone: false,
            conflict: false,
        })
    }

    /// The floor in force after a trim; `None` if the engine should refuse it.
    pub(super) fn trim(
        &mut self,
        execution: &ExecutionId,
        floor: Seq,
        base: Option<Vec<u8>>,
    ) -> Result<Option<Seq>, WriteError> {
        let log = find(&mut self.logs, &self.deleted, execution)?;
        if floor == 0 || floor > log.tail() + 1 {
            return Ok(None);
        }
        if floor > log.floor {
            log.floor = floor;
            log.base = base.or(log.base.take());
        }
        Ok(Some(log.floor))
    }

    pub(super) fn delete(&mut self, execution: &ExecutionId) -> Result<(), WriteError> {
        find(&mut self.logs, &self.deleted, execution)?;
        self.logs.remove(execution);
        self.deleted.insert(execution.clone());
        Ok(())
    }

    /// Positions that are kept, each with its execution and seq.
    pub(super) fn positions(&self) -> BTreeMap<Position, (&ExecutionId, Seq)> {
        let of_log = |(id, log)| {
            let log: &Log = log;
            log.kept().map(move |(seq, entry)| (entry.position, (id, seq)))
        };
        self.logs.iter().flat_map(of_log).collect()
    }

    /// The ids that match a query, newest first.
    pub(super) fn list(&self, query: &ListQuery) -> Vec<&ExecutionId> {
        let matches = |log: &Log| {
            query.phase.is_none_or(|phase| phase == log.phase)
                && query.labels.iter().all(|(key, value)| log.labels.get(key) == Some(value))
        };
        let mut found: Vec<_> = self.logs.iter().filter(|(_, log)| matches(log)).collect();
        found.sort_by_key(|(_, log)| std::cmp::Reverse(log.number));
        found.into_iter().map(|(id, _)| id).collect()
    }
}

fn find<'a>(
    logs: &'a mut BTreeMap<ExecutionId, Log>,
    deleted: &BTreeSet<ExecutionId>,
    execution: &ExecutionId,
) -> Result<&'a mut Log, WriteError> {
    logs.get_mut(execution).ok_or_else(|| WriteError::NotFound {
        execution: execution.clone(),
        deleted: deleted.contains(execution),
    })
}

impl Log {
    pub(super) fn tail(&self) -> Seq {
        self.events.len() as Seq
    }

    /// The events that are kept, with their seqs.
    pub(super) fn kept(&self) -> impl Iterator<Item = (Seq, &Entry)> {
        (1..).zip(&self.events).skip_while(|(seq, _)| *seq < self.floor)
    }

    /// The epoch and the seq that this producer should send next.
    pub(super) fn next_of(&self, id: &Arc<str>) -> (u64, u64) {
        self.last_of(id).map_or((0, 0), |last| (last.producer.epoch, last.producer.seq + 1))
    }

    /// The last append of a producer, which is what the next one is measured by.
    fn last_of(&self, id: &Arc<str>) -> Option<&Batch> {
        self.batches.iter().rev().find(|batch| batch.producer.id == *id)
    }

    fn known(&self, producer: &Producer, digest: u128) -> Result<Option<Expected>, WriteError> {
        let Some(last) = self.last_of(&producer.id) else { return Ok(None) };
        let (expected_seq, current_epoch) = (last.producer.seq + 1, last.producer.epoch);
        if producer.epoch < current_epoch {
            return Err(WriteError::ProducerFenced { expected_seq, current_epoch });
        }
        let Some(batch) = self.batches.iter().find(|batch| batch.producer == *producer) else {
            return Ok(None);
        };
        // The last append is remembered in the head; an older one whose events are gone may be forgotten.
        let may_be_gone = batch.producer != last.producer && batch.first_seq < self.floor;
        let conflict = batch.digest != digest;
        if conflict && !may_be_gone {
            return Err(WriteError::ProducerConflict { expected_seq, current_epoch });
        }
        let Batch { first_seq, last_seq, .. } = *batch;
        Ok(Some(Expected {
            first_seq,
            last_seq,
            tail_seq: self.tail(),
            duplicate: true,
            may_be_gone,
            conflict,
        }))
    }

    /// What refuses an append that is no duplicate.
    fn check(&self, request: &AppendRequest) -> Result<(), WriteError> {
        if self.phase.is_terminal() {
            return Err(WriteError::Ended { final_seq: self.tail(), phase: self.phase });
        }
        if let Some((producer, _)) = &request.producer {
            let last = self.last_of(&producer.id).filter(|last| last.producer.epoch == producer.epoch);
            let expected_seq = last.map_or(0, |last| last.producer.seq + 1);
            let current_epoch = last.map_or(producer.epoch, |last| last.producer.epoch);
            if producer.seq != expected_seq {
                return Err(WriteError::ProducerGap { expected_seq, current_epoch });
            }
        }
        match request.expected_last_seq {
            Some(expected) if expected != self.tail() => {
                Err(WriteError::SeqMismatch { expected, tail_seq: self.tail() })
            }
            _ => Ok(()),
        }
    }

    fn push(&mut self, events: &[NewEvent], position: &mut Position) {
        for event in events {
            *position += 1;
            self.phase = event.head_change.as_ref().and_then(|change| change.phase).unwrap_or(self.phase);
            self.events.push(Entry { position: *position, event: event.clone() });
        }
    }
}

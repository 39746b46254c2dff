//! Recovery: folds what the journal holds above the last sealed row over the archive's heads, at every
//! start, whether the last stop was clean or not. It writes nothing. A record that does not follow
//! the one before it is damage, told with row, commit and position.

use std::collections::HashMap;

use bytes::Bytes;

use super::archive::Archive;
use super::error::EngineError;
use super::journal::{Journal, RawCommit};
use super::slots::{Slots, State};
use super::unsealed::{Change, NewCommit, Run, Unsealed, mark};
use super::writer::Next;
use crate::record::{EventRecord, Record};
use crate::{ExecutionId, Head, Position, Seq};

/// What a start finds.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) next: Next,
    pub(super) slots: Slots,
    pub(super) unsealed: Unsealed,
    pub(super) executions: u64,
    pub(super) sealed_row: u64,
}

/// Reads the journal above the archive's last sealed row.
pub(super) fn recover(journal: &Journal, archive: &Archive) -> Result<Recovered, EngineError> {
    let meta = archive.meta();
    let mut fold = Fold {
        archive,
        unsealed: None,
        position: meta.sealed_position,
        next_number: meta.next_number,
        executions: meta.executions,
        known: HashMap::new(),
        last_commit: None,
    };
    let scanned = journal.scan(meta.sealed_row, |commit| fold.commit(&commit).map_err(Damage::Record));
    let next = scanned.map_err(|damage| fold.explain(damage))?;
    let unsealed = fold.unsealed.take().unwrap_or_else(|| Unsealed::new(next.commit, meta.sealed_position));
    let slots = Slots::new();
    for Known { id, state, row } in fold.known.into_values() {
        slots.restore(id, state, row);
    }
    Ok(Recovered {
        next: Next {
            commit: next.commit,
            row: next.row,
            position: fold.position + 1,
            number: fold.next_number,
        },
        slots,
        unsealed,
        executions: fold.executions,
        sealed_row: meta.sealed_row,
    })
}

/// What is wrong with the journal, or why it cannot be read.
enum Damage {
    /// A row, which the journal names.
    Row(EngineError),
    /// A record in rows that are fine; it says where it stands.
    Record(EngineError),
}

impl From<EngineError> for Damage {
    fn from(error: EngineError) -> Self {
        Self::Row(error)
    }
}

/// An execution that the journal says something of.
struct Known {
    id: ExecutionId,
    state: State,
    row: u64,
}

struct Fold<'a> {
    archive: &'a Archive,
    /// Made with the first commit, whose number it must know.
    unsealed: Option<Unsealed>,
    /// The last position so far.
    position: Position,
    next_number: u64,
    executions: u64,
    known: HashMap<u64, Known>,
    /// The number of the last commit so far.
    last_commit: Option<u64>,
}

impl Fold<'_> {
    fn commit(&mut self, raw: &RawCommit) -> Result<(), EngineError> {
        let first_position = self.position + 1;
        let mut changes = Vec::new();
        self.records(raw, &mut changes).map_err(|error| self.damaged(raw, first_position, error))?;
        let position_before = first_position - 1;
        self.unsealed.get_or_insert_with(|| Unsealed::new(raw.commit, position_before)).add(NewCommit {
            commit: raw.commit,
            rows: (raw.first_row, raw.last_row),
            first_position,
            last_position: self.position,
            bytes: raw.bytes.clone(),
            changes,
        });
        self.last_commit = Some(raw.commit);
        Ok(())
    }

    /// The error with what a person needs to know: which commit and which positions cannot be read.
    fn explain(&self, damage: Damage) -> EngineError {
        match damage {
            Damage::Record(error) => error,
            Damage::Row(EngineError::Corrupt(mut corruption)) => {
                let commit =
                    self.last_commit.map_or_else(String::new, |last| format!("commit {}, ", last + 1));
                let first_position = self.position + 1;
                corruption.what = format!("{commit}positions from {first_position}: {}", corruption.what);
                EngineError::Corrupt(corruption)
            }
            Damage::Row(error) => error,
        }
    }

    fn damaged(&self, raw: &RawCommit, first_position: Position, error: EngineError) -> EngineError {
        let EngineError::Corrupt(mut corruption) = error else { return error };
        corruption.what = format!(
            "journal row {}, commit {}, positions from {first_position}: {}",
            raw.first_row, raw.commit, corruption.what
        );
        EngineError::Corrupt(corruption)
    }

    fn records(&mut self, raw: &RawCommit, changes: &mut Vec<Change>) -> Result<(), EngineError> {
        let mut offset = 0;
        while offset < raw.bytes.len() {
            let (record, length) = Record::decode(&raw.bytes[offset..])
                .map_err(|error| EngineError::corrupt(0, 0, self.position + 1, error))?;
            self.record(&record, raw, offset, changes)?;
            offset += length;
        }
        Ok(())
    }

    fn record(
        &mut self,
        record: &Record<'_>,
        raw: &RawCommit,
        offset: usize,
        changes: &mut Vec<Change>,
    ) -> Result<(), EngineError> {
        let row = raw.last_row;
        match record {
            Record::Create(creation) => self.create(Head::new(creation), row),
            Record::Event(event) => self.event(event, raw, offset, changes),
            Record::Trim(trim) => {
                let head = self.head(trim.number, 0, row)?;
                if !(head.floor_seq..=head.tail_seq + 1).contains(&trim.floor_seq) {
                    return Err(EngineError::corrupt(
                        trim.number,
                        0,
                        0,
                        "a trim sets a floor that cannot be",
                    ));
                }
                head.trim(trim.floor_seq, trim.freed_bytes);
                let base = trim.base.map(Bytes::copy_from_slice);
                changes.push(Change::Trimmed { number: trim.number, floor_seq: trim.floor_seq, base });
                Ok(())
            }
            Record::Delete(delete) => {
                let number = delete.number;
                self.head(number, 0, row)?;
                if let Some(known) = self.known.get_mut(&number) {
                    known.state = State::Deleted { number };
                }
                self.executions = self.executions.saturating_sub(1);
                changes.push(Change::Deleted { number });
                Ok(())
            }
        }
    }

    fn create(&mut self, head: Head, row: u64) -> Result<(), EngineError> {
        let number = head.number;
        if number < self.next_number || number == u64::MAX {
            return Err(EngineError::corrupt(number, 1, 0, "the number was given before"));
        }
        self.next_number = number + 1;
        self.executions += 1;
        let id = head.execution.id.clone();
        self.known.insert(number, Known { id, state: State::Present(head.into()), row });
        Ok(())
    }

    fn event(
        &mut self,
        event: &EventRecord<'_>,
        raw: &RawCommit,
        offset: usize,
        changes: &mut Vec<Change>,
    ) -> Result<(), EngineError> {
        let wrong = |what: &str| Err(EngineError::corrupt(event.number, event.seq, event.position, what));
        if event.position != self.position + 1 || event.position == u64::MAX {
            return wrong("another position must stand here");
        }
        let head = self.head(event.number, event.seq, raw.last_row)?;
        if event.seq != head.tail_seq + 1 {
            return wrong("another seq must stand here");
        }
        if event.record_time_ns < head.update_time_ns {
            return wrong("time runs backwards");
        }
        head.apply(&event.applied());
        let execution = head.execution.clone();
        self.position += 1;
        let Some(batch) = &event.batch else { return continue_run(changes, event) };
        let Ok(offset) = u32::try_from(offset) else { return wrong("the commit is too long") };
        let run = Run {
            commit: raw.commit,
            first_seq: event.seq,
            record_time_ns: event.record_time_ns,
            offset,
            events: 1,
            mark: batch.producer.as_ref().map_or(0, |stamp| mark(&stamp.producer)),
        };
        changes.push(Change::Events { number: event.number, execution, run });
        Ok(())
    }

    /// The head of an execution that a record speaks of, which must be there.
    fn head(&mut self, number: u64, seq: Seq, row: u64) -> Result<&mut Head, EngineError> {
        let missing = || EngineError::corrupt(number, seq, 0, "the execution is not there");
        if !self.known.contains_key(&number) {
            let head = self.archive.head(number)?.ok_or_else(missing)?;
            let id = head.execution.id.clone();
            self.known.insert(number, Known { id, state: State::Present(head.into()), row });
        }
        let known = self.known.get_mut(&number).ok_or_else(missing)?;
        known.row = row;
        match &mut known.state {
            State::Present(head) => Ok(std::sync::Arc::make_mut(head)),
            State::Absent | State::Deleted { .. } => Err(missing()),
        }
    }
}

/// An event that goes on with the append before it.
fn continue_run(changes: &mut [Change], event: &EventRecord<'_>) -> Result<(), EngineError> {
    match changes.last_mut() {
        Some(Change::Events { number, run, .. }) if *number == event.number => {
            run.events += 1;
            Ok(())
        }
        _ => Err(EngineError::corrupt(event.number, event.seq, event.position, "no append begins before it")),
    }
}

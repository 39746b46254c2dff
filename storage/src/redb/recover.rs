//! Recovery: folds what the journal holds above the last sealed row over the archive's heads, at every
//! start, whether the last stop was clean or not. It writes nothing. A record that does not follow
//! the one before it is damage, told with row, commit and position.

mod steps;

use std::collections::HashMap;

use bytes::Bytes;
use steps::{DecodedCommit, Decoding, Event, Step};

use super::archive::Archive;
use super::error::EngineError;
use super::journal::{Journal, RawCommit};
use super::slots::{Slots, State};
use super::unsealed::{Change, NewCommit, Run, Unsealed, mark};
use super::writer::Next;
use crate::limits::NUMBERING_MAX;
use crate::record::Record;
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
        known: Vec::new(),
        places: HashMap::new(),
        last_place: None,
        events_left: 0,
        last_commit: None,
    };
    let next = std::thread::scope(|scope| {
        let decoding = Decoding::start(scope, journal, meta.sealed_row)?;
        decoding.commits().try_for_each(|commit| fold.commit(commit))?;
        decoding.end().map_err(|error| fold.explain(error))
    })?;
    let unsealed = fold.unsealed.take().unwrap_or_else(|| Unsealed::new(next.commit, meta.sealed_position));
    let slots = Slots::new();
    for Known { id, state, row } in fold.known {
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
    known: Vec<Known>,
    /// Where in `known` an execution stands, by its number.
    places: HashMap<u64, usize>,
    /// The number and place of the execution that was looked at last: events of one append stand behind
    /// each other, and only the first of them has to be looked up.
    last_place: Option<(u64, usize)>,
    /// How many events the append at hand must still have.
    events_left: u32,
    /// The number of the last commit so far.
    last_commit: Option<u64>,
}

impl Fold<'_> {
    fn commit(&mut self, commit: DecodedCommit) -> Result<(), EngineError> {
        let first_position = self.position + 1;
        let mut changes = Vec::new();
        let DecodedCommit { raw, steps, damage } = commit;
        let folded = self.steps(&raw, steps, &mut changes);
        folded
            .and_then(|()| {
                let damaged = |error| EngineError::corrupt(0, 0, self.position + 1, error);
                damage.map(damaged).map_or(Ok(()), Err)
            })
            .and_then(|()| self.check_append_ended())
            .map_err(|error| damaged(&raw, first_position, error))?;
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

    /// What is wrong with a row, with what a person needs to know: which commit and which positions cannot
    /// be read.
    fn explain(&self, error: EngineError) -> EngineError {
        let EngineError::Corrupt(mut corruption) = error else { return error };
        let commit = self.last_commit.map_or_else(String::new, |last| format!("commit {}, ", last + 1));
        let first_position = self.position + 1;
        corruption.what = format!("{commit}positions from {first_position}: {}", corruption.what);
        EngineError::Corrupt(corruption)
    }

    fn steps(
        &mut self,
        raw: &RawCommit,
        steps: Vec<Step>,
        changes: &mut Vec<Change>,
    ) -> Result<(), EngineError> {
        steps.into_iter().try_for_each(|step| match step {
            Step::Event(event) => self.event(&event, raw, changes),
            Step::Other(offset) => {
                let (record, _) = Record::decode(raw.bytes.get(offset..).unwrap_or_default())
                    .map_err(|error| EngineError::corrupt(0, 0, self.position + 1, error))?;
                self.record(&record, raw, changes)
            }
        })
    }

    fn record(
        &mut self,
        record: &Record<'_>,
        raw: &RawCommit,
        changes: &mut Vec<Change>,
    ) -> Result<(), EngineError> {
        self.check_append_ended()?;
        let row = raw.last_row;
        match record {
            Record::Create(creation) => self.create(Head::new(creation), row),
            Record::Event(_) => unreachable!("an event is a step of its own"),
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
                if let Some(known) = self.last_place.and_then(|(_, place)| self.known.get_mut(place)) {
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
        if number < self.next_number || number >= NUMBERING_MAX {
            return Err(EngineError::corrupt(number, 1, 0, "the number was given before"));
        }
        self.next_number = number + 1;
        self.executions += 1;
        let id = head.execution.id.clone();
        self.know(number, Known { id, state: State::Present(head.into()), row });
        Ok(())
    }

    fn know(&mut self, number: u64, known: Known) {
        self.places.insert(number, self.known.len());
        self.known.push(known);
    }

    fn event(
        &mut self,
        event: &Event,
        raw: &RawCommit,
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
        let Some(batch) = &event.batch else {
            self.position += 1;
            let Some(left) = self.events_left.checked_sub(1) else {
                return wrong("it belongs to no append, or to one that says it has fewer events");
            };
            self.events_left = left;
            return continue_run(changes, event);
        };
        self.check_append_ended()?;
        let Some(left) = batch.events.checked_sub(1) else { return wrong("an append says it has no event") };
        self.events_left = left;
        let execution = head.execution.clone();
        self.position += 1;
        let Ok(offset) = u32::try_from(event.offset) else { return wrong("the commit is too long") };
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

    /// What a duplicate is answered with is counted from what an append says of itself: it must be so.
    fn check_append_ended(&self) -> Result<(), EngineError> {
        match self.events_left {
            0 => Ok(()),
            left => {
                let what = format!("an append ends {left} events before it says");
                Err(EngineError::corrupt(0, 0, self.position + 1, what))
            }
        }
    }

    /// The head of an execution that a record speaks of, which must be there.
    fn head(&mut self, number: u64, seq: Seq, row: u64) -> Result<&mut Head, EngineError> {
        let missing = || EngineError::corrupt(number, seq, 0, "the execution is not there");
        let place = match self.last_place {
            Some((last, place)) if last == number => place,
            _ => self.place(number)?.ok_or_else(missing)?,
        };
        self.last_place = Some((number, place));
        let known = self.known.get_mut(place).ok_or_else(missing)?;
        known.row = row;
        match &mut known.state {
            State::Present(head) => Ok(std::sync::Arc::make_mut(head)),
            State::Absent | State::Deleted { .. } => Err(missing()),
        }
    }

    /// The place of an execution, which the archive tells of if no record did so far.
    fn place(&mut self, number: u64) -> Result<Option<usize>, EngineError> {
        if let Some(place) = self.places.get(&number) {
            return Ok(Some(*place));
        }
        let Some(head) = self.archive.head(number)? else { return Ok(None) };
        let (id, row) = (head.execution.id.clone(), 0);
        self.know(number, Known { id, state: State::Present(head.into()), row });
        Ok(Some(self.known.len() - 1))
    }
}

fn damaged(raw: &RawCommit, first_position: Position, error: EngineError) -> EngineError {
    let EngineError::Corrupt(mut corruption) = error else { return error };
    corruption.what = format!(
        "journal row {}, commit {}, positions from {first_position}: {}",
        raw.first_row, raw.commit, corruption.what
    );
    EngineError::Corrupt(corruption)
}

/// An event that goes on with the append before it.
fn continue_run(changes: &mut [Change], event: &Event) -> Result<(), EngineError> {
    match changes.last_mut() {
        Some(Change::Events { number, run, .. }) if *number == event.number => {
            run.events += 1;
            Ok(())
        }
        _ => Err(EngineError::corrupt(event.number, event.seq, event.position, "no append begins before it")),
    }
}

#[cfg(test)]
mod tests;

//! Recovery: folds what the journal holds above the last sealed row over the archive's heads, at every
//! start, whether the last stop was clean or not. It writes nothing. A record that does not follow
//! the one before it is damage, told with row, commit and position. An execution whose archived head is
//! damaged does not keep the store from opening: its records are stepped over, and stay where they are.

mod steps;
mod known;

use bytes::Bytes;
use known::Known;
use steps::{DecodedCommit, Decoding, Event, Step};

use super::archive::Archive;
use super::error::EngineError;
use super::journal::{Journal, RawCommit};
use super::slots::Slots;
use super::unsealed::{Change, NewCommit, Run, Unsealed, mark};
use super::writer::Next;
use crate::limits::NUMBERING_MAX;
use crate::record::{Record, TrimRecord};
use crate::{Head, Position};

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
        unsealed: None,
        position: meta.sealed_position,
        next_number: meta.next_number,
        executions: meta.executions,
        known: Known::new(archive),
        events_left: 0,
        last_commit: None,
    };
    let next = std::thread::scope(|scope| {
        let decoding = Decoding::start(scope, journal, meta.sealed_row)?;
        decoding.commits().try_for_each(|commit| fold.commit(commit))?;
        decoding.end().map_err(|error| fold.explain(error))
    })?;
    let unsealed = fold.unsealed.take().unwrap_or_else(|| Unsealed::new(next.commit, meta.sealed_position));
    Ok(Recovered {
        next: Next {
            commit: next.commit,
            row: next.row,
            position: fold.position + 1,
            number: fold.next_number,
        },
        slots: fold.known.into_slots(),
        unsealed,
        executions: fold.executions,
        sealed_row: meta.sealed_row,
    })
}

struct Fold<'a> {
    /// Made with the first commit, whose number it must know.
    unsealed: Option<Unsealed>,
    /// The last position so far.
    position: Position,
    next_number: u64,
    executions: u64,
    known: Known<'a>,
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
            Record::Trim(trim) => self.trim(trim, row, changes),
            Record::Delete(delete) => {
                let number = delete.number;
                if self.known.delete(number, row)? {
                    self.executions = self.executions.saturating_sub(1);
                    changes.push(Change::Deleted { number });
                }
                Ok(())
            }
        }
    }

    fn trim(
        &mut self,
        trim: &TrimRecord<'_>,
        row: u64,
        changes: &mut Vec<Change>,
    ) -> Result<(), EngineError> {
        let TrimRecord { number, floor_seq, freed_bytes, base } = *trim;
        let Some(head) = self.known.head(number, 0, row)? else { return Ok(()) };
        if !(head.floor_seq..=head.tail_seq + 1).contains(&floor_seq) {
            return Err(EngineError::corrupt(number, 0, 0, "a trim sets a floor that cannot be"));
        }
        head.trim(floor_seq, freed_bytes);
        let base = base.map(Bytes::copy_from_slice);
        changes.push(Change::Trimmed { number, floor_seq, base });
        Ok(())
    }

    fn create(&mut self, head: Head, row: u64) -> Result<(), EngineError> {
        let number = head.number;
        if number < self.next_number || number >= NUMBERING_MAX {
            return Err(EngineError::corrupt(number, 1, 0, "the number was given before"));
        }
        self.next_number = number + 1;
        self.executions += 1;
        self.known.create(head, row);
        Ok(())
    }

    fn event(
        &mut self,
        event: &Event,
        raw: &RawCommit,
        changes: &mut Vec<Change>,
    ) -> Result<(), EngineError> {
        let wrong = |what: &str| Err(EngineError::corrupt(event.number, event.seq, event.position, what));
        if event.position != self.position + 1 || event.position >= NUMBERING_MAX {
            return wrong("another position must stand here");
        }
        self.count_event(event)?;
        self.position += 1;
        let Some(head) = self.known.head(event.number, event.seq, raw.last_row)? else {
            changes.push(Change::Unknown { number: event.number });
            return Ok(());
        };
        if event.seq != head.tail_seq + 1 {
            return wrong("another seq must stand here");
        }
        if event.record_time_ns < head.update_time_ns {
            return wrong("time runs backwards");
        }
        head.apply(&event.applied());
        let Some(batch) = &event.batch else { return continue_run(changes, event) };
        let execution = head.execution.clone();
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

    /// Counts an event to the append it belongs to. What a duplicate is answered with is counted from what an
    /// append says of itself: it must have as many events.
    fn count_event(&mut self, event: &Event) -> Result<(), EngineError> {
        let events = match &event.batch {
            Some(batch) => {
                self.check_append_ended()?;
                batch.events
            }
            None => self.events_left,
        };
        let none = "it belongs to no append, or to one that says it has fewer events";
        let wrong = || EngineError::corrupt(event.number, event.seq, event.position, none);
        self.events_left = events.checked_sub(1).ok_or_else(wrong)?;
        Ok(())
    }

    fn check_append_ended(&self) -> Result<(), EngineError> {
        match self.events_left {
            0 => Ok(()),
            left => {
                let what = format!("an append ends {left} events before it says");
                Err(EngineError::corrupt(0, 0, self.position + 1, what))
            }
        }
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

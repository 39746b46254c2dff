//! The first look at what is to be sealed: every record is checked and put to its execution.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::error::EngineError;
use super::seal::SealInput;
use super::value::Meta;
use crate::limits::NUMBERING_MAX;
use crate::record::Record;
use crate::{Position, Seq};

/// The records of a sealing by execution, in ascending numbers.
pub(super) type Groups = BTreeMap<u64, Group>;

/// The records of one execution, in commit order.
#[derive(Debug, Default)]
pub(super) struct Group {
    items: Vec<Item>,
    /// Whether the first of them is its creation.
    pub(super) created: bool,
    /// Whether the last of them is a deletion.
    pub(super) deleted: bool,
    /// The highest floor a trim among them sets; 0 if there is none.
    pub(super) floor_seq: Seq,
}

/// Where a record frame stands in the input.
#[derive(Clone, Copy, Debug)]
struct Item {
    commit: u32,
    offset: u32,
    length: u32,
}

impl Group {
    /// The frames of the records.
    pub(super) fn frames<'a>(&'a self, commits: &'a [Bytes]) -> impl Iterator<Item = &'a [u8]> {
        self.items.iter().map(|item| {
            let start = item.offset as usize;
            &commits[item.commit as usize][start..start + item.length as usize]
        })
    }
}

/// Checks every record and that positions are contiguous and numbers of creations rise. Returns the
/// groups and the number after the last creation.
pub(super) fn group(input: &SealInput, meta: &Meta) -> Result<(Groups, u64), EngineError> {
    check_range(input, meta)?;
    let mut grouping = Grouping {
        groups: Groups::new(),
        next_position: input.first_position,
        next_number: meta.next_number,
    };
    for (index, commit) in input.commits.iter().enumerate() {
        let index =
            u32::try_from(index).map_err(|_| corrupt(0, 0, "more commits than a sealing can hold"))?;
        grouping.take_commit(index, commit)?;
    }
    if grouping.next_position != input.last_position + 1 {
        return Err(corrupt(0, grouping.next_position, "the last position is another one"));
    }
    Ok((grouping.groups, grouping.next_number))
}

fn check_range(input: &SealInput, meta: &Meta) -> Result<(), EngineError> {
    if input.last_row <= meta.sealed_row {
        let what = format!("row {} is sealed, up to {}", input.last_row, meta.sealed_row);
        return Err(corrupt(0, input.first_position, &what));
    }
    if input.first_position != meta.sealed_position + 1 || input.last_position < meta.sealed_position {
        let sealed = meta.sealed_position;
        let what =
            format!("positions {}..={} do not follow {sealed}", input.first_position, input.last_position);
        return Err(corrupt(0, input.first_position, &what));
    }
    Ok(())
}

struct Grouping {
    groups: Groups,
    next_position: Position,
    next_number: u64,
}

impl Grouping {
    fn take_commit(&mut self, index: u32, commit: &Bytes) -> Result<(), EngineError> {
        let mut rest = commit.as_ref();
        while !rest.is_empty() {
            let (record, length) =
                Record::decode(rest).map_err(|error| corrupt(0, self.next_position, &error.to_string()))?;
            let fits = |length: usize| u32::try_from(length).ok();
            let (Some(offset), Some(length_u32)) = (fits(commit.len() - rest.len()), fits(length)) else {
                return Err(corrupt(0, self.next_position, "a commit is longer than any that is written"));
            };
            self.take_record(&record, Item { commit: index, offset, length: length_u32 })?;
            rest = &rest[length..];
        }
        Ok(())
    }

    fn take_record(&mut self, record: &Record<'_>, item: Item) -> Result<(), EngineError> {
        let number = match record {
            Record::Create(creation) => self.take_number(creation.number)?,
            Record::Event(event) => self.take_position(event.number, event.seq, event.position)?,
            Record::Delete(delete) => delete.number,
            Record::Trim(trim) => trim.number,
        };
        let group = self.groups.entry(number).or_default();
        group.created |= group.items.is_empty() && matches!(record, Record::Create(_));
        if group.deleted {
            return Err(corrupt(number, self.next_position, "a record follows a deletion"));
        }
        match record {
            Record::Delete(_) => group.deleted = true,
            Record::Trim(trim) => group.floor_seq = group.floor_seq.max(trim.floor_seq),
            Record::Create(_) | Record::Event(_) => {}
        }
        group.items.push(item);
        Ok(())
    }

    fn take_number(&mut self, number: u64) -> Result<u64, EngineError> {
        if number < self.next_number || number >= NUMBERING_MAX {
            return Err(corrupt(number, self.next_position, "the number was given before"));
        }
        self.next_number = number + 1;
        Ok(number)
    }

    fn take_position(&mut self, number: u64, seq: Seq, position: Position) -> Result<u64, EngineError> {
        if position != self.next_position || position == u64::MAX {
            let what = format!("position {position} stands where {} must", self.next_position);
            return Err(EngineError::corrupt(number, seq, position, what));
        }
        self.next_position += 1;
        Ok(number)
    }
}

fn corrupt(number: u64, position: Position, what: &str) -> EngineError {
    EngineError::corrupt(number, 0, position, what)
}

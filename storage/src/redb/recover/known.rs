//! The executions that the journal says something of: their heads, begun in the archive and moved on
//! record by record. One whose archived head is damaged is known as such, and harms no other.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::archive::Archive;
use super::super::error::EngineError;
use super::super::slots::{Slots, State};
use crate::{ExecutionId, Head, Seq};

/// The heads so far.
pub(super) struct Known<'a> {
    archive: &'a Archive,
    entries: Vec<Entry>,
    /// Where in `entries` an execution stands, by its number.
    places: HashMap<u64, usize>,
    /// The number and place of the execution that was looked at last: events of one append stand behind
    /// each other, and only the first of them has to be looked up.
    last: Option<(u64, usize)>,
}

struct Entry {
    /// `None` if it is damaged and nothing tells its id.
    id: Option<ExecutionId>,
    state: State,
    /// The last row that says something of it.
    row: u64,
}

impl<'a> Known<'a> {
    pub(super) fn new(archive: &'a Archive) -> Self {
        Self { archive, entries: Vec::new(), places: HashMap::new(), last: None }
    }

    /// An execution begins.
    pub(super) fn create(&mut self, head: Head, row: u64) {
        let (number, id) = (head.number, head.execution.id.clone());
        self.add(number, Entry { id: Some(id), state: State::Present(Arc::new(head)), row });
    }

    /// The head of an execution that the record at hand speaks of, which must be there; `None` if it is
    /// damaged.
    pub(super) fn head(&mut self, number: u64, seq: Seq, row: u64) -> Result<Option<&mut Head>, EngineError> {
        let missing = || EngineError::corrupt(number, seq, 0, "the execution is not there");
        match &mut self.entry(number, seq, row)?.state {
            State::Present(head) => Ok(Some(Arc::make_mut(head))),
            State::Damaged { .. } => Ok(None),
            State::Absent | State::Deleted { .. } => Err(missing()),
        }
    }

    /// Deletes an execution, which must be there. Returns whether that could be done: not if it is damaged.
    pub(super) fn delete(&mut self, number: u64, row: u64) -> Result<bool, EngineError> {
        let sound = self.head(number, 0, row)?.is_some();
        if sound {
            self.entry(number, 0, row)?.state = State::Deleted { number };
        }
        Ok(sound)
    }

    /// All of them, as slots.
    pub(super) fn into_slots(self) -> Slots {
        let slots = Slots::new();
        for Entry { id, state, row } in self.entries {
            // Who asks for one whose id nothing tells, finds nothing sound in the archive either.
            if let Some(id) = id {
                slots.restore(id, state, row);
            }
        }
        slots
    }

    fn entry(&mut self, number: u64, seq: Seq, row: u64) -> Result<&mut Entry, EngineError> {
        let missing = || EngineError::corrupt(number, seq, 0, "the execution is not there");
        let place = match self.last {
            Some((last, place)) if last == number => place,
            _ => self.place(number)?.ok_or_else(missing)?,
        };
        self.last = Some((number, place));
        let entry = self.entries.get_mut(place).ok_or_else(missing)?;
        entry.row = row;
        Ok(entry)
    }

    /// The place of an execution, which the archive tells of if no record did so far.
    fn place(&mut self, number: u64) -> Result<Option<usize>, EngineError> {
        if let Some(place) = self.places.get(&number) {
            return Ok(Some(*place));
        }
        let entry = match self.archive.head(number) {
            Ok(Some(head)) => {
                Entry { id: Some(head.execution.id.clone()), state: State::Present(head.into()), row: 0 }
            }
            // The archive has never heard of it.
            Ok(None) if number >= self.archive.meta().next_number => return Ok(None),
            Ok(None) => self.damaged(number, "the head is missing")?,
            Err(EngineError::Corrupt(corruption)) => self.damaged(number, &corruption.what)?,
            Err(error) => return Err(error),
        };
        self.add(number, entry);
        Ok(Some(self.entries.len() - 1))
    }

    fn damaged(&self, number: u64, what: &str) -> Result<Entry, EngineError> {
        let id = self.archive.id_of(number)?;
        let name = id.as_ref().map_or("unknown", ExecutionId::as_str);
        tracing::error!(number, execution = name, what, "an execution is damaged; what is new of it is kept");
        Ok(Entry { id, state: State::Damaged { number, what: Arc::from(what) }, row: 0 })
    }

    fn add(&mut self, number: u64, entry: Entry) {
        self.places.insert(number, self.entries.len());
        self.entries.push(entry);
    }
}

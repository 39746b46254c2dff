//! Folds the records of one execution into its archived head and its chunks, and checks that each
//! record follows the one before it.

use bytes::Bytes;

use super::super::error::EngineError;
use super::cut::{CutChunk, Cutter, Scratch};
use super::group::Group;
use crate::record::{EventRecord, Record, TrimRecord};
use crate::{Head, Seq};

/// What a sealing makes of one execution, besides its chunks.
#[derive(Debug)]
pub(super) struct Folded {
    /// The head after the records; `None` if the last of them is a deletion.
    pub(super) after: Option<Head>,
    /// The head before a deletion, if there was one: it knows the id.
    pub(super) deleted: Option<Head>,
    /// The base that the last trim with a base left.
    pub(super) base: Option<Bytes>,
    /// Whether the head was made by these records.
    pub(super) created: bool,
}

/// Folds a group of records over the head before them. Chunks go to `sink`.
pub(super) fn fold<E: From<EngineError>>(
    number: u64,
    before: Option<&Head>,
    group: &Group,
    commits: &[Bytes],
    scratch: &mut Scratch,
    sink: impl FnMut(CutChunk) -> Result<(), E>,
) -> Result<Folded, E> {
    let mut fold = Fold {
        number,
        group,
        head: None,
        scratch: Some(scratch),
        cutter: None,
        base: None,
        deleted: None,
        sink,
    };
    if let Some(head) = before {
        fold.begin(head.clone());
    }
    for frame in group.frames(commits) {
        fold.record(frame)?;
    }
    fold.finish(before.is_none())
}

/// Cuts the events of a group for which there is no sound head to fold them over.
pub(super) fn cut_without_head<E: From<EngineError>>(
    number: u64,
    group: &Group,
    commits: &[Bytes],
    scratch: &mut Scratch,
    mut sink: impl FnMut(CutChunk) -> Result<(), E>,
) -> Result<(), E> {
    let mut cutter = Cutter::without_head(number, scratch);
    let mut last_seq = None;
    for frame in group.frames(commits) {
        let (record, _) = Record::decode(frame).map_err(|error| EngineError::record(number, 0, &error))?;
        let Record::Event(event) = record else { continue };
        if last_seq.is_some_and(|last| event.seq != last + 1) {
            return Err(
                EngineError::corrupt(number, event.seq, event.position, "another seq stands here").into()
            );
        }
        last_seq = Some(event.seq);
        while let Some(chunk) = cutter.make_room(frame) {
            sink(chunk)?;
        }
        cutter.push(frame, &event);
    }
    while let Some(chunk) = cutter.finish() {
        sink(chunk)?;
    }
    Ok(())
}

struct Fold<'a, S> {
    number: u64,
    group: &'a Group,
    head: Option<Head>,
    /// Moves into the cutter.
    scratch: Option<&'a mut Scratch>,
    cutter: Option<Cutter<'a>>,
    base: Option<Bytes>,
    deleted: Option<Head>,
    sink: S,
}

impl<S> Fold<'_, S> {
    fn next_seq(&self) -> Seq {
        self.head.as_ref().map_or(1, |head| head.tail_seq + 1)
    }

    fn corrupt(&self, what: &str) -> EngineError {
        EngineError::corrupt(self.number, self.next_seq(), 0, what)
    }

    fn begin(&mut self, head: Head) {
        self.cutter = self.scratch.take().map(|scratch| Cutter::new(&head, scratch));
        self.head = Some(head);
    }

    fn record<E: From<EngineError>>(&mut self, frame: &[u8]) -> Result<(), E>
    where
        S: FnMut(CutChunk) -> Result<(), E>,
    {
        let (record, _) = Record::decode(frame)
            .map_err(|error| EngineError::record(self.number, self.next_seq(), &error))?;
        match record {
            Record::Event(event) => return self.event(frame, &event),
            Record::Create(_) if self.head.is_some() => {
                return Err(self.corrupt("the execution is created twice").into());
            }
            Record::Create(creation) => self.begin(Head::new(&creation)),
            Record::Trim(trim) => self.trim(&trim)?,
            Record::Delete(_) => {
                let head = self.head.take();
                self.deleted = Some(head.ok_or_else(|| self.corrupt("the execution is not there"))?);
            }
        }
        Ok(())
    }

    fn trim(&mut self, trim: &TrimRecord<'_>) -> Result<(), EngineError> {
        let Some(head) = self.head.as_mut() else {
            return Err(self.corrupt("the execution is not there"));
        };
        if !(head.floor_seq..=head.tail_seq + 1).contains(&trim.floor_seq) {
            return Err(self.corrupt("a trim sets a floor that cannot be"));
        }
        head.trim(trim.floor_seq, trim.freed_bytes);
        if let Some(base) = trim.base {
            self.base = Some(Bytes::copy_from_slice(base));
        }
        Ok(())
    }

    fn event<E: From<EngineError>>(&mut self, frame: &[u8], event: &EventRecord<'_>) -> Result<(), E>
    where
        S: FnMut(CutChunk) -> Result<(), E>,
    {
        let expected = self.next_seq();
        let wrong =
            |what: &str| Err(EngineError::corrupt(self.number, expected, event.position, what).into());
        let (Some(head), Some(cutter)) = (self.head.as_mut(), self.cutter.as_mut()) else {
            return wrong("the execution is not there");
        };
        if event.seq != expected {
            return wrong("another seq stands here");
        }
        if event.record_time_ns < head.update_time_ns || event.position <= head.tail_position {
            return wrong("time or position runs backwards");
        }
        head.apply(&event.applied());
        if self.group.deleted || event.seq < self.group.floor_seq {
            cutter.pass(event);
            return Ok(());
        }
        while let Some(chunk) = cutter.make_room(frame) {
            (self.sink)(chunk)?;
        }
        cutter.push(frame, event);
        Ok(())
    }

    fn finish<E: From<EngineError>>(mut self, created: bool) -> Result<Folded, E>
    where
        S: FnMut(CutChunk) -> Result<(), E>,
    {
        while let Some(chunk) = self.cutter.as_mut().and_then(Cutter::finish) {
            (self.sink)(chunk)?;
        }
        if self.head.is_none() && self.deleted.is_none() {
            return Err(self.corrupt("the execution is not there").into());
        }
        Ok(Folded { after: self.head, deleted: self.deleted, base: self.base, created })
    }
}

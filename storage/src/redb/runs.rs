//! Decoding the events of a run out of its commit, wherever the commit's bytes come from.

use bytes::Bytes;

use super::error::EngineError;
use super::shared::OpenFiles;
use super::unsealed::{Look, Place, Run};
use crate::record::{EventRecord, FRAME_BYTES};
use crate::{PageSize, Seq, StoredEvent};

/// A payload that is this many times shorter than its commit is copied out of it, so that a page
/// does not hold on to megabytes for a few bytes.
const PIN_FACTOR: usize = 16;

/// A page that is being filled.
#[derive(Debug)]
pub(super) struct Fill {
    size: PageSize,
    bytes: usize,
    pub(super) events: Vec<StoredEvent>,
}

impl Fill {
    pub(super) fn new(size: PageSize) -> Self {
        Self { size, bytes: 0, events: Vec::new() }
    }

    /// Takes an event. Returns whether the page is full.
    fn push(&mut self, event: StoredEvent) -> bool {
        self.bytes += event.payload.len();
        self.events.push(event);
        self.events.len() >= self.size.events_max || self.bytes >= self.size.bytes_max
    }
}

/// The event as readers get it, without holding on to a much longer commit.
pub(super) fn stored(event: &EventRecord<'_>, commit: &Bytes) -> StoredEvent {
    let mut stored = event.to_stored(commit);
    if commit.len() > PIN_FACTOR * (stored.payload.len() + FRAME_BYTES) {
        stored.payload = Bytes::copy_from_slice(&stored.payload);
    }
    stored
}

/// The bytes of a commit. `None` if they are sealed and gone meanwhile.
pub(super) fn read_place(files: &OpenFiles, place: &Place) -> Result<Option<Bytes>, EngineError> {
    match &place.bytes {
        Some(bytes) => Ok(Some(bytes.clone())),
        None => files.journal.read_commit(place.rows.0, place.rows.1),
    }
}

/// The record at an offset of a commit, which must be an event of this execution.
pub(super) fn event_at<'a>(
    number: u64,
    seq: Seq,
    commit: &'a Bytes,
    offset: usize,
) -> Result<(EventRecord<'a>, usize), EngineError> {
    let bytes = commit.get(offset..).unwrap_or_default();
    let (event, length) =
        EventRecord::decode(bytes).map_err(|error| EngineError::record(number, seq, &error))?;
    if (event.number, event.seq) != (number, seq) {
        return Err(EngineError::corrupt(number, seq, 0, "another event stands here"));
    }
    Ok((event, length))
}

/// Puts the events of a run that follow a cursor into a page. Returns whether it is full.
pub(super) fn take_run(
    fill: &mut Fill,
    number: u64,
    run: &Run,
    commit: &Bytes,
    after: Seq,
) -> Result<bool, EngineError> {
    let mut offset = run.offset as usize;
    for seq in run.first_seq..run.next_seq() {
        let (event, length) = event_at(number, seq, commit, offset)?;
        offset += length;
        if seq > after && fill.push(stored(&event, commit)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The events after a cursor, if all that are needed are unsealed and in memory.
pub(super) fn from_memory(
    number: u64,
    look: &Look,
    after: Seq,
    size: PageSize,
) -> Option<Result<Vec<StoredEvent>, EngineError>> {
    if look.runs.is_empty() || look.runs.iter().any(|(_, place)| place.bytes.is_none()) {
        return None;
    }
    let mut fill = Fill::new(size);
    for (run, place) in &look.runs {
        let commit = place.bytes.as_ref()?;
        match take_run(&mut fill, number, run, commit, after) {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) => return Some(Err(error)),
        }
    }
    Some(Ok(fill.events))
}

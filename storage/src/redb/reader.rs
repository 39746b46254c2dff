//! Reading one execution: the unsealed part from memory or from the journal, the rest from the archive.
//!
//! Nothing is locked over a whole read. A reader takes the head first, then the index of what is not
//! sealed, then the file; if what it finds does not follow the cursor, something was sealed, trimmed or
//! deleted in between, and it looks again. If nothing has moved, the bytes are wrong, and it says so.

use std::sync::Arc;

use super::error::EngineError;
use super::runs::{Fill, from_memory, read_place, take_run};
use super::shared::{OpenFiles, Shared};
use super::slots::Slot;
use super::unsealed::Look;
use crate::limits::MIB;
use crate::{ExecutionId, Head, Page, PageSize, ReadError, Seq, StoredEvent};

/// Bytes of commits that one page reads from the journal; then it is returned short.
const COLD_BYTES_MAX: usize = 4 * MIB;

/// One page of events after a cursor.
pub(super) async fn read(
    shared: &Arc<Shared>,
    id: &ExecutionId,
    after: Seq,
    size: PageSize,
) -> Result<Page, ReadError> {
    loop {
        let (slot, head) = shared.present(id).await?;
        if !has_more(&head, after)? {
            return Ok(Page { events: Vec::new(), head });
        }
        let look = shared.unsealed.after(head.number, after, size.events_max);
        let epoch = look.epoch;
        let events = match from_memory(head.number, &look, after, size) {
            Some(events) => events.map_err(|error| error.into_read_error(Some(id))),
            None => read_files(shared, id, head.number, look, after, size).await,
        };
        let events = events.map_err(|error| at_least_at(error, after + 1))?;
        if events.first().is_some_and(|event| event.seq == after + 1) {
            return Ok(page(events, head));
        }
        if shared.unsealed.epoch() == epoch && same_kept(shared, &slot, &head) {
            let what = "the event is missing".to_owned();
            return Err(ReadError::Corrupt {
                execution: Some(id.clone()),
                seq: after + 1,
                position: 0,
                what,
            });
        }
    }
}

/// Damage that does not know its seq is told with the first one that was wanted.
fn at_least_at(mut error: ReadError, wanted: Seq) -> ReadError {
    if let ReadError::Corrupt { seq: seq @ 0, .. } = &mut error {
        *seq = wanted;
    }
    error
}

/// Whether there is anything after the cursor, if it can be right.
fn has_more(head: &Head, after: Seq) -> Result<bool, ReadError> {
    let (floor_seq, tail_seq) = (head.floor_seq, head.tail_seq);
    if after > tail_seq {
        return Err(ReadError::Ahead { floor_seq, tail_seq });
    }
    if after + 1 < floor_seq {
        return Err(ReadError::Trimmed { floor_seq, tail_seq });
    }
    Ok(after < tail_seq)
}

/// What was found, up to the tail of the head that is returned with it.
fn page(mut events: Vec<StoredEvent>, head: Arc<Head>) -> Page {
    let visible = events.partition_point(|event| event.seq <= head.tail_seq);
    events.truncate(visible);
    Page { events, head }
}

/// Whether the same events are kept as when this head was taken. The index hears of a trim and of a
/// deletion before the head does, so it is asked too.
fn same_kept(shared: &Shared, slot: &Slot, head: &Head) -> bool {
    !shared.unsealed.hides(head.number, head.floor_seq)
        && slot.head().is_some_and(|now| now.number == head.number && now.floor_seq == head.floor_seq)
}

/// The events after a cursor, from the files. Empty if they moved meanwhile.
async fn read_files(
    shared: &Arc<Shared>,
    id: &ExecutionId,
    number: u64,
    look: Look,
    after: Seq,
    size: PageSize,
) -> Result<Vec<StoredEvent>, ReadError> {
    let work = move |files: &OpenFiles| {
        if look.first_seq.is_none_or(|first_seq| after + 1 < first_seq) {
            return files.archive.read(number, after, size);
        }
        let mut fill = Fill::new(size);
        let mut cold_bytes = 0;
        for (run, place) in &look.runs {
            cold_bytes += if place.bytes.is_some() { 0 } else { place.raw_bytes };
            if cold_bytes > COLD_BYTES_MAX && !fill.events.is_empty() {
                break;
            }
            let Some(commit) = read_place(files, place)? else { return Ok(Vec::new()) };
            if take_run(&mut fill, number, run, &commit, after)? {
                break;
            }
        }
        Ok::<_, EngineError>(fill.events)
    };
    shared.blocking(id, work).await
}

/// The cursor from which a reader gets the events with a time not before `since_ns`.
pub(super) async fn cursor_at_time(
    shared: &Arc<Shared>,
    id: &ExecutionId,
    since_ns: u64,
) -> Result<Seq, ReadError> {
    loop {
        let (slot, head) = shared.present(id).await?;
        let number = head.number;
        if since_ns > head.update_time_ns {
            return Ok(head.tail_seq);
        }
        let epoch = shared.unsealed.epoch();
        let (unsealed, first_unsealed) = shared.unsealed.cursor_at_time(number, since_ns);
        // If all that is kept is unsealed, the archive need not be asked.
        let archived = if first_unsealed.is_some_and(|first_seq| first_seq <= head.floor_seq) {
            None
        } else {
            let work = move |files: &OpenFiles| files.archive.cursor_at_time(number, since_ns);
            Some(shared.blocking(id, work).await?)
        };
        if shared.unsealed.epoch() != epoch || !same_kept(shared, &slot, &head) {
            continue;
        }
        // The archive answers with its tail if it has no such event.
        let in_archive =
            archived.filter(|cursor| first_unsealed.is_none_or(|first_seq| cursor + 1 < first_seq));
        let cursor = in_archive.or(unsealed).unwrap_or(head.tail_seq);
        return Ok(cursor.clamp(head.floor_seq - 1, head.tail_seq));
    }
}

/// Payload bytes of the events from the floor of `head` up to, and without, another floor.
pub(super) async fn count_bytes(shared: &Arc<Shared>, head: &Head, floor_seq: Seq) -> Result<u64, ReadError> {
    let mut bytes = 0;
    let mut after = head.floor_seq - 1;
    while after + 1 < floor_seq {
        let page = read(shared, &head.execution.id, after, PageSize::default()).await?;
        for event in page.events.iter().filter(|event| event.seq < floor_seq) {
            bytes += event.payload.len() as u64;
        }
        after = page.events.last().map_or(floor_seq, |event| event.seq);
    }
    Ok(bytes)
}

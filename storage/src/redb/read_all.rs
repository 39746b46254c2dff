//! Reading all executions in order of position: the archive up to the last sealed position, the
//! journal's commits after it. What was trimmed or deleted is left out.

use std::sync::Arc;

use bytes::Bytes;

use super::archive::Visibility;
use super::error::EngineError;
use super::runs::{read_place, stored};
use super::shared::{OpenFiles, Shared, on_blocking_thread};
use super::unsealed::{Epoch, Place};
use crate::limits::MIB;
use crate::record::{EventRecord, Record};
use crate::{AllPage, PageSize, Position, ReadError, StoredEvent};

/// Bytes of commits that one page looks at; then it ends.
const PAGE_COMMIT_BYTES_MAX: usize = 4 * MIB;

/// One page of events after a position.
pub(super) async fn read_all(
    shared: &Arc<Shared>,
    after: Position,
    size: PageSize,
) -> Result<AllPage, ReadError> {
    let tail_position = shared.tail_position();
    if after > tail_position {
        return Err(ReadError::Ahead { floor_seq: floor_position(shared).await?, tail_seq: tail_position });
    }
    from(shared, after, size, tail_position).await
}

/// The lowest position that is kept; one more than the tail if there is none.
pub(super) async fn floor_position(shared: &Arc<Shared>) -> Result<Position, ReadError> {
    let tail_position = shared.tail_position();
    let first = from(shared, 0, PageSize { events_max: 1, bytes_max: 1 }, tail_position).await?;
    Ok(first.events.first().map_or(tail_position + 1, |(_, event)| event.position))
}

/// A page that holds an event, or reaches the tail.
async fn from(
    shared: &Arc<Shared>,
    after: Position,
    size: PageSize,
    tail_position: Position,
) -> Result<AllPage, ReadError> {
    let shared = shared.clone();
    let page = on_blocking_thread(move || {
        let mut page = AllPage { events: Vec::new(), through: after, tail_position };
        while page.events.is_empty() && page.through < tail_position {
            shared.read_files(|files| {
                step(&shared, files, &mut page, size).map_err(|error| named(&shared, files, error))
            })?;
        }
        cut(&mut page);
        Ok(page)
    });
    page.await.map_err(|error| error.into_read_error(None))
}

/// The error with the id of the execution it is about, if that can be found out.
fn named(shared: &Shared, files: &OpenFiles, error: EngineError) -> EngineError {
    let EngineError::Corrupt(mut corruption) = error else { return error };
    if corruption.execution.is_none() && corruption.number != 0 {
        let number = corruption.number;
        let unsealed = shared.slots.dirty(number).map(|slot| slot.id.clone());
        let archived = || files.archive.id_of(number).ok().flatten();
        corruption.execution = unsealed.or_else(archived);
    }
    EngineError::Corrupt(corruption)
}

/// Leaves out what was committed after the tail was taken.
fn cut(page: &mut AllPage) {
    let visible = page.events.partition_point(|(_, event)| event.position <= page.tail_position);
    page.events.truncate(visible);
    page.through = page.through.min(page.tail_position);
}

/// Goes on from where the page is: through some of the archive, or some of the journal.
fn step(shared: &Shared, files: &OpenFiles, page: &mut AllPage, size: PageSize) -> Result<(), EngineError> {
    let (places, position_before, epoch) = shared.unsealed.after_position(page.through, size.events_max);
    if page.through < position_before {
        let overlay = |number| shared.unsealed.visibility(number);
        let archived = files.archive.read_all(page.through, size, &overlay)?;
        (page.events, page.through) = (archived.events, archived.through);
        return Ok(());
    }
    let Some(found) = decode(files, &places, page.through, size)? else { return Ok(()) };
    add_visible(shared, epoch, found, page)
}

/// Events with the numbers of their executions, and how far they go.
struct Found {
    events: Vec<(u64, StoredEvent)>,
    through: Position,
}

/// The events of commits after a position. `None` if the commits moved meanwhile.
fn decode(
    files: &OpenFiles,
    places: &[Place],
    after: Position,
    size: PageSize,
) -> Result<Option<Found>, EngineError> {
    let mut found = Found { events: Vec::new(), through: after };
    let (mut payload_bytes, mut commit_bytes) = (0, 0);
    for place in places {
        let Some(commit) = read_place(files, place)? else { return Ok(None) };
        let mut full = false;
        each_event(&commit, place.first_position, |event| {
            if event.position > after && !full {
                payload_bytes += event.payload.len();
                found.events.push((event.number, stored(event, &commit)));
                found.through = event.position;
                full = found.events.len() >= size.events_max || payload_bytes >= size.bytes_max;
            }
            !full
        })?;
        commit_bytes += commit.len();
        if full || commit_bytes >= PAGE_COMMIT_BYTES_MAX {
            break;
        }
    }
    Ok(Some(found))
}

/// Calls `look` with each event of a commit, as long as it returns `true`.
fn each_event(
    commit: &Bytes,
    first_position: Position,
    mut look: impl FnMut(&EventRecord<'_>) -> bool,
) -> Result<(), EngineError> {
    let mut rest = commit.as_ref();
    let mut position = first_position;
    while !rest.is_empty() {
        let (record, length) =
            Record::decode(rest).map_err(|error| EngineError::corrupt(0, 0, position, error))?;
        if let Record::Event(event) = &record {
            position = event.position + 1;
            if !look(event) {
                return Ok(());
            }
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(())
}

/// Adds what is neither trimmed nor deleted. If something was sealed since the commits were looked up,
/// what hides an event may be in the archive now: then nothing is added, and the page goes on from
/// where it was.
fn add_visible(shared: &Shared, epoch: Epoch, found: Found, page: &mut AllPage) -> Result<(), EngineError> {
    let numbers = found.events.iter().map(|(number, _)| *number);
    let Some(names) = shared.unsealed.names(epoch, numbers) else { return Ok(()) };
    for ((name, visibility), (number, event)) in names.into_iter().zip(found.events) {
        let position = event.position;
        match name {
            Some(execution) if !visibility.hides(event.seq) => page.events.push((execution, event)),
            // What is before it is handed out first; the next page begins with it.
            None if visibility == Visibility::Unknown && page.events.is_empty() => {
                let what = "what is stored of the execution is damaged";
                return Err(EngineError::corrupt(number, event.seq, event.position, what));
            }
            None if visibility == Visibility::Unknown => return Ok(()),
            _ => {}
        }
        page.through = position;
    }
    page.through = found.through;
    Ok(())
}

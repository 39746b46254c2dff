//! An append that is older than its producer's last one: was it written, and with the same content?
//! Looked up on the caller's side, never on the writer's thread, because it never writes anything.

use std::sync::Arc;

use super::error::EngineError;
use super::runs::{event_at, read_place};
use super::shared::{OpenFiles, Shared};
use super::slots::{Slot, State};
use super::unsealed::{Place, Run, mark};
use crate::{AppendOutcome, BatchSpan, Head, Producer, WriteError};

/// The outcome of an append that was written before, or why it cannot be that append.
pub(super) async fn look_up(
    shared: &Arc<Shared>,
    slot: &Slot,
    producer: &Producer,
    digest: u128,
) -> Result<AppendOutcome, WriteError> {
    let id = &slot.id;
    let head = head_of(slot)?;
    let (number, wanted, reader) = (head.number, producer.clone(), shared.clone());
    let found = shared.blocking(id, move |files| find(&reader, files, number, &wanted)).await?;
    // What was found may have been trimmed meanwhile; the newest head says so.
    let head = head_of(slot)?;
    match found {
        Some((same, span)) if same == digest => Ok(duplicate(&head, producer, span)),
        Some(_) => Err(conflict(&head, producer)),
        // The index hears of a trim and of a deletion before the head does.
        None if shared.unsealed.is_deleted(number) => {
            Err(WriteError::NotFound { execution: id.clone(), deleted: true })
        }
        None if head.floor_seq > 1 || shared.unsealed.hides(number, 1) => {
            Ok(duplicate(&head, producer, trimmed_span()))
        }
        None => Err(EngineError::corrupt(number, 0, 0, "an append of a producer is missing")
            .into_read_error(Some(id))
            .into()),
    }
}

fn head_of(slot: &Slot) -> Result<Arc<Head>, WriteError> {
    match slot.state() {
        State::Present(head) => Ok(head),
        none => Err(none.no_head(&slot.id).into()),
    }
}

/// The append with this triple and its digest, from the journal or from the archive.
fn find(
    shared: &Shared,
    files: &OpenFiles,
    number: u64,
    producer: &Producer,
) -> Result<Option<(u128, BatchSpan)>, EngineError> {
    loop {
        let epoch = shared.unsealed.epoch();
        for (run, place) in shared.unsealed.marked(number, mark(producer)) {
            if let Some(found) = batch_of(files, number, producer, &run, &place)? {
                return Ok(Some(found));
            }
        }
        let archived = files.archive.find_batch(number, producer)?;
        // What left the index before it was looked at is in the archive by now.
        if archived.is_some() || shared.unsealed.epoch() == epoch {
            return Ok(archived);
        }
    }
}

/// The append that a run is, if it has this triple and is still in the journal.
fn batch_of(
    files: &OpenFiles,
    number: u64,
    producer: &Producer,
    run: &Run,
    place: &Place,
) -> Result<Option<(u128, BatchSpan)>, EngineError> {
    let Some(commit) = read_place(files, place)? else { return Ok(None) };
    let (event, _) = event_at(number, run.first_seq, &commit, run.offset as usize)?;
    let stamp = event.batch.as_ref().and_then(|batch| batch.producer.as_ref());
    let Some(stamp) = stamp.filter(|stamp| stamp.producer == *producer) else { return Ok(None) };
    let span = BatchSpan {
        first_seq: run.first_seq,
        last_seq: run.next_seq() - 1,
        last_position: event.position + u64::from(run.events) - 1,
        record_time_ns: run.record_time_ns,
    };
    Ok(Some((stamp.digest, span)))
}

fn trimmed_span() -> BatchSpan {
    BatchSpan { first_seq: 0, last_seq: 0, last_position: 0, record_time_ns: 0 }
}

fn duplicate(head: &Head, producer: &Producer, span: BatchSpan) -> AppendOutcome {
    let tail_seq = head.tail_seq;
    if span.first_seq >= head.floor_seq {
        return AppendOutcome { span, tail_seq, duplicate: true };
    }
    // Its own time is gone with it; that of the producer's last append is not before it.
    let record_time_ns = head.producer(&producer.id).map_or(0, |state| state.span.record_time_ns);
    AppendOutcome { span: BatchSpan { record_time_ns, ..trimmed_span() }, tail_seq, duplicate: true }
}

fn conflict(head: &Head, producer: &Producer) -> WriteError {
    let last = head.producer(&producer.id).map(|state| &state.producer);
    WriteError::ProducerConflict {
        expected_seq: last.map_or(0, |last| last.seq.saturating_add(1)),
        current_epoch: last.map_or(producer.epoch, |last| last.epoch),
    }
}

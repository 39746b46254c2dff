//! Finding a chunk by what rises from chunk to chunk: times, and what producers have sent.

use redb::{Database, ReadableDatabase};

use super::super::error::EngineError;
use super::chunk::Chunk;
use super::heads::HeadTables;
use super::schema::EventTables;
use crate::{BatchSpan, Head, Producer, Seq};

/// The first seq of the first chunk from the floor on of which `holds` is true, if there is one.
/// Once it is true of a chunk, it must be true of all later ones.
fn first_chunk(
    tables: &EventTables,
    head: &Head,
    holds: impl Fn(&Chunk<'_>) -> bool,
) -> Result<Option<Seq>, EngineError> {
    let (mut low, mut high) = (head.floor_seq, head.tail_seq);
    let mut found = None;
    while low <= high {
        let middle = low + (high - low) / 2;
        let (first_seq, last_seq, held) = tables.at(head.number, middle, |chunk| {
            Ok((chunk.header.first_seq, chunk.header.last_seq, holds(chunk)))
        })?;
        if held {
            found = Some(first_seq);
            high = first_seq - 1;
        } else {
            low = last_seq + 1;
        }
    }
    Ok(found)
}

/// The cursor from which a reader gets the archived events with a time not before `since_ns`: the
/// archived tail if there is none, 0 if nothing of the execution is archived.
pub(super) fn cursor_at_time(db: &Database, number: u64, since_ns: u64) -> Result<Seq, EngineError> {
    let txn = db.begin_read()?;
    let Some(head) = HeadTables::open(&txn)?.head(number)? else { return Ok(0) };
    let tables = EventTables::open(&txn)?;
    let holds = |chunk: &Chunk<'_>| chunk.header.last_time_ns >= since_ns;
    let Some(first_seq) = first_chunk(&tables, &head, holds)? else { return Ok(head.tail_seq) };
    tables.at(number, first_seq, |chunk| {
        let raw = tables.expand(chunk)?;
        for event in chunk.header.events(&raw) {
            let (_, event) = event?;
            if event.record_time_ns >= since_ns {
                return Ok(event.seq.max(head.floor_seq) - 1);
            }
        }
        Err(chunk.header.corrupt("no event has the last time of its chunk"))
    })
}

/// The append with this triple and its digest, if its first event is archived and not trimmed.
pub(super) fn find_batch(
    db: &Database,
    number: u64,
    producer: &Producer,
) -> Result<Option<(u128, BatchSpan)>, EngineError> {
    let txn = db.begin_read()?;
    let Some(head) = HeadTables::open(&txn)?.head(number)? else { return Ok(None) };
    let tables = EventTables::open(&txn)?;
    let reached = |chunk: &Chunk<'_>| {
        let mark = chunk.marks.iter().find(|mark| *mark.id == *producer.id);
        mark.is_some_and(|mark| (mark.epoch, mark.seq) >= (producer.epoch, producer.seq))
    };
    let Some(first_seq) = first_chunk(&tables, &head, reached)? else { return Ok(None) };
    tables.at(number, first_seq, |chunk| {
        let raw = tables.expand(chunk)?;
        for event in chunk.header.events(&raw) {
            let (_, event) = event?;
            let Some(batch) = &event.batch else { continue };
            let Some(stamp) = batch.producer.as_ref().filter(|stamp| stamp.producer == *producer) else {
                continue;
            };
            if event.seq < head.floor_seq {
                return Ok(None);
            }
            let more = u64::from(batch.events.saturating_sub(1));
            let span = BatchSpan {
                first_seq: event.seq,
                last_seq: event.seq.saturating_add(more),
                last_position: event.position.saturating_add(more),
                record_time_ns: event.record_time_ns,
            };
            return Ok(Some((stamp.digest, span)));
        }
        Ok(None)
    })
}

//! Frees what trims and deletions left: whole chunks below a floor, all of a deleted execution, bases
//! that no floor needs. Runs after the commit that made trim or deletion part of the archive, in
//! durable units of its own, and can stop after any of them. Nobody can read what it removes.

use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase};

use super::super::error::EngineError;
use super::bases;
use super::change::Change;
use super::chunk::{Chunk, Header};
use super::heads::HeadTables;
use super::schema::{CHUNK_PARTS, CHUNKS, GARBAGE, GENERATIONS};
use super::units::{SealError, Units};
use crate::limits::CLEAN_UNITS_MAX;
use crate::{Position, Seq};

/// Chunks that are read in one transaction before they are removed.
const CHUNKS_AT_ONCE: usize = 256;

/// Frees, in at most [`CLEAN_UNITS_MAX`] durable units. Returns whether something is left.
pub(super) fn clean(db: &Database, units: &mut Units<'_>) -> Result<bool, SealError> {
    let units_max = units.commits + CLEAN_UNITS_MAX as u64;
    let mut from = 0;
    while let Some(number) = first_garbage(db, from)? {
        match clean_one(db, units, number, units_max) {
            Ok(true) => {}
            Ok(false) => {
                units.flush()?;
                return Ok(true);
            }
            Err(SealError::Engine(EngineError::Corrupt(error))) => {
                // It stays where it is, unread and not freed; sealing must not stop for it.
                tracing::error!(number, %error, "cannot free the chunks of an execution");
            }
            Err(error) => return Err(error),
        }
        let Some(next) = number.checked_add(1) else { break };
        from = next;
    }
    units.flush()?;
    Ok(false)
}

fn first_garbage(db: &Database, from: u64) -> Result<Option<u64>, EngineError> {
    let garbage = db.begin_read()?.open_table(GARBAGE)?;
    Ok(garbage.range(from..)?.next().transpose()?.map(|(key, _)| key.value()))
}

/// Frees what one execution left. Returns whether that was all.
fn clean_one(db: &Database, units: &mut Units<'_>, number: u64, units_max: u64) -> Result<bool, SealError> {
    let mut from_seq = 0;
    while let Some((changes, next_seq)) = removable_chunks(db, number, from_seq)? {
        for change in changes {
            units.push(change)?;
        }
        if units.commits >= units_max {
            return Ok(false);
        }
        from_seq = next_seq;
    }
    let mut changes = Vec::new();
    bases::push_remove_old(&mut changes, db, number)?;
    for change in changes {
        units.push(change)?;
    }
    units.push(Change::Garbage { number, present: false })?;
    Ok(true)
}

/// The changes that remove some chunks from a seq on, and the seq to go on from.
fn removable_chunks(
    db: &Database,
    number: u64,
    from_seq: Seq,
) -> Result<Option<(Vec<Change>, Seq)>, EngineError> {
    let txn = db.begin_read()?;
    let floor_seq = HeadTables::open(&txn)?.head(number)?.map_or(Seq::MAX, |head| head.floor_seq);
    let chunks = txn.open_table(CHUNKS)?;
    let parts = txn.open_table(CHUNK_PARTS)?;
    let mut changes = Vec::new();
    let mut next_seq = from_seq;
    for row in chunks.range((number, from_seq)..=(number, Seq::MAX))?.take(CHUNKS_AT_ONCE) {
        let (key, value) = row?;
        let header = Chunk::decode(key.value(), value.value())?.header;
        if header.last_seq >= floor_seq {
            break;
        }
        let generation = generation_of(&txn, &header)?;
        push_remove_chunk(&mut changes, &parts, (generation, number, header.first_seq), header.raw_bytes)?;
        next_seq = header.first_seq + 1;
    }
    Ok((next_seq != from_seq).then_some((changes, next_seq)))
}

/// The changes that remove a chunk with all its parts. `raw_bytes` are taken from those of its generation.
pub(super) fn push_remove_chunk(
    changes: &mut Vec<Change>,
    parts: &ReadOnlyTable<(u64, u64, u32), &'static [u8]>,
    place: (Position, u64, Seq),
    raw_bytes: u32,
) -> Result<(), EngineError> {
    let (generation, number, first_seq) = place;
    for row in parts.range((number, first_seq, 0)..=(number, first_seq, u32::MAX))? {
        let (.., part) = row?.0.value();
        changes.push(Change::RemoveChunkPart { number, first_seq, part });
    }
    // The chunk goes last: as long as it is there, its parts are found again.
    changes.push(Change::RemoveChunk { generation, number, first_seq, raw_bytes });
    Ok(())
}

fn generation_of(txn: &ReadTransaction, header: &Header) -> Result<Position, EngineError> {
    let generations = txn.open_table(GENERATIONS)?;
    let row = generations.range(..=header.first_position)?.next_back().transpose()?;
    row.map(|(key, _)| key.value()).ok_or_else(|| header.corrupt("the chunk is in no generation"))
}

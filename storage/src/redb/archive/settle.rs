//! Undoes what is left of a sealing that was cut short: heads, ids and indexes go back to what they
//! were, chunks above the last sealed position go away. Repeating it has no further effect.

use redb::{Database, ReadableDatabase};

use super::super::error::EngineError;
use super::bases;
use super::catalogue::{head_value, push_index_changes};
use super::change::Change;
use super::clean::push_remove_chunk;
use super::heads::HeadTables;
use super::schema::{CHUNK_PARTS, GENERATION_CHUNKS};
use super::units::{SealError, Units};
use super::value::IdRow;

/// What is read in one transaction before it is written.
const ROWS_AT_ONCE: usize = 256;

/// Sets everything right; ends with a durable commit if there was anything to do.
pub(super) fn settle(db: &Database, units: &mut Units<'_>) -> Result<(), SealError> {
    let mut from = 0;
    while let Some((changes, next)) = undo_heads(db, from)? {
        changes.into_iter().try_for_each(|change| units.push(change))?;
        from = next;
    }
    let first_position = units.meta.sealed_position + 1;
    let mut from = (first_position, 0, 0);
    while let Some((changes, next)) = remove_chunks(db, from)? {
        changes.into_iter().try_for_each(|change| units.push(change))?;
        from = next;
    }
    units.flush()
}

/// The changes that bring back some heads from a number on, and the number to go on from.
fn undo_heads(db: &Database, from: u64) -> Result<Option<(Vec<Change>, u64)>, EngineError> {
    let txn = db.begin_read()?;
    let tables = HeadTables::open(&txn)?;
    let mut changes = Vec::new();
    let mut next = from;
    for _ in 0..ROWS_AT_ONCE {
        let Some(number) = tables.first_before(next)? else { break };
        let Some(before) = tables.before(number)? else { break };
        // If it is damaged, it may stay listed under what it said; whoever lists it looks at the head too.
        let now = match tables.newest_head(number) {
            Err(EngineError::Corrupt(_)) => None,
            now => now?,
        };
        push_index_changes(&mut changes, now.as_ref(), before.head.as_ref());
        bases::push_remove_unsealed(&mut changes, &txn, number)?;
        changes.push(Change::Head { number, value: before.head.as_ref().map(head_value) });
        let value = before.head.as_ref().map(|_| IdRow { number, deleted: false }.encode());
        changes.push(Change::Id { id: before.id, value });
        // Last of all, so that whatever is cut short before is undone again.
        changes.push(Change::RemoveBefore { number });
        next = number.saturating_add(1);
    }
    Ok((next != from).then_some((changes, next)))
}

type Place = (u64, u64, u64);

/// The changes that remove some chunks of an unfinished generation, and the place to go on from.
fn remove_chunks(db: &Database, from: Place) -> Result<Option<(Vec<Change>, Place)>, EngineError> {
    let txn = db.begin_read()?;
    let places = txn.open_table(GENERATION_CHUNKS)?;
    let parts = txn.open_table(CHUNK_PARTS)?;
    let mut changes = Vec::new();
    let mut next = from;
    for place in places.range(from..)?.take(ROWS_AT_ONCE) {
        let (generation, number, first_seq) = place?.0.value();
        // A generation that did not end has no row to take bytes from.
        push_remove_chunk(&mut changes, &parts, (generation, number, first_seq), 0)?;
        next = (generation, number, first_seq.saturating_add(1));
    }
    Ok((next != from).then_some((changes, next)))
}

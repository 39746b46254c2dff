//! Bases: what the last trim of an execution left for those who need more than the events that are
//! kept. Each is stored in pieces under the row that the sealing which brought it ends at, so that a
//! sealing that is cut short never touches the one in force.

use bytes::Bytes;
use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase};

use super::super::error::EngineError;
use super::change::Change;
use super::heads::HeadTables;
use super::pages::pieces;
use super::schema::BASES;
use super::value::BasePart;
use crate::limits::RECORD_BODY_BYTES_MAX;

type Bases = ReadOnlyTable<(u64, u64, u32), &'static [u8]>;

/// The base of an execution at the last sealed row.
pub(super) fn base(db: &Database, number: u64) -> Result<Option<Bytes>, EngineError> {
    let txn = db.begin_read()?;
    if HeadTables::open(&txn)?.head(number)?.is_none() {
        return Ok(None);
    }
    let sealed_row = super::meta_in(&txn)?.sealed_row;
    let bases = txn.open_table(BASES)?;
    let Some(row) = row_in_force(&bases, number, sealed_row)? else { return Ok(None) };
    join(&bases, number, row).map(Some)
}

fn row_in_force(bases: &Bases, number: u64, sealed_row: u64) -> Result<Option<u64>, EngineError> {
    let newest = bases.range((number, 0, 0)..=(number, sealed_row, u32::MAX))?.next_back().transpose()?;
    Ok(newest.map(|(key, _)| key.value().1))
}

fn join(bases: &Bases, number: u64, row: u64) -> Result<Bytes, EngineError> {
    let wrong = |what: &str| EngineError::corrupt(number, 0, 0, format!("the base: {what}"));
    let mut base = Vec::new();
    for part in 0.. {
        let key = (number, row, part);
        let value = bases.get(key)?.ok_or_else(|| wrong("a part is missing"))?;
        let piece = BasePart::decode(key, value.value()).map_err(|error| wrong(&error.to_string()))?;
        base.extend_from_slice(piece.bytes);
        if base.len() > RECORD_BODY_BYTES_MAX {
            return Err(wrong("it is longer than any that is written"));
        }
        if part + 1 == piece.parts {
            break;
        }
    }
    Ok(Bytes::from(base))
}

/// The changes that store a base with the sealing that ends at a row.
pub(super) fn push_base(changes: &mut Vec<Change>, number: u64, row: u64, base: &[u8]) {
    let pieces = pieces(base);
    let parts = pieces.len() as u32;
    for (part, bytes) in pieces {
        let value = BasePart { number, row, part, parts, bytes }.encode();
        changes.push(Change::BasePart { number, row, part, value });
    }
}

/// The changes that remove the bases of an execution that are older than the one in force; all of them
/// if it was deleted.
pub(super) fn push_remove_old(
    changes: &mut Vec<Change>,
    db: &Database,
    number: u64,
) -> Result<(), EngineError> {
    let txn = db.begin_read()?;
    let sealed_row = super::meta_in(&txn)?.sealed_row;
    let bases = txn.open_table(BASES)?;
    let keep_from = match HeadTables::open(&txn)?.head(number)? {
        Some(_) => row_in_force(&bases, number, sealed_row)?.unwrap_or(0),
        None => u64::MAX,
    };
    push_remove(changes, &bases, (number, 0, 0), (number, keep_from, 0))
}

/// The changes that remove what a sealing that did not end left of a base.
pub(super) fn push_remove_unsealed(
    changes: &mut Vec<Change>,
    txn: &ReadTransaction,
    number: u64,
) -> Result<(), EngineError> {
    let first_unsealed = super::meta_in(txn)?.sealed_row + 1;
    push_remove(changes, &txn.open_table(BASES)?, (number, first_unsealed, 0), (number, u64::MAX, 0))
}

fn push_remove(
    changes: &mut Vec<Change>,
    bases: &Bases,
    from: (u64, u64, u32),
    to: (u64, u64, u32),
) -> Result<(), EngineError> {
    for row in bases.range(from..to)? {
        let (number, row, part) = row?.0.value();
        changes.push(Change::RemoveBasePart { number, row, part });
    }
    Ok(())
}

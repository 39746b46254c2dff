//! The journal file: one table of rows at whose right edge each commit is appended, in one durable
//! transaction. The writer alone appends and removes; readers and the start read.
//!
//! It knows nothing of records: a commit is bytes. What is removed has been sealed; a row that is
//! missing otherwise, or wrong, is damage and is told with its number, never skipped.

mod rows;
mod scan;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::error::EngineError;
use super::format::{FORMAT_KEY, FormatError, META, check_format, encode_format};
use crate::StoreId;
use rows::{Row, cut, damaged};
pub(crate) use scan::Next;

/// Key: number of a row, from 1. Value: a piece of a commit, see [`rows`].
const ROWS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("rows");

/// Rows that one transaction removes at most. More: the next one goes on.
const REMOVED_ROWS_MAX: usize = 256;

/// The journal of one store.
#[derive(Debug)]
pub(crate) struct Journal {
    db: Database,
    /// Bytes of the rows above `uncounted_row` that are there; counted, so that asking costs nothing.
    used_bytes: AtomicU64,
    /// The last row that the start did not read, because it was sealed.
    uncounted_row: AtomicU64,
}

/// A commit as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawCommit {
    /// Its number; commits are numbered without a hole.
    pub(crate) commit: u64,
    /// Its first row.
    pub(crate) first_row: u64,
    /// Its last row.
    pub(crate) last_row: u64,
    /// What was written.
    pub(crate) bytes: Bytes,
}

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    /// The last row of the commit.
    pub(crate) last_row: u64,
    /// The last row that is certainly removed, if any was to be.
    pub(crate) removed_through: Option<u64>,
}

impl Journal {
    /// Makes a new database the journal of a store, in one durable commit.
    pub(crate) fn init(db: &Database, store_id: StoreId) -> Result<(), EngineError> {
        let txn = db.begin_write()?;
        txn.open_table(META)?.insert(FORMAT_KEY, encode_format(store_id).as_slice())?;
        txn.open_table(ROWS)?;
        txn.commit()?;
        Ok(())
    }

    /// Takes an opened database that `init` has made a journal.
    pub(crate) fn open(db: Database, store_id: StoreId) -> Result<Self, FormatError> {
        check_format(&db, store_id)?;
        Ok(Self { db, used_bytes: AtomicU64::new(0), uncounted_row: AtomicU64::new(0) })
    }

    /// Closes the file. Without this, dropping does the same and hides errors.
    pub(crate) fn close(self) -> Result<(), EngineError> {
        Ok(self.db.close()?)
    }

    /// Bytes of the rows that are there. Rows that were sealed before the start do not count: nobody reads
    /// them any more, and they are the first to go.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Appends a commit from a row on and makes it durable. In the same transaction some of the rows
    /// up to `remove_through` go, which must be sealed.
    pub(crate) fn append(
        &self,
        commit: u64,
        first_row: u64,
        bytes: &[u8],
        remove_through: Option<u64>,
    ) -> Result<Appended, EngineError> {
        let mut txn = self.db.begin_write()?;
        txn.set_durability(Durability::Immediate)?;
        let (mut last_row, mut added, mut removed) = (first_row, 0, Removed::default());
        {
            let mut table = txn.open_table(ROWS)?;
            if let Some(through) = remove_through {
                removed = remove_rows(&mut table, through, self.uncounted_row())?;
            }
            for (row, number) in cut(commit, bytes).zip(first_row..) {
                table.insert(number, row.as_slice())?;
                added += row.len() as u64;
                last_row = number;
            }
        }
        txn.commit()?;
        self.count(added, removed.bytes);
        Ok(Appended { last_row, removed_through: removed.through })
    }

    /// Removes some of the rows up to `through`, which must be sealed. Returns the last row that is
    /// certainly removed.
    pub(crate) fn remove(&self, through: u64) -> Result<Option<u64>, EngineError> {
        let mut txn = self.db.begin_write()?;
        txn.set_durability(Durability::Immediate)?;
        let removed = remove_rows(&mut txn.open_table(ROWS)?, through, self.uncounted_row())?;
        txn.commit()?;
        self.count(0, removed.bytes);
        Ok(removed.through)
    }

    /// What a commit wrote; `None` if its rows were removed meanwhile, because they are sealed.
    pub(crate) fn read_commit(&self, first_row: u64, last_row: u64) -> Result<Option<Bytes>, EngineError> {
        let txn = self.db.begin_read()?;
        let table = txn.open_table(ROWS)?;
        let mut bytes = Vec::new();
        for (part, number) in (first_row..=last_row).enumerate() {
            let Some(value) = table.get(number)? else { return gone(part, number) };
            let row = Row::decode(number, value.value())?;
            if (row.part as usize, row.parts as u64) != (part, last_row - first_row + 1) {
                return Err(damaged(number, &format!("is part {} of {}", row.part, row.parts)));
            }
            bytes.extend_from_slice(row.piece);
        }
        Ok(Some(Bytes::from(bytes)))
    }

    fn count(&self, added: u64, removed: u64) {
        self.used_bytes.fetch_add(added, Ordering::Relaxed);
        self.used_bytes.fetch_sub(removed, Ordering::Relaxed);
    }

    fn uncounted_row(&self) -> u64 {
        self.uncounted_row.load(Ordering::Relaxed)
    }
}

/// Rows are removed from the left: a commit whose first row is gone has been sealed, and no row of a
/// commit can be missing behind one that is there.
fn gone(part: usize, row: u64) -> Result<Option<Bytes>, EngineError> {
    match part {
        0 => Ok(None),
        _ => Err(damaged(row, "is missing")),
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Removed {
    through: Option<u64>,
    /// Of the rows that were counted.
    bytes: u64,
}

fn remove_rows(
    table: &mut redb::Table<'_, u64, &'static [u8]>,
    through: u64,
    uncounted_row: u64,
) -> Result<Removed, EngineError> {
    let mut removed = Removed::default();
    for _ in 0..REMOVED_ROWS_MAX {
        let first = table.range(..=through)?.next().transpose()?;
        let Some((number, bytes)) = first.map(|(key, value)| (key.value(), value.value().len())) else {
            removed.through = Some(through);
            break;
        };
        table.remove(number)?;
        removed.through = Some(number);
        if number > uncounted_row {
            removed.bytes += bytes as u64;
        }
    }
    Ok(removed)
}

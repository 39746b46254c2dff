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

use super::archive::{FORMAT, decode_format, encode_format};
use super::error::EngineError;
use crate::StoreId;
use crate::record::{RecordError, VERSION};
use rows::{Row, cut, damaged};
pub(crate) use scan::Next;

/// Key: `"format"`. Value: format and store id, as in the archive.
const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
/// Key: number of a row, from 1. Value: a piece of a commit, see [`rows`].
const ROWS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("rows");
const FORMAT_KEY: &str = "format";

/// Rows that one transaction removes at most. More: the next one goes on.
const REMOVED_ROWS_MAX: usize = 256;

/// Why a file is not the journal of a store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalOpenError {
    /// It was written by a newer version of the program.
    #[error("the journal has format version {found}")]
    NewerFormat {
        /// The version in the file.
        found: u32,
    },
    /// It belongs to another store.
    #[error("the journal belongs to the store {found}")]
    OtherStore {
        /// The store in the file.
        found: StoreId,
    },
    /// redb failed, or what the file says of itself is damaged.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The journal of one store.
#[derive(Debug)]
pub(crate) struct Journal {
    db: Database,
    /// Bytes of the rows that are there; counted, so that asking costs nothing.
    used_bytes: AtomicU64,
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
    pub(crate) fn open(db: Database, store_id: StoreId) -> Result<Self, JournalOpenError> {
        check_format(&db, store_id)?;
        Ok(Self { db, used_bytes: AtomicU64::new(0) })
    }

    /// Closes the file. Without this, dropping does the same and hides errors.
    pub(crate) fn close(self) -> Result<(), EngineError> {
        Ok(self.db.close()?)
    }

    /// Bytes of the rows that are there, as far as they have been scanned or appended since the start.
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
                removed = remove_rows(&mut table, through)?;
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
        let removed = remove_rows(&mut txn.open_table(ROWS)?, through)?;
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
        // Rows that were sealed before the start were never counted.
        let less = |used: u64| Some(used.saturating_sub(removed));
        let _ = self.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
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
    bytes: u64,
}

fn remove_rows(
    table: &mut redb::Table<'_, u64, &'static [u8]>,
    through: u64,
) -> Result<Removed, EngineError> {
    let mut removed = Removed::default();
    for _ in 0..REMOVED_ROWS_MAX {
        let first = table.range(..=through)?.next().transpose()?;
        let Some((number, bytes)) = first.map(|(key, value)| (key.value(), value.value().len())) else {
            removed.through = Some(through);
            break;
        };
        table.remove(number)?;
        removed = Removed { through: Some(number), bytes: removed.bytes + bytes as u64 };
    }
    Ok(removed)
}

fn check_format(db: &Database, store_id: StoreId) -> Result<(), JournalOpenError> {
    let missing = |what: &str| JournalOpenError::Engine(EngineError::corrupt(0, 0, 0, what));
    let txn = db.begin_read().map_err(EngineError::from)?;
    let meta = txn.open_table(META).map_err(EngineError::from)?;
    let row = meta.get(FORMAT_KEY).map_err(EngineError::from)?;
    let row = row.ok_or_else(|| missing("the format is missing"))?;
    match decode_format(row.value()) {
        Err(RecordError::Version(found)) if found > VERSION => {
            Err(JournalOpenError::NewerFormat { found: u32::from(found) })
        }
        Err(error) => Err(missing(&format!("the format: {error}"))),
        Ok((found, _)) if found > FORMAT => Err(JournalOpenError::NewerFormat { found }),
        Ok((_, found)) if found != store_id => Err(JournalOpenError::OtherStore { found }),
        Ok(_) => Ok(()),
    }
}

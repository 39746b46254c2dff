//! Small databases, so that a test knows what must be in them.

use std::path::Path;
use std::sync::Arc;

use redb::{Database, ReadableDatabase, TableDefinition};

use super::super::{Files, Inits, open_on};
use crate::redb::error::EngineError;
use crate::test_util::Faults;
use crate::{OpenError, StoreId};

pub(super) const ROWS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("rows");

pub(super) const INITS: Inits = Inits { journal: init, archive: init };

fn init(db: &Database, store_id: StoreId) -> Result<(), EngineError> {
    put(db, 0, &store_id.0.to_le_bytes())
}

/// Writes one row in one durable commit.
pub(super) fn put(db: &Database, key: u64, value: &[u8]) -> Result<(), EngineError> {
    let txn = db.begin_write()?;
    txn.open_table(ROWS)?.insert(key, value)?;
    Ok(txn.commit()?)
}

/// Removes one row in one durable commit.
pub(super) fn remove(db: &Database, key: u64) -> Result<(), EngineError> {
    let txn = db.begin_write()?;
    txn.open_table(ROWS)?.remove(key)?;
    Ok(txn.commit()?)
}

/// Reads one row.
pub(super) fn get(db: &Database, key: u64) -> Option<Vec<u8>> {
    let txn = db.begin_read().expect("reads");
    let table = txn.open_table(ROWS).expect("init made it");
    table.get(key).expect("reads").map(|value| value.value().to_vec())
}

pub(super) fn open_with(path: &Path, faults: &Faults) -> Result<Files, OpenError> {
    open_on(Arc::new(faults.clone()), path, INITS)
}

/// Opens a store whose ballasts are small.
pub(super) fn open_plain(path: &Path) -> Result<Files, OpenError> {
    let faults = Faults::new();
    faults.script("ballast 65536").expect("parses");
    open_with(path, &faults)
}

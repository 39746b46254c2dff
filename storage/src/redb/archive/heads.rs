//! Reading heads and ids as they are at `sealed_row`.

use redb::{Database, ReadTransaction, ReadableDatabase};

use super::super::error::{Corruption, EngineError};
use super::schema::{BEFORE, HEADS, IDS};
use super::value::{BeforeRow, IdRow};
use crate::record::{RecordError, decode_head};
use crate::{ExecutionId, Head};

/// What the archive knows of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Archived {
    /// Nothing.
    Absent,
    /// It belongs to an execution that was deleted.
    Deleted {
        /// The number of that execution.
        number: u64,
    },
    /// The head at `sealed_row`.
    Present(Box<Head>),
}

/// The tables of heads, in one read transaction.
pub(super) struct HeadTables {
    heads: redb::ReadOnlyTable<u64, &'static [u8]>,
    before: redb::ReadOnlyTable<u64, &'static [u8]>,
}

impl HeadTables {
    pub(super) fn open(txn: &ReadTransaction) -> Result<Self, EngineError> {
        Ok(Self { heads: txn.open_table(HEADS)?, before: txn.open_table(BEFORE)? })
    }

    /// The head at `sealed_row`; `None` if the execution was not there or was deleted.
    pub(super) fn head(&self, number: u64) -> Result<Option<Head>, EngineError> {
        match self.before(number)? {
            Some(before) => Ok(before.head),
            None => self.newest_head(number),
        }
    }

    /// What a sealing that has not ended remembered of an execution, if there is one.
    pub(super) fn before(&self, number: u64) -> Result<Option<BeforeRow>, EngineError> {
        let Some(row) = self.before.get(number)? else { return Ok(None) };
        BeforeRow::decode(number, row.value()).map(Some).map_err(|error| wrong(number, &error))
    }

    /// The first execution from a number on of which a sealing that has not ended remembered something.
    pub(super) fn first_before(&self, from: u64) -> Result<Option<u64>, EngineError> {
        Ok(self.before.range(from..)?.next().transpose()?.map(|(key, _)| key.value()))
    }

    /// The head as it is stored, possibly by a sealing that has not ended.
    pub(super) fn newest_head(&self, number: u64) -> Result<Option<Head>, EngineError> {
        let Some(row) = self.heads.get(number)? else { return Ok(None) };
        let head = decode_head(row.value()).map_err(|error| wrong(number, &error))?;
        if head.number != number {
            return Err(EngineError::corrupt(number, 0, 0, "another head stands here"));
        }
        Ok(Some(head))
    }

    /// The highest number up to this one that has a head.
    pub(super) fn at_or_below(&self, number: u64) -> Result<Option<u64>, EngineError> {
        Ok(self.heads.range(..=number)?.next_back().transpose()?.map(|(key, _)| key.value()))
    }
}

fn wrong(number: u64, error: &RecordError) -> EngineError {
    EngineError::corrupt(number, 0, 0, format!("the head: {error}"))
}

/// The head at `sealed_row`, if there is one; or what is wrong with it.
pub(super) type Found = Result<Option<Head>, Box<Corruption>>;

/// The heads of these executions, in one transaction.
pub(super) fn heads(db: &Database, numbers: impl Iterator<Item = u64>) -> Result<Vec<Found>, EngineError> {
    let tables = HeadTables::open(&db.begin_read()?)?;
    let head = |number| match tables.head(number) {
        Ok(head) => Ok(Ok(head)),
        Err(EngineError::Corrupt(corruption)) => Ok(Err(corruption)),
        Err(error) => Err(error),
    };
    numbers.map(head).collect()
}

/// The id of an execution of which only the number is known. If its head does not tell, all ids are looked
/// through, which is slow.
pub(super) fn id_of(db: &Database, number: u64) -> Result<Option<ExecutionId>, EngineError> {
    let txn = db.begin_read()?;
    if let Ok(Some(head)) = HeadTables::open(&txn)?.head(number) {
        return Ok(Some(head.execution.id.clone()));
    }
    for row in txn.open_table(IDS)?.range::<&str>(..)? {
        let (id, row) = row?;
        if IdRow::decode(row.value()).is_ok_and(|row| row.number == number) {
            return Ok(ExecutionId::parse(id.value()).ok());
        }
    }
    Ok(None)
}

/// Whether an id ever belonged to an execution.
pub(super) fn id_is_taken(db: &Database, id: &str) -> Result<bool, EngineError> {
    Ok(db.begin_read()?.open_table(IDS)?.get(id)?.is_some())
}

/// What the archive knows of an id.
pub(super) fn lookup(db: &Database, id: &ExecutionId) -> Result<Archived, EngineError> {
    let txn = db.begin_read()?;
    let ids = txn.open_table(IDS)?;
    let Some(row) = ids.get(id.as_str())? else { return Ok(Archived::Absent) };
    let row = IdRow::decode(row.value()).map_err(|error| wrong_id(0, id, &error.to_string()))?;
    let tables = HeadTables::open(&txn)?;
    let head = match tables.before(row.number)? {
        Some(BeforeRow { head: None, .. }) => return Ok(Archived::Absent),
        Some(BeforeRow { head, .. }) => head,
        None if row.deleted => return Ok(Archived::Deleted { number: row.number }),
        None => tables.newest_head(row.number)?,
    };
    match head {
        Some(head) if head.execution.id == *id => Ok(Archived::Present(Box::new(head))),
        Some(_) => Err(wrong_id(row.number, id, "the head under this number has another id")),
        None => Err(wrong_id(row.number, id, "there is no head under this number")),
    }
}

fn wrong_id(number: u64, id: &ExecutionId, what: &str) -> EngineError {
    let what = what.to_owned();
    let execution = Some(id.clone());
    EngineError::Corrupt(Box::new(Corruption { number, execution, what, ..Corruption::default() }))
}

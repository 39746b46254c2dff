//! The archive file: everything that was sealed, compressed by execution, with the heads and the
//! indexes at the last sealed journal row. It is written by one sealing at a time and never by the
//! writer; each read is one short transaction that ends before the caller gets its page.
//!
//! A head, an event, an id in here is always as of `sealed_row`: what the journal holds above that
//! row is the caller's to add. Bytes that are wrong are reported, never served.

mod schema;
mod value;
mod chunk;
mod pages;
mod change;
mod units;
mod heads;
mod group;
mod cut;
mod fold;
mod bases;
mod catalogue;
mod settle;
mod seal;
mod clean;
mod read;
mod find;
mod list;
mod generation;
mod cache;
mod all;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use bytes::Bytes;
use redb::{Database, ReadTransaction, ReadableDatabase};

pub(crate) use all::Visibility;
pub(crate) use heads::Archived;
pub(crate) use list::Candidates;
pub(crate) use seal::{SealInput, SealOutcome};
pub(crate) use units::{Gate, SealError, SealPaused};
pub(crate) use value::Meta;

use super::error::EngineError;
use super::format::{FORMAT_KEY, FormatError, check_format, encode_format};
use crate::limits::GENERATIONS_CACHED_MAX;
use crate::{BatchSpan, ExecutionId, Head, ListQuery, PageSize, Producer, Seq, StoreId, StoredEvent};
use cache::SharedCache;
use generation::Generation;
use schema::{META, Tables};
use units::{Budget, Units};

const STATE_KEY: &str = "state";

/// The archive of one store. Shared by all readers and the sealer.
#[derive(Debug)]
pub(crate) struct Archive {
    db: Database,
    /// Held for a whole sealing or cleaning. Nothing is locked while waiting for it.
    sealing: Mutex<()>,
    /// What the archive says of itself, as of the last sealing. Held for a copy only.
    meta: RwLock<Meta>,
    /// How many sealings have made a trim or a deletion part of the archive.
    removals: AtomicU64,
    generations: SharedCache<Generation>,
    budget: Budget,
}

impl Archive {
    /// Makes a new database the archive of a store, in one durable commit.
    pub(crate) fn init(db: &Database, store_id: StoreId) -> Result<(), EngineError> {
        let mut txn = db.begin_write()?;
        txn.set_quick_repair(true);
        let mut tables = Tables::open(&txn)?;
        tables.meta.insert(FORMAT_KEY, encode_format(store_id).as_slice())?;
        tables.meta.insert(STATE_KEY, Meta { next_number: 1, ..Meta::default() }.encode().as_slice())?;
        drop(tables);
        txn.commit()?;
        Ok(())
    }

    /// Takes an opened database that `init` has made an archive.
    pub(crate) fn open(db: Database, store_id: StoreId) -> Result<Self, FormatError> {
        check_format(&db, store_id)?;
        let meta = read_meta(&db)?;
        Ok(Self {
            db,
            sealing: Mutex::new(()),
            meta: RwLock::new(meta),
            removals: AtomicU64::new(0),
            generations: SharedCache::new(GENERATIONS_CACHED_MAX),
            budget: Budget::default(),
        })
    }

    /// Closes the file. Without this, dropping does the same and hides errors.
    pub(crate) fn close(self) -> Result<(), EngineError> {
        Ok(self.db.close()?)
    }

    /// What the archive says of itself.
    pub(crate) fn meta(&self) -> Meta {
        *self.meta.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes in use, without what redb needs for itself and without what is free. Costs nothing.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.meta().used_bytes
    }

    /// Seals commits on top of what is sealed, then frees some of what was trimmed or deleted.
    ///
    /// `gate` is asked before each durable unit. An error means that nothing changed for readers,
    /// except when only the freeing was paused or failed: then the outcome says that it is left.
    pub(crate) fn seal(&self, input: &SealInput, gate: Gate<'_>) -> Result<SealOutcome, SealError> {
        let _alone = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        let sealed = seal::seal(&self.db, self.units(gate)?, input);
        // Also after an error: what is left over takes room.
        self.set_meta(read_meta(&self.db)?);
        let mut outcome = sealed?;
        // After the commit, so that who loaded a generation before it sees this number change; before
        // the return, so that the caller still hides in memory what this commit removes.
        if outcome.removed {
            self.removals.fetch_add(1, Ordering::SeqCst);
        }
        outcome.cleaning_left = match self.clean_alone(gate) {
            Ok(left) => left,
            Err(SealError::Paused) => true,
            Err(error) => return Err(error),
        };
        outcome.meta = self.meta();
        Ok(outcome)
    }

    /// Frees some more of what was trimmed or deleted. Returns whether something is left.
    pub(crate) fn clean(&self, gate: Gate<'_>) -> Result<bool, SealError> {
        let _alone = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        self.clean_alone(gate)
    }

    fn clean_alone(&self, gate: Gate<'_>) -> Result<bool, SealError> {
        let mut units = self.units(gate)?;
        let left = clean::clean(&self.db, &mut units);
        self.set_meta(read_meta(&self.db)?);
        left
    }

    /// What is known of an id.
    pub(crate) fn lookup(&self, id: &ExecutionId) -> Result<Archived, EngineError> {
        heads::lookup(&self.db, id)
    }

    /// The head of an execution; `None` if it is not there or was deleted.
    pub(crate) fn head(&self, number: u64) -> Result<Option<Head>, EngineError> {
        heads::HeadTables::open(&self.db.begin_read()?)?.head(number)
    }

    /// The id of an execution, also if its head is damaged: then this is slow.
    pub(crate) fn id_of(&self, number: u64) -> Result<Option<ExecutionId>, EngineError> {
        heads::id_of(&self.db, number)
    }

    /// The archived events of an execution after a cursor: contiguous, never below the archived floor,
    /// at least one if there is one. Fewer than fit do not mean that there are no more.
    pub(crate) fn read(
        &self,
        number: u64,
        after: Seq,
        size: PageSize,
    ) -> Result<Vec<StoredEvent>, EngineError> {
        read::read(&self.db, number, after, size)
    }

    /// The base that the last archived trim with a base left. A trim that is not archived yet may have
    /// a newer one, which the caller must prefer.
    pub(crate) fn base(&self, number: u64) -> Result<Option<Bytes>, EngineError> {
        bases::base(&self.db, number)
    }

    /// The cursor from which a reader gets the archived events with a time not before `since_ns`, in
    /// nanoseconds since 1970-01-01 UTC: the archived tail if there is none, never below `floor_seq - 1`;
    /// 0 if nothing of the execution is archived.
    pub(crate) fn cursor_at_time(&self, number: u64, since_ns: u64) -> Result<Seq, EngineError> {
        find::cursor_at_time(&self.db, number, since_ns)
    }

    /// The append with this triple, with the digest it came with; `None` if it is not archived, or its
    /// first event is below the archived floor.
    pub(crate) fn find_batch(
        &self,
        number: u64,
        producer: &Producer,
    ) -> Result<Option<(u128, BatchSpan)>, EngineError> {
        find::find_batch(&self.db, number, producer)
    }

    /// The newest archived heads that match a query, at most `query.heads_max`. Heads that changed since
    /// are the caller's to merge.
    pub(crate) fn list_candidates(&self, query: &ListQuery) -> Result<Candidates, EngineError> {
        list::list(&self.db, query)
    }

    /// The database, for a test that damages it.
    #[cfg(test)]
    pub(crate) fn database(&self) -> &Database {
        &self.db
    }

    fn units<'a>(&'a self, gate: Gate<'a>) -> Result<Units<'a>, EngineError> {
        Ok(Units::new(&self.db, self.budget, gate, read_meta(&self.db)?))
    }

    fn removals(&self) -> u64 {
        self.removals.load(Ordering::SeqCst)
    }

    fn set_meta(&self, meta: Meta) {
        *self.meta.write().unwrap_or_else(PoisonError::into_inner) = meta;
    }
}

fn read_meta(db: &Database) -> Result<Meta, EngineError> {
    meta_in(&db.begin_read()?)
}

fn meta_in(txn: &ReadTransaction) -> Result<Meta, EngineError> {
    let meta = txn.open_table(META)?;
    let row = meta.get(STATE_KEY)?.ok_or_else(|| EngineError::corrupt(0, 0, 0, "the state is missing"))?;
    Meta::decode(row.value()).map_err(|error| EngineError::corrupt(0, 0, 0, format!("the state: {error}")))
}

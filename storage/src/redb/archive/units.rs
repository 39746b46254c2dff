//! Durable units: everything is written in commits that reach the disk, each with quick_repair and
//! with a bounded cost, made of slices that do not sync. One unit at a time; before each one the
//! caller's gate is asked, so that nothing is begun while the disk is full.
//!
//! A slice is never left behind without a durable commit after it, except by an error.

use redb::{Database, Durability, ReadableTableMetadata};

use super::super::error::EngineError;
use super::change::Change;
use super::schema::{BEFORE, Tables};
use super::value::Meta;
use crate::limits::{SEAL_SLICE_BYTES, SEAL_UNIT_BYTES};

/// The gate did not open: nothing may be written now. Nothing is lost; seal again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SealPaused;

/// Asked before each durable unit of the archive.
pub(crate) type Gate<'a> = &'a dyn Fn() -> Result<(), SealPaused>;

/// Why a sealing did not end. In both cases the archive is as before for its readers, and the next
/// sealing sets right what was left over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    /// The gate did not open.
    #[error("sealing is paused")]
    Paused,
    /// The input or the archive is damaged, or redb failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<SealPaused> for SealError {
    fn from(SealPaused: SealPaused) -> Self {
        Self::Paused
    }
}

/// How much one commit writes at most, in bytes of pages as [`Change::cost`] counts them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Of a commit that does not sync.
    pub(super) slice_bytes: usize,
    /// Of all slices up to and with a durable commit. A single change may pass it.
    pub(super) unit_bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { slice_bytes: SEAL_SLICE_BYTES, unit_bytes: SEAL_UNIT_BYTES }
    }
}

/// Writes changes in slices and units.
pub(super) struct Units<'a> {
    db: &'a Database,
    pub(super) budget: Budget,
    gate: Gate<'a>,
    /// As of the last durable commit, except for the bytes in use, which are always counted.
    pub(super) meta: Meta,
    slice: Vec<Change>,
    slice_cost: usize,
    unit_cost: usize,
    /// Whether the gate has opened for the unit at hand.
    open: bool,
    /// Whether the rest of the unit at hand must be one commit, whatever it costs.
    together: bool,
    /// Durable commits so far.
    pub(super) commits: u64,
}

impl<'a> Units<'a> {
    pub(super) fn new(db: &'a Database, budget: Budget, gate: Gate<'a>, meta: Meta) -> Self {
        Self {
            db,
            budget,
            gate,
            meta,
            slice: Vec::new(),
            slice_cost: 0,
            unit_cost: 0,
            open: false,
            together: false,
            commits: 0,
        }
    }

    /// Writes a change, sooner or later.
    pub(super) fn push(&mut self, change: Change) -> Result<(), SealError> {
        let cost = change.cost(self.slice.last());
        if !self.together && self.unit_cost > 0 && self.unit_cost + cost > self.budget.unit_bytes {
            self.flush()?;
        }
        self.enter()?;
        self.slice.push(change);
        self.slice_cost += cost;
        self.unit_cost += cost;
        if !self.together && self.slice_cost >= self.budget.slice_bytes {
            self.commit_slice()?;
        }
        Ok(())
    }

    /// Keeps everything from here to the end of the unit in one commit. For changes that readers must
    /// not see one without the other, and that were found to fit.
    pub(super) fn keep_together(&mut self) {
        self.together = true;
    }

    /// What the unit at hand can still take.
    pub(super) fn left(&self) -> usize {
        self.budget.unit_bytes.saturating_sub(self.unit_cost)
    }

    /// Makes all changes so far durable; does nothing if there are none.
    pub(super) fn flush(&mut self) -> Result<(), SealError> {
        if self.open {
            self.commit_durable(|_| Ok(()))?;
        }
        Ok(())
    }

    /// Makes the changes of the unit at hand durable together with a new state. What was remembered of
    /// the heads before is forgotten in the same commit. `last` is in that commit too, never before it:
    /// whoever sees it must see the new state.
    pub(super) fn close(&mut self, meta: Meta, last: Option<Change>) -> Result<Meta, SealError> {
        self.enter()?;
        self.slice.extend(last);
        self.meta = Meta { used_bytes: self.meta.used_bytes, ..meta };
        self.commit_durable(forget_before)?;
        Ok(self.meta)
    }

    fn enter(&mut self) -> Result<(), SealError> {
        if !self.open {
            (self.gate)()?;
            self.open = true;
        }
        Ok(())
    }

    fn commit_slice(&mut self) -> Result<(), EngineError> {
        let mut txn = self.db.begin_write()?;
        txn.set_durability(Durability::None)?;
        self.apply(&txn)?;
        txn.commit()?;
        Ok(())
    }

    fn commit_durable(
        &mut self,
        last: impl FnOnce(&redb::WriteTransaction) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let mut txn = self.db.begin_write()?;
        txn.set_quick_repair(true);
        self.apply(&txn)?;
        last(&txn)?;
        txn.commit()?;
        self.unit_cost = 0;
        self.open = false;
        self.together = false;
        self.commits += 1;
        Ok(())
    }

    fn apply(&mut self, txn: &redb::WriteTransaction) -> Result<(), EngineError> {
        let mut tables = Tables::open(txn)?;
        for change in self.slice.drain(..) {
            let change = change.apply(&mut tables)?;
            self.meta.used_bytes = self.meta.used_bytes.saturating_add_signed(change);
        }
        self.slice_cost = 0;
        tables.meta.insert(super::STATE_KEY, self.meta.encode().as_slice())?;
        Ok(())
    }
}

fn forget_before(txn: &redb::WriteTransaction) -> Result<(), EngineError> {
    if !txn.open_table(BEFORE)?.is_empty()? {
        txn.delete_table(BEFORE)?;
        txn.open_table(BEFORE)?;
    }
    Ok(())
}

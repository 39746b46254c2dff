//! Sealing: what the journal holds up to a row becomes part of the archive, as one generation.
//!
//! Chunks are written first, in as many durable units as they need; nobody looks at them yet. Then
//! heads, ids and indexes, and in the last durable commit of all the new `sealed_row`. If heads, ids
//! and indexes are too many for that one commit, the heads before are remembered in `before` first,
//! and whoever reads a head reads it there until that last commit: so a head in the archive is
//! always the head at `sealed_row`. Nothing of an older generation is removed before the last commit.
//!
//! An execution whose head is damaged must not stop the sealing of all others: its events are stored as
//! chunks and nothing else of it is touched, so that whoever wants it is told of the damage, and no
//! event is lost.
//!
//! A sealing that is cut short at any point changes nothing for readers. The next one, of the same
//! rows or others, first undoes what is left of it.

use bytes::Bytes;
use redb::Database;

use super::super::error::{Corruption, EngineError};
use super::catalogue::Catalogue;
use super::cut::{CutChunk, Scratch};
use super::fold::{Folded, cut_without_head, fold};
use super::group::{Group, Groups, group};
use super::pages::pieces;
use super::units::{SealError, Units};
use super::value::{GenerationRow, Meta};
use super::{change::Change, chunk, heads, settle};
use crate::{Head, Position};

/// Heads that are read in one transaction.
const HEADS_AT_ONCE: usize = 256;

/// What is to be sealed: whole commits, right after those that are.
#[derive(Clone, Debug)]
pub(crate) struct SealInput {
    /// The last journal row of the last commit; becomes `sealed_row`.
    pub(crate) last_row: u64,
    /// The first position, one more than the last sealed one.
    pub(crate) first_position: Position,
    /// The last position; one less than the first if no commit has an event.
    pub(crate) last_position: Position,
    /// The commits in order, each the record frames of everything written at once.
    pub(crate) commits: Vec<Bytes>,
}

/// What a sealing did.
#[derive(Clone, Debug, Default)]
pub(crate) struct SealOutcome {
    /// What the archive says now.
    pub(crate) meta: Meta,
    /// Chunks that were stored.
    pub(crate) chunks: u64,
    /// Bytes of their records.
    pub(crate) raw_bytes: u64,
    /// Bytes of them as they were stored.
    pub(crate) stored_bytes: u64,
    /// Durable commits it took, without those that free.
    pub(crate) durable_commits: u64,
    /// Whether it trimmed or deleted what older sealings had stored.
    pub(crate) removed: bool,
    /// Whether there is more to free, see `Archive::clean`.
    pub(crate) cleaning_left: bool,
    /// Executions whose heads were found to be damaged.
    pub(crate) damaged: Vec<Corruption>,
}

/// Seals `input` on top of what the archive holds.
pub(super) fn seal(db: &Database, mut units: Units<'_>, input: &SealInput) -> Result<SealOutcome, SealError> {
    let (groups, next_number) = group(input, &units.meta)?;
    settle::settle(db, &mut units)?;
    let mut sealing = Sealing {
        db,
        input,
        units,
        catalogue: Catalogue::default(),
        scratch: Scratch::default(),
        outcome: SealOutcome::default(),
    };
    sealing.fold_all(&groups)?;
    sealing.close(next_number)
}

struct Sealing<'a> {
    db: &'a Database,
    input: &'a SealInput,
    units: Units<'a>,
    catalogue: Catalogue,
    scratch: Scratch,
    outcome: SealOutcome,
}

impl Sealing<'_> {
    fn fold_all(&mut self, groups: &Groups) -> Result<(), SealError> {
        let mut rest = groups.iter();
        loop {
            let some: Vec<(u64, &Group)> =
                rest.by_ref().take(HEADS_AT_ONCE).map(|(number, group)| (*number, group)).collect();
            if some.is_empty() {
                return Ok(());
            }
            let heads = heads::heads(self.db, some.iter().map(|(number, _)| *number))?;
            for ((number, group), head) in some.into_iter().zip(heads) {
                self.take(number, head, group)?;
            }
        }
    }

    fn take(&mut self, number: u64, head: heads::Found, group: &Group) -> Result<(), SealError> {
        // An execution of an older sealing that was not deleted has a head.
        let lost = matches!(head, Ok(None)) && !group.created && number < self.units.meta.next_number;
        let head = match head {
            Err(corruption) => return self.store_without_head(*corruption, group),
            Ok(_) if lost => {
                let what = "the head is missing".to_owned();
                return self.store_without_head(Corruption { number, what, ..Corruption::default() }, group);
            }
            Ok(head) => head,
        };
        let folded = self.fold_one(number, head.as_ref(), group)?;
        self.catalogue.add(number, self.input.last_row, head, folded);
        Ok(())
    }

    /// Stores the events of an execution whose head is damaged. Nothing of it is trimmed or deleted.
    fn store_without_head(&mut self, damage: Corruption, group: &Group) -> Result<(), SealError> {
        let Self { input, units, scratch, outcome, .. } = self;
        let generation = input.first_position;
        let mut stored = |chunk: CutChunk| store_chunk(units, outcome, generation, chunk);
        cut_without_head(damage.number, group, &input.commits, scratch, &mut stored)?;
        self.outcome.damaged.push(damage);
        Ok(())
    }

    fn fold_one(&mut self, number: u64, head: Option<&Head>, group: &Group) -> Result<Folded, SealError> {
        let Self { input, units, scratch, outcome, .. } = self;
        let generation = input.first_position;
        let mut stored = |chunk: CutChunk| store_chunk(units, outcome, generation, chunk);
        let folded = fold(number, head, group, &input.commits, scratch, &mut stored)?;
        let new = folded.after.as_ref().or(folded.deleted.as_ref()).filter(|_| folded.created);
        if let Some(head) = new
            && heads::id_is_taken(self.db, head.execution.id.as_str())?
        {
            return Err(EngineError::corrupt(number, 1, 0, "the id belongs to another execution").into());
        }
        Ok(folded)
    }

    fn close(mut self, next_number: u64) -> Result<SealOutcome, SealError> {
        let meta = self.units.meta;
        let (created, deleted) = (self.catalogue.created, self.catalogue.deleted);
        let meta = Meta {
            sealed_row: self.input.last_row,
            sealed_position: self.input.last_position,
            next_number,
            executions: (meta.executions + created).saturating_sub(deleted),
            used_bytes: 0,
        };
        self.outcome.removed = self.catalogue.removed;
        self.catalogue.write(&mut self.units)?;
        let first_position = self.input.first_position;
        // Also if nothing of it is left to store: so a generation that cannot be found is damage.
        let generation = (self.input.last_position >= first_position).then(|| {
            let (last_position, raw_bytes) = (self.input.last_position, self.outcome.raw_bytes);
            let value = GenerationRow { last_position, raw_bytes }.encode(first_position);
            Change::Generation { first_position, value }
        });
        self.outcome.meta = self.units.close(meta, generation)?;
        self.outcome.durable_commits = self.units.commits;
        Ok(self.outcome)
    }
}

fn store_chunk(
    units: &mut Units<'_>,
    outcome: &mut SealOutcome,
    generation: Position,
    chunk: CutChunk,
) -> Result<(), SealError> {
    let CutChunk { header, value, parted_block } = chunk;
    let (number, first_seq) = (header.number, header.first_seq);
    outcome.chunks += 1;
    outcome.raw_bytes += u64::from(header.raw_bytes);
    outcome.stored_bytes += (value.len() + parted_block.as_ref().map_or(0, Vec::len)) as u64;
    // The chunk comes before its parts, so that parts without a chunk cannot be left over.
    units.push(Change::Chunk { generation, number, first_seq, value })?;
    for (part, bytes) in parted_block.iter().flat_map(|block| pieces(block)) {
        let value = chunk::encode_part(number, first_seq, part, bytes);
        units.push(Change::ChunkPart { number, first_seq, part, value })?;
    }
    Ok(())
}

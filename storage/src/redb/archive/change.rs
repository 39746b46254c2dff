//! One change of the archive: what it does to the tables, and what it costs.
//! Everything that is ever written goes through here, so that the bytes in use are counted.

use redb::ReadableTable;

use super::super::error::EngineError;
use super::pages;
use super::schema::Tables;
use super::value::GenerationRow;
use crate::{Position, Seq};

/// A change. Repeating one has no further effect. The order of the variants is the order in which
/// a list of changes is sorted, so that each table is written from left to right.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    /// Remembers the head of an execution before its changes.
    Before { number: u64, value: Vec<u8> },
    /// Stores the head of an execution, or removes it.
    Head { number: u64, value: Option<Vec<u8>> },
    /// Says whose an id is, or forgets it, which only the undoing of a creation does.
    Id { id: String, value: Option<Vec<u8>> },
    /// Lists an execution under a session, or no longer.
    Session { session: String, number: u64, listed: bool },
    /// Lists an execution under a phase, or no longer.
    Phase { phase: u8, number: u64, listed: bool },
    /// Lists an execution under a label, or no longer.
    Label { label: String, number: u64, listed: bool },
    /// Stores one piece of a base.
    BasePart { number: u64, row: u64, part: u32, value: Vec<u8> },
    /// Removes one piece of a base.
    RemoveBasePart { number: u64, row: u64, part: u32 },
    /// Marks an execution as one that may have something to free, or no longer.
    Garbage { number: u64, present: bool },
    /// Stores a chunk and its place in a generation.
    Chunk { generation: Position, number: u64, first_seq: Seq, value: Vec<u8> },
    /// Stores one piece of a long block.
    ChunkPart { number: u64, first_seq: Seq, part: u32, value: Vec<u8> },
    /// Removes one piece of a long block.
    RemoveChunkPart { number: u64, first_seq: Seq, part: u32 },
    /// Removes a chunk and its place, and takes its bytes from those of the generation.
    RemoveChunk { generation: Position, number: u64, first_seq: Seq, raw_bytes: u32 },
    /// Stores a generation.
    Generation { first_position: Position, value: Vec<u8> },
    /// Forgets what was remembered of one execution.
    RemoveBefore { number: u64 },
}

impl Change {
    /// Bytes of pages that are written anew for this change, when it follows `previous` in a commit: an
    /// upper estimate, never much too low.
    pub(super) fn cost(&self, previous: Option<&Self>) -> usize {
        let value_bytes = self.value_bytes();
        let alone = match self {
            // A second table is touched, at the right edge when a chunk comes, anywhere when it goes;
            // then also the row of the generation.
            Self::Chunk { .. } => pages::scattered(value_bytes) + pages::footprint(self.key_bytes(), 0),
            Self::RemoveChunk { .. } => 3 * pages::scattered(0),
            _ => pages::scattered(value_bytes),
        };
        let Some(entries) = previous.and_then(|previous| self.entries_after(previous)) else { return alone };
        // The leaves in between are written too, and may be only half full.
        let entry_bytes = 2 * pages::footprint(self.key_bytes(), value_bytes);
        usize::try_from(entries).unwrap_or(usize::MAX).saturating_mul(entry_bytes).min(alone)
    }

    fn value_bytes(&self) -> usize {
        match self {
            Self::Before { value, .. }
            | Self::BasePart { value, .. }
            | Self::Chunk { value, .. }
            | Self::ChunkPart { value, .. }
            | Self::Generation { value, .. } => value.len(),
            Self::Head { value, .. } | Self::Id { value, .. } => value.as_ref().map_or(0, Vec::len),
            _ => 0,
        }
    }

    fn key_bytes(&self) -> usize {
        match self {
            Self::Before { .. } | Self::Head { .. } | Self::Garbage { .. } => 8,
            Self::Generation { .. } | Self::RemoveBefore { .. } => 8,
            Self::Id { id: text, .. } => text.len(),
            Self::Session { session: text, .. } | Self::Label { label: text, .. } => text.len() + 8,
            Self::Phase { .. } => 9,
            Self::BasePart { .. } | Self::RemoveBasePart { .. } => 20,
            Self::ChunkPart { .. } | Self::RemoveChunkPart { .. } => 20,
            Self::Chunk { .. } | Self::RemoveChunk { .. } => 16 + 24,
        }
    }

    /// How many entries about as long as this one lie between the previous change and the end of this
    /// one, at most; `None` if nothing is known of it.
    fn entries_after(&self, previous: &Self) -> Option<u64> {
        let (a, b) = match (self, previous) {
            (Self::Before { number: a, .. }, Self::Before { number: b, .. })
            | (Self::Head { number: a, .. }, Self::Head { number: b, .. })
            | (Self::Garbage { number: a, .. }, Self::Garbage { number: b, .. })
            | (Self::RemoveBefore { number: a }, Self::RemoveBefore { number: b }) => (a, b),
            // New executions stand at the right edge; between others lie all their older chunks.
            (Self::Chunk { number: a, first_seq: 1, .. }, Self::Chunk { number: b, first_seq: 1, .. }) => {
                (a, b)
            }
            (Self::Phase { phase: p, number: a, .. }, Self::Phase { phase: q, number: b, .. }) if p == q => {
                (a, b)
            }
            (Self::Session { session: p, number: a, .. }, Self::Session { session: q, number: b, .. })
            | (Self::Label { label: p, number: a, .. }, Self::Label { label: q, number: b, .. })
                if p == q =>
            {
                (a, b)
            }
            _ => return None,
        };
        Some(a.abs_diff(*b))
    }

    /// Does it. Returns by how many bytes the use of the file changed.
    pub(super) fn apply(&self, tables: &mut Tables<'_>) -> Result<i64, EngineError> {
        let key_bytes = self.key_bytes();
        match self {
            // Not counted: these rows go all at once when the sealing ends.
            Self::Before { number, value } => {
                put(&mut tables.before, *number, key_bytes, Some(value)).map(|_| 0)
            }
            Self::RemoveBefore { number } => put(&mut tables.before, *number, key_bytes, None).map(|_| 0),
            Self::Head { number, value } => put(&mut tables.heads, *number, key_bytes, value.as_deref()),
            Self::Id { id, value } => put(&mut tables.ids, id.as_str(), key_bytes, value.as_deref()),
            Self::Session { session, number, listed } => {
                mark(&mut tables.by_session, (session.as_str(), *number), key_bytes, *listed)
            }
            Self::Phase { phase, number, listed } => {
                mark(&mut tables.by_phase, (*phase, *number), key_bytes, *listed)
            }
            Self::Label { label, number, listed } => {
                mark(&mut tables.by_label, (label.as_str(), *number), key_bytes, *listed)
            }
            Self::BasePart { number, row, part, value } => {
                put(&mut tables.bases, (*number, *row, *part), key_bytes, Some(value))
            }
            Self::RemoveBasePart { number, row, part } => {
                put(&mut tables.bases, (*number, *row, *part), key_bytes, None)
            }
            Self::Garbage { number, present } => mark(&mut tables.garbage, *number, key_bytes, *present),
            Self::ChunkPart { number, first_seq, part, value } => {
                put(&mut tables.chunk_parts, (*number, *first_seq, *part), key_bytes, Some(value))
            }
            Self::RemoveChunkPart { number, first_seq, part } => {
                put(&mut tables.chunk_parts, (*number, *first_seq, *part), key_bytes, None)
            }
            Self::Chunk { generation, number, first_seq, value } => {
                let place = (*generation, *number, *first_seq);
                let placed = mark(&mut tables.generation_chunks, place, 24, true)?;
                Ok(placed + put(&mut tables.chunks, (*number, *first_seq), 16, Some(value))?)
            }
            Self::RemoveChunk { generation, number, first_seq, raw_bytes } => {
                remove_chunk(tables, (*generation, *number, *first_seq), *raw_bytes)
            }
            Self::Generation { first_position, value } => {
                put(&mut tables.generations, *first_position, key_bytes, Some(value))
            }
        }
    }
}

fn remove_chunk(
    tables: &mut Tables<'_>,
    place: (Position, u64, Seq),
    raw_bytes: u32,
) -> Result<i64, EngineError> {
    let (generation, number, first_seq) = place;
    let mut change = mark(&mut tables.generation_chunks, place, 24, false)?;
    // Not if it was removed before: its bytes are counted once.
    if change != 0 {
        change += shrink(tables, generation, raw_bytes)?;
    }
    Ok(change + put(&mut tables.chunks, (number, first_seq), 16, None)?)
}

/// Takes the bytes of a chunk from those of its generation, if that has a row: it gets one when its sealing
/// ends. A damaged row is left to its readers, who are told; freeing must not stop for it.
fn shrink(tables: &mut Tables<'_>, generation: Position, raw_bytes: u32) -> Result<i64, EngineError> {
    let row = tables.generations.get(generation)?.map(|row| GenerationRow::decode(generation, row.value()));
    let Some(Ok(row)) = row else { return Ok(0) };
    let left = GenerationRow { raw_bytes: row.raw_bytes.saturating_sub(raw_bytes.into()), ..row };
    put(&mut tables.generations, generation, 8, Some(&left.encode(generation)))
}

fn put<'k, K: redb::Key + 'static>(
    table: &mut redb::Table<'_, K, &'static [u8]>,
    key: impl std::borrow::Borrow<K::SelfType<'k>>,
    key_bytes: usize,
    value: Option<&[u8]>,
) -> Result<i64, EngineError> {
    let old = match value {
        Some(value) => table.insert(key, value)?,
        None => table.remove(key)?,
    };
    let bytes = |length: usize| pages::footprint(key_bytes, length) as i64;
    let old = old.map_or(0, |old| bytes(old.value().len()));
    Ok(value.map_or(0, |value| bytes(value.len())) - old)
}

fn mark<'k, K: redb::Key + 'static>(
    table: &mut redb::Table<'_, K, ()>,
    key: impl std::borrow::Borrow<K::SelfType<'k>>,
    key_bytes: usize,
    present: bool,
) -> Result<i64, EngineError> {
    let was = if present { table.insert(key, ())?.is_some() } else { table.remove(key)?.is_some() };
    let bytes = pages::footprint(key_bytes, 0) as i64;
    Ok((i64::from(present) - i64::from(was)) * bytes)
}

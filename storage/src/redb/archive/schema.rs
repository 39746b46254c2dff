//! Every table of the archive, with its key and its value. A value is a record frame
//! (version, kind, length, crc32c, body, see [`crate::record`]) or empty; its body is described
//! beside its codec. Never change a key or a value: add a table, or a record version.

use redb::{ReadTransaction, Table, TableDefinition, WriteTransaction};

use super::super::error::EngineError;
pub(super) use super::super::format::META;

type Rows<K> = TableDefinition<'static, K, &'static [u8]>;
type Marks<K> = TableDefinition<'static, K, ()>;

/// A table in a write transaction, its values bytes.
pub(super) type RowsMut<'txn, K> = Table<'txn, K, &'static [u8]>;
/// A table in a write transaction, without values.
pub(super) type MarksMut<'txn, K> = Table<'txn, K, ()>;

/// Key: number of an execution. Value: its head, at `sealed_row` unless `before` says otherwise.
pub(super) const HEADS: Rows<u64> = TableDefinition::new("heads");
/// Key: number of an execution that a sealing in several durable commits is changing.
/// Value: its head at `sealed_row`, or that it was not there. Empty between sealings.
pub(super) const BEFORE: Rows<u64> = TableDefinition::new("before");
/// Key: id of an execution. Value: its number, and whether it was deleted. Never removed.
pub(super) const IDS: Rows<&str> = TableDefinition::new("ids");
/// Key: session and number of each execution that has a session.
pub(super) const BY_SESSION: Marks<(&str, u64)> = TableDefinition::new("by_session");
/// Key: number of a phase, number of an execution.
pub(super) const BY_PHASE: Marks<(u8, u64)> = TableDefinition::new("by_phase");
/// Key: label as [`label_key`] writes it, number of an execution.
pub(super) const BY_LABEL: Marks<(&str, u64)> = TableDefinition::new("by_label");
/// Key: number of an execution, seq of the first event inside. Value: a chunk of its events.
pub(super) const CHUNKS: Rows<(u64, u64)> = TableDefinition::new("chunks");
/// Key: as `chunks`, and part from 0. Value: a piece of a block that is too long for one value.
pub(super) const CHUNK_PARTS: Rows<(u64, u64, u32)> = TableDefinition::new("chunk_parts");
/// Key: first position of a generation. Value: its last position, its raw bytes.
pub(super) const GENERATIONS: Rows<u64> = TableDefinition::new("generations");
/// Key: first position of a generation, then the key of each chunk that was sealed with it.
/// Rows above the last sealed position are left over from a sealing that did not end.
pub(super) const GENERATION_CHUNKS: Marks<(u64, u64, u64)> = TableDefinition::new("gen_chunks");
/// Key: number of an execution, row at which the sealing ends that brought the base, part from 0.
/// Value: a piece of the base. In force is the one with the highest row up to `sealed_row`.
pub(super) const BASES: Rows<(u64, u64, u32)> = TableDefinition::new("bases");
/// Key: number of an execution that was trimmed or deleted and may still have chunks to free.
pub(super) const GARBAGE: Marks<u64> = TableDefinition::new("garbage");

/// All tables, opened in one write transaction. Opening creates those that are missing.
pub(super) struct Tables<'txn> {
    pub(super) meta: RowsMut<'txn, &'static str>,
    pub(super) heads: RowsMut<'txn, u64>,
    pub(super) before: RowsMut<'txn, u64>,
    pub(super) ids: RowsMut<'txn, &'static str>,
    pub(super) by_session: MarksMut<'txn, (&'static str, u64)>,
    pub(super) by_phase: MarksMut<'txn, (u8, u64)>,
    pub(super) by_label: MarksMut<'txn, (&'static str, u64)>,
    pub(super) chunks: RowsMut<'txn, (u64, u64)>,
    pub(super) chunk_parts: RowsMut<'txn, (u64, u64, u32)>,
    pub(super) generations: RowsMut<'txn, u64>,
    pub(super) generation_chunks: MarksMut<'txn, (u64, u64, u64)>,
    pub(super) bases: RowsMut<'txn, (u64, u64, u32)>,
    pub(super) garbage: MarksMut<'txn, u64>,
}

impl<'txn> Tables<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self, EngineError> {
        Ok(Self {
            meta: txn.open_table(META)?,
            heads: txn.open_table(HEADS)?,
            before: txn.open_table(BEFORE)?,
            ids: txn.open_table(IDS)?,
            by_session: txn.open_table(BY_SESSION)?,
            by_phase: txn.open_table(BY_PHASE)?,
            by_label: txn.open_table(BY_LABEL)?,
            chunks: txn.open_table(CHUNKS)?,
            chunk_parts: txn.open_table(CHUNK_PARTS)?,
            generations: txn.open_table(GENERATIONS)?,
            generation_chunks: txn.open_table(GENERATION_CHUNKS)?,
            bases: txn.open_table(BASES)?,
            garbage: txn.open_table(GARBAGE)?,
        })
    }
}

/// The tables that hold the events of executions, in one read transaction.
pub(super) struct EventTables {
    pub(super) chunks: redb::ReadOnlyTable<(u64, u64), &'static [u8]>,
    pub(super) chunk_parts: redb::ReadOnlyTable<(u64, u64, u32), &'static [u8]>,
}

impl EventTables {
    pub(super) fn open(txn: &ReadTransaction) -> Result<Self, EngineError> {
        Ok(Self { chunks: txn.open_table(CHUNKS)?, chunk_parts: txn.open_table(CHUNK_PARTS)? })
    }
}

/// A label as one text from which key and value can be told apart, whatever they contain.
pub(super) fn label_key(key: &str, value: &str) -> String {
    format!("{}:{key}={value}", key.len())
}

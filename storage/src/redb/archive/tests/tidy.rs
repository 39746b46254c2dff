//! Nothing may be left in the tables that nothing refers to, and the bytes in use must be right.

use std::collections::{BTreeMap, BTreeSet};

use redb::{ReadableDatabase, ReadableTableMetadata};

use super::super::chunk::Chunk;
use super::super::heads::HeadTables;
use super::super::schema::{
    BASES, BEFORE, BY_LABEL, BY_PHASE, BY_SESSION, CHUNK_PARTS, CHUNKS, GARBAGE, GENERATION_CHUNKS,
    GENERATIONS, HEADS, IDS,
};
use super::super::value::GenerationRow;
use super::super::{Archive, pages};

/// Looks at every row; the archive must have been cleaned to the end.
pub(super) fn check_tidy(archive: &Archive) {
    check_chunks(archive);
    check_bases(archive);
    assert_eq!(archive.used_bytes(), counted_bytes(archive));
}

fn check_chunks(archive: &Archive) {
    let txn = archive.db.begin_read().expect("reads");
    let heads = HeadTables::open(&txn).expect("reads");
    let rows = |table| txn.open_table(table).expect("is there");
    let (mut places, mut generations) = (BTreeMap::new(), BTreeMap::new());
    for row in
        txn.open_table(GENERATION_CHUNKS).expect("is there").range::<(u64, u64, u64)>(..).expect("reads")
    {
        let (generation, number, first_seq) = row.expect("reads").0.value();
        let twice = places.insert((number, first_seq), generation);
        assert!(twice.is_none(), "a chunk is in two generations");
    }
    let mut parts = BTreeSet::new();
    for row in rows(CHUNKS).range::<(u64, u64)>(..).expect("reads") {
        let (key, value) = row.expect("reads");
        let header = Chunk::decode(key.value(), value.value()).expect("sound").header;
        let generation = places.remove(&key.value());
        let generation = generation.unwrap_or_else(|| panic!("chunk {:?} is in no generation", key.value()));
        *generations.entry(generation).or_insert(0) += u64::from(header.raw_bytes);
        let head = heads.head(header.number).expect("sound").expect("a chunk belongs to an execution");
        assert!(header.last_seq >= head.floor_seq && header.last_seq <= head.tail_seq);
        parts.extend((0..header.parts).map(|part| (header.number, header.first_seq, part)));
    }
    assert!(places.is_empty(), "a generation names chunks that are not there: {places:?}");
    for row in txn.open_table(CHUNK_PARTS).expect("is there").range::<(u64, u64, u32)>(..).expect("reads") {
        assert!(parts.remove(&row.expect("reads").0.value()), "a part has no chunk");
    }
    assert!(parts.is_empty());
    let mut next_position = 1;
    for row in txn.open_table(GENERATIONS).expect("is there").range::<u64>(..).expect("reads") {
        let (key, value) = row.expect("reads");
        let row = GenerationRow::decode(key.value(), value.value()).expect("sound");
        assert_eq!(key.value(), next_position, "generations leave no position out");
        next_position = row.last_position + 1;
        assert_eq!(row.raw_bytes, generations.remove(&key.value()).unwrap_or(0));
    }
    assert!(generations.is_empty());
    assert_eq!(next_position, archive.meta().sealed_position + 1);
    assert!(txn.open_table(BEFORE).expect("is there").is_empty().expect("reads"));
    assert!(txn.open_table(GARBAGE).expect("is there").is_empty().expect("reads"));
}

fn check_bases(archive: &Archive) {
    let txn = archive.db.begin_read().expect("reads");
    let mut rows = BTreeSet::new();
    for row in txn.open_table(BASES).expect("is there").range::<(u64, u64, u32)>(..).expect("reads") {
        let (number, row, _) = row.expect("reads").0.value();
        rows.insert((number, row));
    }
    let numbers: BTreeSet<u64> = rows.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers.len(), rows.len(), "an execution has two bases: {rows:?}");
}

fn counted_bytes(archive: &Archive) -> u64 {
    let txn = archive.db.begin_read().expect("reads");
    let mut bytes = 0;
    macro_rules! count {
        ($($table:ident: $key:ty, $key_bytes:expr, $value_bytes:expr;)*) => {$(
            let table = txn.open_table($table).expect("is there");
            for row in table.range::<$key>(..).expect("reads") {
                let (key, value) = row.expect("reads");
                let (key_bytes, value_bytes): (usize, usize) = ($key_bytes(key.value()), $value_bytes(value.value()));
                bytes += pages::footprint(key_bytes, value_bytes);
            }
        )*};
    }
    let (long, none) = (|value: &[u8]| value.len(), |()| 0);
    count! {
        HEADS: u64, |_| 8, long;
        IDS: &str, |id: &str| id.len(), long;
        BY_SESSION: (&str, u64), |key: (&str, u64)| key.0.len() + 8, none;
        BY_LABEL: (&str, u64), |key: (&str, u64)| key.0.len() + 8, none;
        BY_PHASE: (u8, u64), |_| 9, none;
        CHUNKS: (u64, u64), |_| 16, long;
        CHUNK_PARTS: (u64, u64, u32), |_| 20, long;
        GENERATIONS: u64, |_| 8, long;
        GENERATION_CHUNKS: (u64, u64, u64), |_| 24, none;
        BASES: (u64, u64, u32), |_| 20, long;
        GARBAGE: u64, |_| 8, none;
    }
    bytes as u64
}

//! The bytes of every value of the archive are what they have always been, and wincode, the way out
//! of bincode, reads and writes them too.

use super::super::chunk::{Chunk, Header, Mark, decode_part, encode_part};
use super::super::value::{BasePart, BeforeRow, GenerationRow, IdRow, Meta};
use super::support::STORE;
use crate::record::tests::golden::{check, stored};
use crate::record::tests::wincode::read_by_wincode;
use crate::record::{EventRecord, decode_head};
use crate::redb::format::{decode_format, encode_format};

const META: Meta =
    Meta { sealed_row: 300, sealed_position: 70_000, next_number: 8, executions: 6, used_bytes: 1 << 33 };

#[test]
fn small_values_have_the_bytes_they_have_always_had() {
    assert_eq!(decode_format(&stored("format")), Ok((1, STORE)));
    check("format", &encode_format(STORE));
    assert_eq!(Meta::decode(&stored("state")), Ok(META));
    check("state", &META.encode());
    for (name, deleted) in [("id", false), ("id-deleted", true)] {
        let row = IdRow { number: 7, deleted };
        assert_eq!(IdRow::decode(&stored(name)), Ok(row));
        check(name, &row.encode());
    }
    let row = GenerationRow { last_position: 70_000, raw_bytes: 1 << 24 };
    assert_eq!(GenerationRow::decode(251, &stored("generation")), Ok(row));
    check("generation", &row.encode(251));
    let part = BasePart { number: 7, row: 300, part: 1, parts: 2, bytes: b"folded" };
    assert_eq!(BasePart::decode((7, 300, 1), &stored("base")), Ok(part));
    check("base", &part.encode());
}

#[test]
fn heads_before_a_sealing_have_the_bytes_they_have_always_had() {
    let head = decode_head(&stored("head")).expect("a golden head");
    for (name, head) in [("before", Some(head)), ("before-absent", None)] {
        let row = BeforeRow { id: "aex-1".to_owned(), head };
        check(name, &BeforeRow::encode(7, &row.id, row.head.as_ref()));
        assert_eq!(BeforeRow::decode(7, &stored(name)), Ok(row));
    }
}

/// Two events, as the records that stood in the journal.
fn records() -> Vec<u8> {
    let mut records = Vec::new();
    for (seq, position) in [(251, 70_000), (252, 70_003)] {
        let event = EventRecord {
            number: 7,
            seq,
            position,
            record_time_ns: seq * 1_000_000_007,
            type_tag: 21,
            custom_type: None,
            head_change: None,
            batch: None,
            payload: b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        };
        event.encode(&mut records);
    }
    records
}

fn header(compressed: bool, parts: u32) -> Header {
    Header {
        number: 7,
        first_seq: 251,
        last_seq: 252,
        first_position: 70_000,
        last_position: 70_003,
        first_time_ns: 251 * 1_000_000_007,
        last_time_ns: 252 * 1_000_000_007,
        raw_bytes: records().len() as u32,
        compressed,
        parts,
    }
}

#[test]
fn chunks_have_the_bytes_they_have_always_had() {
    let records = records();
    for (name, compressed, parts) in
        [("chunk", false, 0), ("chunk-compressed", true, 0), ("chunk-in-parts", false, 1)]
    {
        let value = stored(name);
        let chunk = Chunk::decode((7, 251), &value).expect("a golden chunk");
        assert_eq!(chunk.header, header(compressed, parts));
        assert_eq!(chunk.marks, [Mark { id: "run-1", epoch: 2, seq: 300 }]);
        let part = stored("chunk-part");
        let block = match parts {
            0 => chunk.block,
            _ => decode_part((7, 251, 0), &part).expect("a golden part"),
        };
        // What a compressor makes of it may change; what is read from old bytes may not.
        assert_eq!(chunk.header.expand(block).expect("it expands"), records, "{name}");
        check(name, &chunk.encode());
    }
    check("chunk-part", &encode_part(7, 251, 0, &records));
}

#[test]
fn wincode_reads_and_writes_the_same_bytes_for_every_value_of_the_archive() {
    let id = STORE.0.to_le_bytes();
    assert_eq!(read_by_wincode!((u32, [u8; 16]), stored("format")), (1, id));
    let state = (META.sealed_row, META.sealed_position, META.next_number, META.executions, META.used_bytes);
    assert_eq!(read_by_wincode!((u64, u64, u64, u64, u64), stored("state")), state);
    assert_eq!(read_by_wincode!((u64, bool), stored("id-deleted")), (7, true));
    assert_eq!(read_by_wincode!((u64, u64, u64), stored("generation")), (251, 70_000, 1 << 24));
    let head = stored("head");
    let before = stored("before");
    assert_eq!(read_by_wincode!((u64, &str, Option<&[u8]>), before), (7, "aex-1", Some(&head[..])));
    let base = stored("base");
    assert_eq!(read_by_wincode!((u64, u64, u32, u32, &[u8]), base), (7, 300, 1, 2, &b"folded"[..]));
    let (part, records) = (stored("chunk-part"), records());
    assert_eq!(read_by_wincode!((u64, u64, u32, &[u8]), part), (7, 251, 0, &records[..]));
    type Numbers = (u64, u64, u64, u64, u64, u64, u64, u32, bool, u32);
    type Marks<'a> = Vec<(&'a str, u64, u64)>;
    let value = stored("chunk");
    let (numbers, marks, block) = read_by_wincode!((Numbers, Marks<'_>, &[u8]), value);
    let times = (251 * 1_000_000_007, 252 * 1_000_000_007);
    let raw_bytes = records.len() as u32;
    assert_eq!(numbers, (7, 251, 252, 70_000, 70_003, times.0, times.1, raw_bytes, false, 0));
    assert_eq!((marks, block), (vec![("run-1", 2, 300)], &records[..]));
}

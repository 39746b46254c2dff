//! Golden bytes: one file for each kind of stored value, in hexadecimal, under `storage/tests/golden/`.
//! They are what version 1 is: a file is added with a new kind or version and never changed.

use std::path::PathBuf;

use super::super::*;
use super::samples::{creation, event, head, plain_event, trim};

/// The committed bytes of this name.
pub(crate) fn stored(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.hex"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{} is part of the tests: {error}", path.display()));
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).expect("digits are ASCII"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("two digits a byte")).collect()
}

/// Refuses bytes that are not the committed ones of this name.
pub(crate) fn check(name: &str, bytes: &[u8]) {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(bytes), hex(&stored(name)), "the stored bytes of `{name}` have changed");
}

#[test]
fn every_record_has_the_bytes_it_has_always_had() {
    let records = [
        ("creation", Record::Create(creation())),
        ("event", Record::Event(event())),
        ("event-plain", Record::Event(plain_event())),
        ("deletion", Record::Delete(DeleteRecord { number: 7 })),
        ("trim", Record::Trim(trim())),
        ("trim-without-base", Record::Trim(TrimRecord { base: None, ..trim() })),
    ];
    for (name, record) in records {
        let bytes = stored(name);
        assert_eq!(Record::decode(&bytes), Ok((record.clone(), bytes.len())), "{name}");
        let mut encoded = Vec::new();
        record.encode(&mut encoded);
        check(name, &encoded);
    }
}

#[test]
fn a_head_has_the_bytes_it_has_always_had() {
    assert_eq!(decode_head(&stored("head")), Ok(head()));
    let mut encoded = Vec::new();
    encode_head(&mut encoded, &head());
    check("head", &encoded);
}

#[test]
fn the_digest_of_an_append_is_what_it_has_always_been() {
    let events = [
        crate::NewEvent {
            type_tag: 30,
            custom_type: Some("build.step".into()),
            payload: bytes::Bytes::from_static(b"\xf2\x01\x03abc"),
            head_change: None,
        },
        crate::NewEvent { type_tag: 13, payload: bytes::Bytes::from_static(b"xy"), ..Default::default() },
    ];
    let digest = crate::digest_events(&events);
    check("digest", &digest.to_le_bytes());
    // One run over the concatenation, as `docs/format.md` says.
    let mut input = Vec::new();
    for event in &events {
        let custom_type = event.custom_type.as_deref().unwrap_or_default();
        input.extend_from_slice(&event.type_tag.to_le_bytes());
        input.extend_from_slice(&(custom_type.len() as u64).to_le_bytes());
        input.extend_from_slice(custom_type.as_bytes());
        input.extend_from_slice(&(event.payload.len() as u64).to_le_bytes());
        input.extend_from_slice(&event.payload);
    }
    assert_eq!(xxhash_rust::xxh3::xxh3_128(&input), digest);
}

//! Replays what the fuzzers have found worth keeping, and some random inputs.

use std::path::Path;

use proptest::prelude::*;

use super::{record_decode, store_ops};

fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut replayed = 0;
    for entry in std::fs::read_dir(folder).expect("the target has a corpus") {
        body(&std::fs::read(entry.expect("an entry is readable").path()).expect("an input is readable"));
        replayed += 1;
    }
    assert!(replayed > 0, "the corpus of {target} is empty");
}

#[test]
fn the_corpus_of_record_decode_breaks_no_promise() {
    replay("record_decode", record_decode);
}

#[test]
fn the_corpus_of_store_ops_breaks_no_promise() {
    replay("store_ops", store_ops);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn no_bytes_break_the_record_codec(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0u8..14) {
        record_decode(&bytes);
        record_decode(&[&[kind], bytes.as_slice()].concat());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_store_does_as_the_model_does_whatever_the_operations(input in prop::collection::vec(any::<u8>(), 0..600)) {
        store_ops(&input);
    }
}

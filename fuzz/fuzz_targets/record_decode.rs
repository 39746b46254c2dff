//! Any bytes as a record. The body is a library function, so that ordinary tests replay the corpus.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tapeline_storage::test_util::fuzz::record_decode(input));

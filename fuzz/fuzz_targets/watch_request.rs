//! Any bytes as a request to watch, against what the log holds. The body is a library function, so that
//! ordinary tests replay the corpus.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tapeline::fuzz::watch_request(input));

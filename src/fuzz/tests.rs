//! Replays what the fuzzer has found worth keeping, and random requests.

use std::path::Path;

use proptest::prelude::*;
use prost::Message;

use super::watch_request;
use crate::proto::v1::WatchRequest;
use crate::proto::v1::watch_request::Start;

#[test]
fn the_corpus_of_watch_request_breaks_no_promise() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/watch_request");
    let mut replayed = 0;
    for entry in std::fs::read_dir(folder).expect("the target has a corpus") {
        watch_request(&std::fs::read(entry.expect("an entry is readable").path()).expect("it is readable"));
        replayed += 1;
    }
    assert!(replayed > 0, "the corpus is empty");
}

fn request() -> impl Strategy<Value = WatchRequest> {
    let start = prop_oneof![
        Just(None),
        (0u64..14).prop_map(|seq| Some(Start::AfterSeq(seq))),
        (0u32..14).prop_map(|events| Some(Start::Tail(events))),
        any::<bool>().prop_map(|live| Some(Start::Live(live))),
    ];
    let name =
        prop::sample::select(vec!["output", "out*", "no*", "note", "custom", "*", "a*", "created", "x", ""]);
    let names = prop::collection::vec(name.prop_map(str::to_owned), 0..3);
    (start, names, any::<bool>(), any::<bool>(), 0i32..4).prop_map(
        |(start, event_types, stop_at_tail, wait_for_create, on_trimmed)| WatchRequest {
            start,
            event_types,
            stop_at_tail,
            wait_for_create,
            on_trimmed,
            ..WatchRequest::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn a_watch_says_what_the_log_holds_whatever_is_asked(request in request(), id in 0usize..3) {
        // The target chooses the execution by the length of its input.
        let request = WatchRequest { execution_id: "x".repeat(id + 1), ..request };
        watch_request(&request.encode_to_vec());
    }

    #[test]
    fn no_bytes_break_a_watch(input in prop::collection::vec(any::<u8>(), 0..60)) {
        watch_request(&input);
    }
}

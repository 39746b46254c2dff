//! A cursor that is older than what is kept, at the start and in mid-stream.

use super::support::{House, output, request, seqs, words};
use crate::proto::v1::watch_request::{OnTrimmed, Start};
use crate::proto::v1::{WatchRequest, watch_response::Frame};
use crate::watch::WatchError;

fn after(seq: u64, on_trimmed: OnTrimmed) -> WatchRequest {
    let start = Some(Start::AfterSeq(seq));
    WatchRequest { start, on_trimmed: on_trimmed.into(), stop_at_tail: true, ..request("run") }
}

#[tokio::test]
async fn an_old_cursor_gets_an_error_with_the_floor_before_anything_is_sent() {
    let house = House::open().await;
    house.create("run").await;
    house.append_each("run", 9).await;
    house.trim("run", 6).await;
    let expected = WatchError::Trimmed { floor_seq: 6, tail_seq: 10 };
    assert_eq!(house.refused(after(4, OnTrimmed::Error)).await, expected);
    assert_eq!(house.refused(after(0, OnTrimmed::Unspecified)).await, expected);
    let rest = house.watch(after(5, OnTrimmed::Error)).await.rest().await;
    assert_eq!(seqs(&rest), [6, 7, 8, 9, 10], "one below the floor is valid");
}

#[tokio::test]
async fn an_old_cursor_gets_one_gap_and_then_events_from_the_floor_if_asked_for() {
    let house = House::open().await;
    house.create("run").await;
    house.append_each("run", 9).await;
    house.trim("run", 6).await;
    let frames = words(&house.watch(after(2, OnTrimmed::Gap)).await.rest().await);
    let expected = ["hello 6..=10", "gap 3..=5", "events 6,7,8,9,10", "caught up 10", "end REASON_TAIL 10"];
    assert_eq!(frames, expected);
}

#[tokio::test]
async fn a_log_that_is_trimmed_to_its_end_is_a_gap_and_nothing_else() {
    let house = House::open().await;
    house.create("run").await;
    house.append_each("run", 2).await;
    house.trim("run", 4).await;
    let frames = words(&house.watch(after(0, OnTrimmed::Gap)).await.rest().await);
    assert_eq!(frames, ["hello 4..=3", "gap 1..=3", "caught up 3", "end REASON_TAIL 3"]);
}

/// A watcher in the middle of a replay whose next page is trimmed away.
async fn trimmed_in_mid_stream(on_trimmed: OnTrimmed) -> (House, Vec<Frame>, super::support::Client) {
    let house = House::open().await;
    house.create("run").await;
    for _ in 0..10 {
        house.append("run", (0..400).map(|_| output(&[7; 256])).collect()).await;
    }
    let request = WatchRequest { on_trimmed: on_trimmed.into(), ..request("run") };
    let mut client = house.watch(request).await;
    let frames = vec![client.frame().await, client.frame().await];
    house.trim("run", 4_000).await;
    (house, frames, client)
}

#[tokio::test]
async fn a_trim_in_mid_stream_is_an_error_and_never_a_silent_skip() {
    let (_house, mut frames, mut client) = trimmed_in_mid_stream(OnTrimmed::Error).await;
    let error = loop {
        match client.next().await.expect("the stream goes on") {
            Ok(frame) => frames.push(frame),
            Err(error) => break error,
        }
    };
    let given = seqs(&frames);
    assert_eq!(given, (1..=given.len() as u64).collect::<Vec<_>>());
    assert!(given.len() < 3_999);
    assert_eq!(error, WatchError::Trimmed { floor_seq: 4_000, tail_seq: 4_001 });
}

#[tokio::test]
async fn a_trim_in_mid_stream_is_one_gap_if_asked_for() {
    let (_house, mut frames, mut client) = trimmed_in_mid_stream(OnTrimmed::Gap).await;
    frames.extend(client.until_caught_up().await);
    let given = seqs(&frames);
    let before = given.len() as u64 - 2;
    let expected: Vec<_> = (1..=before).chain([4_000, 4_001]).collect();
    assert_eq!(given, expected);
    let gaps: Vec<_> = words(&frames).into_iter().filter(|word| word.starts_with("gap")).collect();
    assert_eq!(gaps, [format!("gap {}..=3999", before + 1)]);
}

#[tokio::test]
async fn what_was_trimmed_after_it_was_committed_still_reaches_a_live_watcher() {
    let house = House::open().await;
    house.create("run").await;
    let mut client = house.watch(request("run")).await;
    client.until_caught_up().await;
    house.append_each("run", 4).await;
    house.trim("run", 5).await;
    house.finish("run").await;
    assert_eq!(seqs(&client.rest().await), [2, 3, 4, 5, 6]);
}

//! Filters by type: only what is wanted, and a cursor that moves on regardless.

use std::time::Duration;

use super::support::{House, custom, output, request, seqs, words};
use crate::proto::v1::watch_request::Start;
use crate::proto::v1::{WatchRequest, watch_response::Frame};

fn wanting(types: &[&str]) -> WatchRequest {
    WatchRequest { event_types: types.iter().map(|&name| name.to_owned()).collect(), ..request("run") }
}

#[tokio::test]
async fn only_wanted_events_are_given_replayed_and_live() {
    let house = House::open().await;
    house.create("run").await;
    house.append("run", vec![custom("my.a"), output(b"x"), custom("yours"), custom("my.b")]).await;
    let mut client = house.watch(wanting(&["my.*", "phase_changed"])).await;
    assert_eq!(words(&client.until_caught_up().await), ["hello 1..=5", "events 2,5", "caught up 5"]);

    house.append("run", vec![output(b"y"), custom("my.c"), output(b"z")]).await;
    assert_eq!(words(&[client.frame().await]), ["events 7"]);
    house.append("run", vec![output(b"unwanted")]).await;
    house.finish("run").await;
    assert_eq!(words(&client.rest().await), ["events 10", "end REASON_TERMINAL 10"]);
}

#[tokio::test]
async fn resuming_at_what_a_heartbeat_names_is_safe_under_a_filter() {
    let house = House::open().await;
    house.create("run").await;
    house.append("run", vec![custom("a"), output(b"x")]).await;
    let heartbeat_interval = Some(Duration::from_millis(100).try_into().expect("it is short"));
    let mut client = house.watch(WatchRequest { heartbeat_interval, ..wanting(&["custom"]) }).await;
    client.until_caught_up().await;
    // Nothing of this is wanted, so only heartbeats tell how far the watch is.
    let tail = house.append("run", vec![output(b"y"), output(b"z")]).await;
    let moved = client.until(|frame| matches!(frame, Frame::Heartbeat(beat) if beat.seq == tail)).await;
    assert!(seqs(&moved).is_empty());

    house.append("run", vec![custom("b")]).await;
    let resumed = WatchRequest { start: Some(Start::AfterSeq(tail)), ..wanting(&["custom"]) };
    let mut resumed = house.watch(resumed).await;
    assert_eq!(seqs(&resumed.until_caught_up().await), [tail + 1]);
}

#[tokio::test]
async fn the_last_n_are_counted_before_filtering() {
    let house = House::open().await;
    house.create("run").await;
    house.append("run", vec![custom("a"), output(b"x"), custom("a"), output(b"y")]).await;
    let request = WatchRequest { start: Some(Start::Tail(2)), stop_at_tail: true, ..wanting(&["custom"]) };
    assert_eq!(seqs(&house.watch(request).await.rest().await), [4]);
}

#[tokio::test]
async fn a_filter_that_wants_nothing_still_sees_the_tail_and_the_end() {
    let house = House::open().await;
    house.create("run").await;
    house.append_each("run", 5).await;
    let mut client = house.watch(wanting(&["no.such.type"])).await;
    assert_eq!(words(&client.until_caught_up().await), ["hello 1..=6", "caught up 6"]);
    house.finish("run").await;
    assert_eq!(words(&client.rest().await), ["end REASON_TERMINAL 7"]);
}

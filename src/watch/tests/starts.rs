//! Where a watch starts and where it stops.

use super::support::{House, output, request, words};
use crate::proto::v1::{WatchRequest, watch_request::Start};

async fn house_with_five() -> House {
    let house = House::open().await;
    house.create("run").await;
    house.append_each("run", 4).await;
    house
}

async fn up_to_the_tail(house: &House, start: Start) -> Vec<String> {
    let request = WatchRequest { start: Some(start), stop_at_tail: true, ..request("run") };
    words(&house.watch(request).await.rest().await)
}

#[tokio::test]
async fn the_last_n_events_are_counted_from_the_tail_and_never_below_the_floor() {
    let house = house_with_five().await;
    let end = ["caught up 5", "end REASON_TAIL 5"];
    assert_eq!(
        up_to_the_tail(&house, Start::Tail(2)).await,
        [&["hello 1..=5", "events 4,5"], &end[..]].concat()
    );
    assert_eq!(up_to_the_tail(&house, Start::Tail(0)).await, [&["hello 1..=5"], &end[..]].concat());
    house.trim("run", 3).await;
    let all = [&["hello 3..=5", "events 3,4,5"], &end[..]].concat();
    assert_eq!(up_to_the_tail(&house, Start::Tail(u32::MAX)).await, all);
    let rest = WatchRequest { stop_at_tail: true, ..request("run") };
    assert_eq!(words(&house.watch(rest).await.rest().await), all, "an unset start is the floor");
}

#[tokio::test]
async fn a_live_start_gives_only_what_comes_after_it() {
    let house = house_with_five().await;
    let mut client = house.watch(WatchRequest { start: Some(Start::Live(true)), ..request("run") }).await;
    assert_eq!(words(&client.until_caught_up().await), ["hello 1..=5", "caught up 5"]);
    house.append("run", vec![output(b"new")]).await;
    assert_eq!(words(&[client.frame().await]), ["events 6"]);
}

#[tokio::test]
async fn since_starts_with_the_first_event_of_that_time_or_later() {
    let house = house_with_five().await;
    let time_ns = house.head("run").await.update_time_ns;
    let since = |ns: u64| {
        let (seconds, nanos) = ((ns / 1_000_000_000) as i64, (ns % 1_000_000_000) as i32);
        Start::Since(prost_types::Timestamp { seconds, nanos })
    };
    let at = up_to_the_tail(&house, since(time_ns)).await;
    assert!(at[1].ends_with('5'), "the event of that time is given: {at:?}");
    let end = ["hello 1..=5", "caught up 5", "end REASON_TAIL 5"];
    assert_eq!(up_to_the_tail(&house, since(time_ns + 1)).await, end);
    let beginning = up_to_the_tail(&house, since(0)).await;
    assert_eq!(beginning[1], "events 1,2,3,4,5");
}

#[tokio::test]
async fn stop_at_tail_stops_at_the_tail_there_was_when_the_watch_began() {
    let house = house_with_five().await;
    let mut client = house.watch(WatchRequest { stop_at_tail: true, ..request("run") }).await;
    house.append_each("run", 3).await;
    let frames = words(&client.rest().await);
    assert_eq!(frames, ["hello 1..=5", "events 1,2,3,4,5", "caught up 5", "end REASON_TAIL 5"]);
}

#[tokio::test]
async fn stop_at_tail_of_an_execution_that_has_ended_says_that_the_log_is_complete() {
    let house = house_with_five().await;
    house.finish("run").await;
    let frames = up_to_the_tail(&house, Start::AfterSeq(5)).await;
    assert_eq!(frames, ["hello 1..=6", "events 6", "caught up 6", "end REASON_TERMINAL 6"]);
}

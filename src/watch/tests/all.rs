//! Watching all executions, by position.

use super::support::{Client, House, custom, events, output, words};
use crate::limits::SUBSCRIPTION_SLICES_MAX;
use crate::proto::v1::{WatchAllRequest, watch_response::Frame};
use crate::watch::WatchError;

/// Execution and position of each event.
fn places(frames: &[Frame]) -> Vec<(String, u64)> {
    events(frames).into_iter().map(|event| (event.execution_id, event.position)).collect()
}

fn place(id: &str, position: u64) -> (String, u64) {
    (id.to_owned(), position)
}

async fn after(house: &House, after_position: u64) -> Client {
    house.watch_all(WatchAllRequest { after_position, ..Default::default() }).await
}

#[tokio::test]
async fn events_of_all_executions_come_in_commit_order_replayed_and_live() {
    let house = House::open().await;
    house.create("one").await;
    house.create("two").await;
    house.append("one", vec![output(b"a"), output(b"b")]).await;

    let mut client = after(&house, 0).await;
    let frames = client.until_caught_up().await;
    assert_eq!(places(&frames), [place("one", 1), place("two", 2), place("one", 3), place("one", 4)]);
    assert_eq!(words(&frames)[0], "hello 1..=4");
    assert_eq!(words(&frames).last().map(String::as_str), Some("caught up 4"));

    house.finish("two").await;
    assert_eq!(places(&[client.frame().await]), [place("two", 5)]);
    house.append("one", vec![output(b"c")]).await;
    assert_eq!(places(&[client.frame().await]), [place("one", 6)], "an execution that ended ends nothing");
}

#[tokio::test]
async fn resuming_at_every_position_gives_what_is_missing() {
    let house = House::open().await;
    house.create("one").await;
    house.create("two").await;
    for _ in 0..10 {
        house.append("one", vec![output(b"a"), output(b"b")]).await;
        house.append("two", vec![output(b"c")]).await;
    }
    let whole = events(&after(&house, 0).await.until_caught_up().await);
    assert_eq!(whole.len(), 32);
    for cursor in 0..=32 {
        let rest = events(&after(&house, cursor).await.until_caught_up().await);
        assert_eq!(rest, whole[cursor as usize..], "after {cursor}");
    }
}

#[tokio::test]
async fn a_live_start_and_a_cursor_beyond_the_tail() {
    let house = House::open().await;
    house.create("one").await;
    let mut client = house.watch_all(WatchAllRequest { live: true, ..Default::default() }).await;
    assert_eq!(words(&client.until_caught_up().await), ["hello 1..=1", "caught up 1"]);
    house.create("two").await;
    assert_eq!(places(&[client.frame().await]), [place("two", 2)]);

    let ahead = WatchAllRequest { after_position: 3, ..Default::default() };
    let error = house.watches.watch_all(ahead, None).await.err();
    assert_eq!(error, Some(WatchError::Ahead { floor_seq: 1, tail_seq: 2 }));
    let other = WatchAllRequest { store_id: "other".into(), ..Default::default() };
    let error = house.watches.watch_all(other, None).await.err();
    assert!(matches!(error, Some(WatchError::StoreReplaced { .. })));
}

#[tokio::test]
async fn an_empty_store_is_caught_up_at_once() {
    let house = House::open().await;
    let mut client = after(&house, 0).await;
    assert_eq!(words(&client.until_caught_up().await), ["hello 1..=0", "caught up 0"]);
    house.create("one").await;
    assert_eq!(places(&[client.frame().await]), [place("one", 1)]);
}

#[tokio::test]
async fn each_hole_of_a_trim_or_a_deletion_is_announced_by_one_gap_before_what_follows() {
    let house = House::open().await;
    house.create("gone").await; // 1
    house.create("trimmed").await; // 2
    house.append("gone", vec![output(b"a"), output(b"b")]).await; // 3, 4
    house.append("trimmed", vec![output(b"c"), output(b"d")]).await; // 5, 6
    house.create("kept").await; // 7
    house.append("gone", vec![output(b"e")]).await; // 8
    house.delete("gone").await;
    house.trim("trimmed", 3).await;

    let frames = words(&after(&house, 0).await.until_caught_up().await);
    // Events are named by their seqs: 3 is the one at position 6, 1 the one at position 7.
    let expected = ["hello 6..=8", "gap 1..=5", "events 3,1", "gap 8..=8", "caught up 8"];
    assert_eq!(frames, expected);
    let inside = words(&after(&house, 4).await.until_caught_up().await);
    assert_eq!(inside[1], "gap 5..=5", "a cursor inside a hole is valid");
}

#[tokio::test]
async fn labels_and_types_choose_events_and_the_cursor_moves_on() {
    let house = House::open().await;
    house.create_labelled("a", &[("team", "x"), ("env", "prod")]).await;
    house.create_labelled("b", &[("team", "y")]).await;
    house.append("a", vec![custom("wanted"), output(b"no")]).await;
    house.append("b", vec![custom("wanted")]).await;
    let request = WatchAllRequest {
        labels: [("team".to_owned(), "x".to_owned())].into(),
        event_types: vec!["wanted".into()],
        ..Default::default()
    };
    let mut client = house.watch_all(request).await;
    let frames = client.until_caught_up().await;
    assert_eq!(places(&frames), [place("a", 3)]);
    assert_eq!(words(&frames).last().map(String::as_str), Some("caught up 5"));

    house.append("b", vec![custom("wanted")]).await;
    house.append("a", vec![output(b"no"), custom("wanted")]).await;
    assert_eq!(places(&[client.frame().await]), [place("a", 8)]);
}

#[tokio::test]
async fn a_slow_watcher_of_all_falls_behind_and_gets_everything() {
    let house = House::open().await;
    house.create("one").await;
    let mut client = after(&house, 0).await;
    client.until_caught_up().await;
    house.append_each("one", 2 * SUBSCRIPTION_SLICES_MAX).await;
    house.handed_out("probe").await;
    let frames = client.until_caught_up().await;
    let positions: Vec<_> = places(&frames).into_iter().map(|(_, position)| position).collect();
    assert_eq!(positions, (2..=2 + 2 * SUBSCRIPTION_SLICES_MAX as u64).collect::<Vec<_>>());
    assert!(frames.iter().any(|frame| matches!(frame, Frame::FellBehind(_))));
}

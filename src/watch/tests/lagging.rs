//! Watchers that are too slow, and others beside them.

use super::support::{Client, House, output, request, seqs, words};
use crate::limits::SUBSCRIPTION_SLICES_MAX;
use crate::proto::v1::watch_response::Frame;
use crate::watch::WatcherState;

/// An execution with two events, and a watcher that was given both and waits, with nothing in its
/// subscription: the second came through it.
async fn live(house: &House) -> Client {
    house.create("run").await;
    let mut client = house.watch(request("run")).await;
    client.until_caught_up().await;
    house.append("run", vec![output(b"live")]).await;
    assert_eq!(words(&[client.frame().await]), ["events 2"]);
    client
}

#[tokio::test]
async fn a_slow_watcher_hears_that_it_fell_behind_gets_everything_and_is_live_again() {
    let house = House::open().await;
    let mut client = live(&house).await;
    let appended = 2 * SUBSCRIPTION_SLICES_MAX as u64;
    house.append_each("run", appended as usize).await;

    house.handed_out("probe").await;
    let frames = client.until_caught_up().await;
    let held = SUBSCRIPTION_SLICES_MAX as u64 + 2;
    let tail = appended + 2;
    assert_eq!(seqs(&frames), (3..=tail).collect::<Vec<_>>());
    let words = words(&frames);
    assert!(words.contains(&format!("fell behind {held} of {tail}")), "{words:?}");
    assert_eq!(words.last(), Some(&format!("caught up {tail}")));

    house.append("run", vec![output(b"live")]).await;
    assert!(matches!(client.frame().await, Frame::Events(_)));
    assert_eq!(house.watches.list(None, 0, 9)[0].state, WatcherState::Live);
}

#[tokio::test]
async fn a_terminal_event_that_is_the_one_to_overflow_is_given_and_ends_the_watch() {
    let house = House::open().await;
    let mut client = live(&house).await;
    house.append_each("run", SUBSCRIPTION_SLICES_MAX).await;
    let tail = house.finish("run").await;

    house.handed_out("probe").await;
    let frames = client.rest().await;
    assert_eq!(seqs(&frames), (3..=tail).collect::<Vec<_>>());
    let words = words(&frames);
    assert!(words.contains(&format!("fell behind {} of {tail}", tail - 1)), "{words:?}");
    assert_eq!(
        words[words.len() - 2..],
        [format!("caught up {tail}"), format!("end REASON_TERMINAL {tail}")]
    );
}

#[tokio::test]
async fn bytes_that_wait_are_bounded_too() {
    let house = House::open().await;
    let mut client = live(&house).await;
    for _ in 0..5 {
        house.append("run", vec![output(&vec![1; 400_000])]).await;
    }
    house.handed_out("probe").await;
    let frames = client.until_caught_up().await;
    assert_eq!(seqs(&frames), [3, 4, 5, 6, 7]);
    assert!(words(&frames).contains(&"fell behind 4 of 7".to_owned()), "two of them fit into 1 MiB");
}

#[tokio::test]
async fn a_watcher_that_never_reads_costs_the_writer_and_the_others_nothing() {
    let house = House::open().await;
    house.create("run").await;
    let mut stopped = house.watch(request("run")).await;
    let mut reading = house.watch(request("run")).await;
    stopped.until_caught_up().await;
    reading.until_caught_up().await;
    for seq in 2..=200_u64 {
        house.append("run", vec![output(b"x")]).await;
        assert_eq!(seqs(&[reading.frame().await]), [seq], "it is live throughout");
    }
    let rest = stopped.until(|frame| matches!(frame, Frame::CaughtUp(_))).await;
    assert_eq!(seqs(&rest), (2..=200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_log_that_grows_beyond_a_subscription_while_it_is_replayed_causes_no_talk_of_falling_behind() {
    let house = House::open().await;
    house.create("run").await;
    for _ in 0..3 {
        house.append("run", (0..400).map(|_| output(&[7; 256])).collect()).await;
    }
    let mut client = house.watch(request("run")).await;
    let mut frames = vec![client.frame().await, client.frame().await];
    house.append_each("run", 3 * SUBSCRIPTION_SLICES_MAX).await;
    frames.extend(client.until_caught_up().await);
    assert_eq!(seqs(&frames), (1..=1_201 + 3 * SUBSCRIPTION_SLICES_MAX as u64).collect::<Vec<_>>());
    assert!(!frames.iter().any(|frame| matches!(frame, Frame::FellBehind(_))), "it was never live");
}

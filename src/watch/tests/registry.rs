//! The list of those who watch.

use super::support::{House, name, request};
use crate::limits::SUBSCRIPTION_SLICES_MAX;
use crate::proto::v1::watch_response::Frame;
use crate::watch::WatcherState;

#[tokio::test]
async fn the_list_says_who_watches_what_and_how_far_they_are() {
    let house = House::open().await;
    house.create("run").await;
    let peer = "127.0.0.1:4711".parse().expect("it is an address");
    let one = house.watches.watch(request("run"), Some(peer)).await.expect("the watch is opened");
    let mut one = super::support::Client(one);
    let _all = house.watch_all(Default::default()).await;

    let list = house.watches.list(None, 0, 9);
    assert_eq!(house.watches.list(None, 0, 1), list[..1]);
    assert_eq!(house.watches.list(None, list[0].number, 9), list[1..]);
    assert_eq!(house.watches.list(None, u64::MAX, 9), []);
    assert_eq!(list.iter().map(|info| info.id.as_str()).collect::<Vec<_>>(), ["w-1", "w-2"]);
    assert_eq!((list[0].peer, &list[0].execution), (Some(peer), &Some(name("run"))));
    assert_eq!((list[0].cursor, list[0].state), (0, WatcherState::Replaying));
    assert_eq!(list[1].execution, None);
    assert_eq!(house.watches.list(Some(&name("run")), 0, 9).len(), 1);
    assert!(house.watches.list(Some(&name("other")), 0, 9).is_empty());

    one.until_caught_up().await;
    house.append_each("run", 2).await;
    one.frame().await;
    let info = &house.watches.list(Some(&name("run")), 0, 9)[0];
    assert_eq!((info.cursor, info.state), (2, WatcherState::Live));
    assert!(info.last_progress_ns >= info.since_ns);

    drop(one);
    assert_eq!(house.watches.count(), 1, "who leaves is off the list");
    assert_eq!(house.watches.list(None, 0, 9)[0].id, "w-2");
}

#[tokio::test]
async fn the_lag_of_a_watcher_that_does_not_read_grows_and_it_is_seen_to_fall_behind() {
    let house = House::open().await;
    house.create("run").await;
    let mut client = house.watch(request("run")).await;
    client.until_caught_up().await;
    // Given live, so that nothing waits in the subscription.
    house.append_each("run", 1).await;
    client.frame().await;
    // The next frame is asked for only later; the lag is known all the same.
    let appended = 2 * SUBSCRIPTION_SLICES_MAX;
    house.append_each("run", appended).await;
    house.handed_out("probe").await;
    client.until(|frame| matches!(frame, Frame::FellBehind(_))).await;
    let info = &house.watches.list(None, 0, 9)[0];
    assert_eq!(info.state, WatcherState::FellBehind);
    assert_eq!(info.cursor, 2 + SUBSCRIPTION_SLICES_MAX as u64);
    assert_eq!(info.lag_events, SUBSCRIPTION_SLICES_MAX as u64);
}

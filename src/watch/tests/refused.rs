//! What cannot be right is an error with the numbers, never a wait and never a silent skip.

use super::support::{House, name, output, request, seqs};
use crate::proto::v1::WatchRequest;
use crate::proto::v1::watch_request::Start;
use crate::watch::{EndCause, WatchError};

#[tokio::test]
async fn a_cursor_beyond_the_tail_is_an_error_with_the_tail() {
    let house = House::open().await;
    house.create("run").await;
    for seq in [2, u64::MAX] {
        let request = WatchRequest { start: Some(Start::AfterSeq(seq)), ..request("run") };
        assert_eq!(house.refused(request).await, WatchError::Ahead { floor_seq: 1, tail_seq: 1 });
    }
}

#[tokio::test]
async fn a_cursor_of_another_store_or_log_is_an_error_that_names_both() {
    let house = House::open().await;
    house.create("run").await;
    let frames = house.watch(request("run")).await.until_caught_up().await;
    let crate::proto::v1::watch_response::Frame::Hello(hello) = &frames[0] else {
        panic!("Hello comes first")
    };

    let (store_id, log_id) = (hello.store_id.clone(), hello.log_id.clone());
    let same = WatchRequest { store_id: store_id.clone(), log_id: log_id.clone(), ..request("run") };
    house.watch(same).await;
    let other = WatchRequest { store_id: "other".into(), ..request("run") };
    let expected = WatchError::StoreReplaced { expected: "other".into(), actual: store_id };
    assert_eq!(house.refused(other).await, expected);
    let other = WatchRequest { log_id: "other".into(), ..request("run") };
    let expected = WatchError::LogReplaced { expected: "other".into(), actual: log_id };
    assert_eq!(house.refused(other).await, expected);
}

#[tokio::test]
async fn a_damaged_event_ends_the_watch_with_its_seq_and_what_is_before_it_is_given() {
    let house = House::open().await;
    house.create("run").await;
    house.append("run", vec![output(b"a"), output(b"b"), output(b"c")]).await;
    house.store.meddler.damage(3);
    let mut client = house.watch(request("run")).await;
    let mut frames = vec![client.frame().await, client.frame().await];
    let error = client.error().await;
    assert_eq!(seqs(&std::mem::take(&mut frames)), [1, 2]);
    let what = "the checksum is wrong".to_owned();
    assert_eq!(error, WatchError::Corrupt { execution: Some(name("run")), seq: 3, what });
}

#[tokio::test]
async fn one_watcher_too_many_is_refused_until_another_leaves() {
    let house = House::limited_to(2).await;
    house.create("run").await;
    let first = house.watch(request("run")).await;
    let _second = house.watch_all(Default::default()).await;
    assert_eq!(house.refused(request("run")).await, WatchError::TooManyWatchers { limit: 2 });
    drop(first);
    house.watch(request("run")).await;
}

#[tokio::test]
async fn a_shutdown_is_told_to_every_watcher_at_once_and_to_those_who_come_later() {
    let house = House::open().await;
    house.create("run").await;
    let waiting = WatchRequest { wait_for_create: true, ..request("later") };
    let mut idle = vec![
        house.watch(request("run")).await,
        house.watch_all(Default::default()).await,
        house.watch(waiting).await,
    ];
    let mut replaying = house.watch(request("run")).await;
    for client in &mut idle[..2] {
        client.until_caught_up().await;
    }
    idle[2].frame().await;
    replaying.frame().await;

    let told = idle.into_iter().map(|mut client| tokio::spawn(async move { client.error().await }));
    let told: Vec<_> = told.collect();
    // They wait for events now, with nothing but the call below to wake them.
    tokio::task::yield_now().await;
    house.watches.end_all(EndCause::ShuttingDown);
    house.watches.end_all(EndCause::StoreFailed);

    for client in told {
        assert_eq!(
            client.await.expect("it does not panic"),
            WatchError::ShuttingDown,
            "the first cause stays"
        );
    }
    assert_eq!(replaying.error().await, WatchError::ShuttingDown);
    assert_eq!(house.refused(request("run")).await, WatchError::ShuttingDown);
}

#[tokio::test]
async fn a_failed_store_is_told_as_such() {
    let house = House::open().await;
    house.create("run").await;
    let mut client = house.watch(request("run")).await;
    client.until_caught_up().await;
    house.watches.end_all(EndCause::StoreFailed);
    assert_eq!(client.error().await, WatchError::Failed);
}

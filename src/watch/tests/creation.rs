//! Watching an execution that does not exist yet.

use super::support::{House, name, request, words};
use crate::limits::SUBSCRIPTION_SLICES_MAX;
use crate::proto::v1::watch_request::Start;
use crate::proto::v1::{WatchRequest, watch_response::Frame};
use crate::watch::WatchError;

fn waiting() -> WatchRequest {
    WatchRequest { wait_for_create: true, ..request("run") }
}

#[tokio::test]
async fn without_being_asked_to_wait_it_is_an_error() {
    let house = House::open().await;
    assert_eq!(
        house.refused(request("run")).await,
        WatchError::NotFound { execution: name("run"), deleted: false }
    );
    assert_eq!(house.watches.count(), 0, "who was refused is not on the list");
}

#[tokio::test]
async fn hello_comes_at_once_and_again_at_the_creation() {
    let house = House::open().await;
    let mut client = house.watch(waiting()).await;
    let Frame::Hello(hello) = client.frame().await else { panic!("Hello comes first") };
    assert!(hello.log_id.is_empty() && !hello.store_id.is_empty());

    house.create("other").await;
    house.create("run").await;
    let Frame::Hello(hello) = client.frame().await else { panic!("Hello comes again") };
    assert_eq!(hello.log_id, house.head("run").await.execution.log_id.to_string());
    assert_eq!(words(&client.until_caught_up().await), ["events 1", "caught up 1"]);
    house.finish("run").await;
    assert_eq!(words(&client.rest().await), ["events 2", "end REASON_TERMINAL 2"]);
}

#[tokio::test]
async fn of_a_log_that_did_not_exist_live_and_the_last_n_are_all_of_it() {
    for start in [Start::Live(true), Start::Tail(1)] {
        let house = House::open().await;
        let mut client = house.watch(WatchRequest { start: Some(start), ..waiting() }).await;
        client.frame().await;
        house.create("run").await;
        house.finish("run").await;
        let frames = words(&client.rest().await);
        assert!(frames.contains(&"end REASON_TERMINAL 2".to_owned()));
        let events: Vec<_> = frames.iter().filter(|word| word.starts_with("events")).cloned().collect();
        assert!(events == ["events 1,2"] || events == ["events 1", "events 2"], "{events:?}");
    }
}

#[tokio::test]
async fn an_existing_execution_is_simply_watched() {
    let house = House::open().await;
    house.create("run").await;
    let mut client = house.watch(waiting()).await;
    assert_eq!(words(&client.until_caught_up().await), ["hello 1..=1", "events 1", "caught up 1"]);
}

#[tokio::test]
async fn a_cursor_that_cannot_be_right_is_an_error_at_the_creation() {
    let house = House::open().await;
    let mut ahead = house.watch(WatchRequest { start: Some(Start::AfterSeq(9)), ..waiting() }).await;
    let mut replaced = house.watch(WatchRequest { log_id: "another".into(), ..waiting() }).await;
    ahead.frame().await;
    replaced.frame().await;
    house.create("run").await;
    assert_eq!(ahead.error().await, WatchError::Ahead { floor_seq: 1, tail_seq: 1 });
    assert!(matches!(replaced.error().await, WatchError::LogReplaced { .. }));
}

#[tokio::test]
async fn an_execution_that_is_gone_before_the_watcher_looks_ends_the_watch() {
    let house = House::open().await;
    let mut client = house.watch(waiting()).await;
    client.frame().await;
    house.create("run").await;
    house.delete("run").await;
    assert_eq!(words(&client.rest().await), ["end REASON_DELETED 0"]);
}

#[tokio::test]
async fn an_id_that_was_deleted_before_is_not_waited_for() {
    let house = House::open().await;
    house.create("run").await;
    house.delete("run").await;
    let mut client = house.watch(waiting()).await;
    assert_eq!(words(&client.rest().await), ["hello 0..=0", "end REASON_DELETED 0"]);
    assert_eq!(
        house.refused(request("run")).await,
        WatchError::NotFound { execution: name("run"), deleted: true }
    );
}

#[tokio::test]
async fn one_that_came_and_went_while_the_subscription_overflowed_ends_the_watch() {
    let house = House::open().await;
    let mut client = house.watch(waiting()).await;
    client.frame().await;
    house.create("run").await;
    house.append_each("run", 2 * SUBSCRIPTION_SLICES_MAX).await;
    house.delete("run").await;
    house.handed_out("probe").await;
    assert_eq!(words(&client.rest().await), ["end REASON_DELETED 0"]);
}

//! Watches over the wire: late, live, resumed, filtered; what they say of where they stand.

use std::collections::BTreeMap;
use std::time::Duration;

use tapeline::proto::v1::watch_request::{OnTrimmed, Start};
use tapeline::proto::v1::watch_response::Frame;
use tapeline::proto::v1::{
    CreateExecutionRequest, CustomEvent, DeleteExecutionRequest, Event, Phase, TrimExecutionRequest,
    WatchAllRequest, WatchRequest, event,
};

use super::stream::{Watch, watching};
use super::support::append::{batch, creation, custom, phase};
use super::support::daemon::{Client, Daemon};

fn typed(name: &str) -> Event {
    let custom = CustomEvent { r#type: name.into(), ..CustomEvent::default() };
    Event { body: Some(event::Body::Custom(custom)), ..Event::default() }
}

/// A daemon with an execution that has this many events.
async fn with_events(events: usize) -> (Daemon, Client) {
    let daemon = Daemon::start();
    let client = daemon.client();
    client.clone().create_execution(creation("one")).await.expect("new");
    if events > 1 {
        let request = batch("one", vec![custom("x"); events - 1]);
        client.clone().append(request).await.expect("fine");
    }
    (daemon, client)
}

async fn append(client: &Client, events: Vec<Event>) {
    client.clone().append(batch("one", events)).await.expect("fine");
}

#[tokio::test]
async fn a_late_watcher_gets_the_whole_log_then_what_comes_then_the_end_and_ok() {
    let (_daemon, client) = with_events(3).await;
    let mut watch = Watch::open(&client, watching("one")).await.expect("there");
    assert_eq!((watch.hello.floor_seq, watch.hello.tail_seq, watch.hello.phase()), (1, 3, Phase::Pending));
    assert_eq!(watch.until_caught_up().await, ["events 1,2,3", "caught up 3"]);
    append(&client, vec![custom("live")]).await;
    watch.events_until(3, 4).await;
    append(&client, vec![custom("x"), phase(Phase::Completed)]).await;
    assert_eq!(watch.rest().await, ["events 5,6", "end REASON_TERMINAL 6 PHASE_COMPLETED"]);
    let mut later = Watch::open(&client, watching("one")).await.expect("there");
    let rest = later.rest().await;
    assert_eq!(rest.first().map(String::as_str), Some("events 1,2,3,4,5,6"));
    assert_eq!(rest.last().map(String::as_str), Some("end REASON_TERMINAL 6 PHASE_COMPLETED"));
}

#[tokio::test]
async fn a_watch_starts_where_it_is_told_to() {
    let (_daemon, client) = with_events(9).await;
    let stop = WatchRequest { stop_at_tail: true, ..watching("one") };
    let hello = Watch::open(&client, stop.clone()).await.expect("there").hello;
    let (log_id, store_id) = (hello.log_id, hello.store_id);
    let resumed = WatchRequest { log_id, store_id, start: Some(Start::AfterSeq(7)), ..stop.clone() };
    let since = |seconds| Start::Since(prost_types::Timestamp { seconds, nanos: 0 });
    for (request, events) in [
        (stop.clone(), Some("events 1,2,3,4,5,6,7,8,9")),
        (resumed, Some("events 8,9")),
        (WatchRequest { start: Some(Start::AfterSeq(9)), ..stop.clone() }, None),
        (WatchRequest { start: Some(Start::Tail(2)), ..stop.clone() }, Some("events 8,9")),
        (WatchRequest { start: Some(Start::Tail(0)), ..stop.clone() }, None),
        (WatchRequest { start: Some(Start::Live(true)), ..stop.clone() }, None),
        (WatchRequest { start: Some(since(0)), ..stop.clone() }, Some("events 1,2,3,4,5,6,7,8,9")),
        (WatchRequest { start: Some(since(4_000_000_000)), ..stop.clone() }, None),
    ] {
        let mut watch = Watch::open(&client, request.clone()).await.expect("there");
        let mut expected: Vec<&str> = events.into_iter().collect();
        expected.extend(["caught up 9", "end REASON_TAIL 9 PHASE_PENDING"]);
        assert_eq!(watch.rest().await, expected, "{request:?}");
    }
}

#[tokio::test]
async fn a_replay_stops_at_the_tail_there_was_when_it_began() {
    let (_daemon, client) = with_events(5_000 / 10).await;
    for _ in 0..40 {
        append(&client, vec![custom(vec![1; 1_000]); 500]).await;
    }
    let request = WatchRequest { stop_at_tail: true, ..watching("one") };
    let mut watch = Watch::open(&client, request).await.expect("there");
    let tail = watch.hello.tail_seq;
    append(&client, vec![custom("too late")]).await;
    watch.events_until(0, tail).await;
    let rest = watch.rest().await;
    assert_eq!(rest.last(), Some(&format!("end REASON_TAIL {tail} PHASE_PENDING")), "{rest:?}");
    assert!(!rest.iter().any(|said| said.starts_with("events")), "{rest:?}");
}

#[tokio::test]
async fn a_filter_lets_through_what_it_names_and_its_cursor_goes_on_over_what_it_does_not() {
    let (_daemon, client) = with_events(1).await;
    append(&client, vec![typed("log.info"), typed("log.error"), typed("other"), phase(Phase::InProgress)])
        .await;
    let heartbeat_interval = Some(prost_types::Duration { seconds: 0, nanos: 150_000_000 });
    for (names, events) in [
        (&["log.*"][..], Some("events 2,3")),
        (&["log.error", "created"], Some("events 1,3")),
        (&["phase_changed"], Some("events 5")),
        (&["custom"], Some("events 2,3,4")),
        (&["nothing.of.this"], None),
    ] {
        let event_types = names.iter().map(|name| (*name).to_owned()).collect();
        let request = WatchRequest { event_types, heartbeat_interval, ..watching("one") };
        let mut watch = Watch::open(&client, request).await.expect("there");
        let mut expected: Vec<&str> = events.into_iter().collect();
        expected.push("caught up 5");
        assert_eq!(watch.until_caught_up().await, expected, "{names:?}");
        let Frame::Heartbeat(beat) = watch.next().await else { panic!("only silence follows") };
        assert_eq!((beat.seq, beat.tail_seq), (5, 5));
    }
}

#[tokio::test]
async fn a_silent_watch_beats_at_the_interval_it_asked_for() {
    let (_daemon, client) = with_events(2).await;
    let heartbeat_interval = Some(prost_types::Duration { seconds: 0, nanos: 100_000_000 });
    let request = WatchRequest { heartbeat_interval, ..watching("one") };
    let mut watch = Watch::open(&client, request).await.expect("there");
    watch.until_caught_up().await;
    let begun = std::time::Instant::now();
    for _ in 0..3 {
        let Frame::Heartbeat(beat) = watch.next().await else { panic!("a heartbeat is due") };
        assert_eq!((beat.seq, beat.tail_seq), (2, 2));
        assert!(Duration::try_from(beat.idle_for.expect("known")).is_ok_and(|idle| idle > Duration::ZERO));
    }
    // From below only: a machine under load may be late.
    assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_watch_can_wait_for_an_execution_that_does_not_exist_yet() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let request = WatchRequest { wait_for_create: true, ..watching("one") };
    let mut watch = Watch::open(&client, request).await.expect("it waits");
    assert_eq!((watch.hello.log_id.as_str(), watch.hello.tail_seq), ("", 0));
    assert!(!watch.hello.store_id.is_empty());
    let created = client.clone().create_execution(creation("one")).await.expect("new").into_inner();
    let Frame::Hello(hello) = watch.next().await else { panic!("Hello comes again") };
    assert_eq!(hello.log_id, created.log_id);
    watch.events_until(0, 1).await;
    append(&client, vec![phase(Phase::Failed)]).await;
    assert_eq!(watch.rest().await.last().map(String::as_str), Some("end REASON_TERMINAL 2 PHASE_FAILED"));
}

#[tokio::test]
async fn a_deleted_execution_ends_its_watches_and_says_so() {
    let (_daemon, client) = with_events(3).await;
    let mut watch = Watch::open(&client, watching("one")).await.expect("there");
    watch.until_caught_up().await;
    let delete = DeleteExecutionRequest { execution_id: "one".into() };
    client.clone().delete_execution(delete).await.expect("it exists");
    assert_eq!(watch.rest().await, ["end REASON_DELETED 3 PHASE_PENDING"]);
}

#[tokio::test]
async fn a_trimmed_cursor_gets_one_gap_and_then_events_from_the_floor_if_asked_for() {
    let (daemon, client) = with_events(9).await;
    let trim = TrimExecutionRequest { execution_id: "one".into(), floor_seq: 6 };
    daemon.admin().trim_execution(trim).await.expect("fine");
    let request = WatchRequest {
        start: Some(Start::AfterSeq(2)),
        on_trimmed: OnTrimmed::Gap.into(),
        stop_at_tail: true,
        ..watching("one")
    };
    let mut watch = Watch::open(&client, request).await.expect("there");
    assert_eq!((watch.hello.floor_seq, watch.hello.tail_seq), (6, 9));
    let expected = ["gap 3..=5", "events 6,7,8,9", "caught up 9", "end REASON_TAIL 9 PHASE_PENDING"];
    assert_eq!(watch.rest().await, expected);
}

#[tokio::test]
async fn a_watch_of_all_gets_every_execution_in_commit_order_and_gaps_for_what_is_gone() {
    let daemon = Daemon::start();
    let client = daemon.client();
    // Positions: one 1, two 2, one 3..=5, two 6, three 7.
    client.clone().create_execution(creation("one")).await.expect("new");
    client.clone().create_execution(creation("two")).await.expect("new");
    append(&client, vec![custom("x"); 3]).await;
    client.clone().append(batch("two", vec![custom("y")])).await.expect("fine");
    let labels = BTreeMap::from([("team".to_owned(), "x".to_owned())]);
    let request = CreateExecutionRequest { labels: labels.clone(), ..creation("three") };
    client.clone().create_execution(request).await.expect("new");
    let mut whole = Watch::open_all(&client, WatchAllRequest::default()).await.expect("there");
    assert_eq!((whole.hello.tail_seq, whole.hello.log_id.as_str()), (7, ""));
    assert_eq!(whole.until_caught_up().await, ["events 1,2,3,4,5,6,7", "caught up 7"]);
    append(&client, vec![custom("live")]).await;
    let Frame::Events(events) = whole.next().await else { panic!("an event is due") };
    assert_eq!((events.events[0].execution_id.as_str(), events.events[0].position), ("one", 8));

    let trim = TrimExecutionRequest { execution_id: "one".into(), floor_seq: 3 };
    daemon.admin().trim_execution(trim).await.expect("fine");
    let delete = DeleteExecutionRequest { execution_id: "two".into() };
    client.clone().delete_execution(delete).await.expect("it exists");
    let mut rest = Watch::open_all(&client, WatchAllRequest::default()).await.expect("there");
    let said = rest.until_caught_up().await;
    assert_eq!(said, ["gap 1..=3", "events 4,5", "gap 6..=6", "events 7,8", "caught up 8"]);

    let request = WatchAllRequest { labels, ..WatchAllRequest::default() };
    let mut labelled = Watch::open_all(&client, request).await.expect("there");
    let said = labelled.until_caught_up().await;
    let events: Vec<&String> = said.iter().filter(|said| said.starts_with("events")).collect();
    assert_eq!(events, ["events 7"], "{said:?}");
    let request = WatchAllRequest { live: true, ..WatchAllRequest::default() };
    let mut live = Watch::open_all(&client, request).await.expect("there");
    assert_eq!(live.until_caught_up().await, ["caught up 8"]);
}

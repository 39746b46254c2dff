//! The rows of the error table that a healthy disk can provoke: code, reason, metadata, details. Those
//! of producers are in `producers`, those of the disk in `faults`.

use std::collections::BTreeMap;

use prost_types::Timestamp;
use tapeline::limits::{BATCH_BYTES_MAX, EVENT_BYTES_MAX};
use tapeline::proto::v1::watch_request::Start;
use tapeline::proto::v1::{
    CreateExecutionRequest, DeleteExecutionRequest, Event, ExecutionCreated, GetExecutionRequest,
    ListTruncated, ListWatchersRequest, MessageAdded, Output, Phase, ReadEventsRequest, TrimExecutionRequest,
    WatchAllRequest, WatchRequest, event,
};
use tonic::Code;

use super::refusal::{invalid_field, refused};
use super::stream::{Watch, eventually, watching};
use super::support::append::{batch, creation, custom, phase};
use super::support::daemon::Daemon;

fn read(id: &str, after_seq: u64) -> ReadEventsRequest {
    ReadEventsRequest { execution_id: id.into(), after_seq, ..ReadEventsRequest::default() }
}

fn body(body: event::Body) -> Event {
    Event { body: Some(body), ..Event::default() }
}

#[tokio::test]
async fn every_rpc_about_an_unknown_execution_says_which_one() {
    let daemon = Daemon::start();
    let (mut client, mut admin) = (daemon.client(), daemon.admin());
    let execution_id = "nobody".to_owned();
    let (code, reason, says) = (Code::NotFound, "EXECUTION_NOT_FOUND", [("execution_id", "nobody")]);
    refused(client.append(batch("nobody", vec![custom("x")])).await, code, reason).says(says);
    refused(client.read_events(read("nobody", 0)).await, code, reason).says(says);
    refused(client.watch(watching("nobody")).await, code, reason).says(says);
    let get = GetExecutionRequest { execution_id: execution_id.clone() };
    refused(client.get_execution(get).await, code, reason).says(says);
    let delete = DeleteExecutionRequest { execution_id: execution_id.clone() };
    refused(client.delete_execution(delete).await, code, reason).says(says);
    let trim = TrimExecutionRequest { execution_id, floor_seq: 1 };
    refused(admin.trim_execution(trim).await, code, reason).says(says);
}

#[tokio::test]
async fn a_field_that_breaks_a_rule_is_named_by_every_rpc() {
    let daemon = Daemon::start();
    let (mut client, mut admin) = (daemon.client(), daemon.admin());
    client.create_execution(creation("one")).await.expect("new");
    for id in ["", "a b", "a/b", "ä", &"x".repeat(129)] {
        let execution_id = id.to_owned();
        assert_eq!(invalid_field(client.append(batch(id, vec![custom("x")])).await), "execution_id");
        assert_eq!(invalid_field(client.read_events(read(id, 0)).await), "execution_id");
        assert_eq!(invalid_field(client.watch(watching(id)).await), "execution_id");
        let get = GetExecutionRequest { execution_id: execution_id.clone() };
        assert_eq!(invalid_field(client.get_execution(get).await), "execution_id");
        let delete = DeleteExecutionRequest { execution_id: execution_id.clone() };
        assert_eq!(invalid_field(client.delete_execution(delete).await), "execution_id");
        let trim = TrimExecutionRequest { execution_id: execution_id.clone(), floor_seq: 1 };
        assert_eq!(invalid_field(admin.trim_execution(trim).await), "execution_id");
        if !id.is_empty() {
            assert_eq!(invalid_field(client.create_execution(creation(id)).await), "execution_id");
            let list = ListWatchersRequest { execution_id, ..ListWatchersRequest::default() };
            assert_eq!(invalid_field(admin.list_watchers(list).await), "execution_id");
        }
    }
    for floor_seq in [0, 3, u64::MAX] {
        let trim = TrimExecutionRequest { execution_id: "one".into(), floor_seq };
        assert_eq!(invalid_field(admin.trim_execution(trim).await), "floor_seq", "{floor_seq}");
    }
}

#[tokio::test]
async fn a_creation_that_breaks_a_rule_is_refused_with_the_limit_if_it_is_one() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    let many: BTreeMap<String, String> = (0..33).map(|n| (n.to_string(), String::new())).collect();
    let labels = |key: usize, value: usize| BTreeMap::from([("k".repeat(key), "v".repeat(value))]);
    for (request, field, limit, actual) in [
        (CreateExecutionRequest { labels: many, ..creation("x") }, "labels", 32, 33),
        (CreateExecutionRequest { labels: labels(64, 1), ..creation("x") }, "labels.key", 63, 64),
        (CreateExecutionRequest { labels: labels(1, 257), ..creation("x") }, "labels.value", 256, 257),
        (creation(&"x".repeat(200)), "execution_id", 128, 200),
        (
            CreateExecutionRequest { session_id: "s".repeat(1_025), ..creation("x") },
            "session_id",
            1_024,
            1_025,
        ),
    ] {
        let refusal = refused(client.create_execution(request).await, Code::InvalidArgument, "INVALID_FIELD");
        assert_eq!(
            (refusal.field().as_str(), refusal.number("limit"), refusal.number("actual")),
            (field, limit, actual)
        );
    }
    let lease = CreateExecutionRequest { lease_owner: "me".into(), ..creation("x") };
    assert_eq!(invalid_field(client.create_execution(lease).await), "lease_owner");
}

#[tokio::test]
async fn an_event_that_breaks_a_rule_is_named_by_its_place_and_nothing_of_its_batch_is_written() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    client.create_execution(creation("one")).await.expect("new");
    client.append(batch("one", vec![phase(Phase::InProgress)])).await.expect("fine");
    let nameless = event::Body::Custom(Default::default());
    let beyond = event::Body::MessageAdded(MessageAdded { index: 7, ..MessageAdded::default() });
    let cut = event::Body::ListTruncated(ListTruncated { list: 1, length: 5 });
    for (bad, field) in [
        (Event::default(), "events[1]"),
        (body(nameless), "events[1].custom.type"),
        (body(event::Body::Created(ExecutionCreated::default())), "events[1].created"),
        (body(event::Body::Output(Output::default())), "events[1].output.stream"),
        (phase(Phase::Unspecified), "events[1].phase_changed.phase"),
        (phase(Phase::Completed), "events[1].phase_changed.phase"),
        (phase(Phase::Pending), "events[1].phase_changed.phase"),
        (body(beyond), "events[1].message_added.index"),
        (body(cut), "events[1].list_truncated.length"),
    ] {
        let request = batch("one", vec![custom("before"), bad, custom("after")]);
        assert_eq!(invalid_field(client.append(request).await), field);
    }
    assert_eq!(invalid_field(client.append(batch("one", vec![])).await), "events");
    let get = GetExecutionRequest { execution_id: "one".into() };
    assert_eq!(client.get_execution(get).await.expect("there").into_inner().tail_seq, 2);
}

#[tokio::test]
async fn an_event_or_a_batch_that_is_too_large_is_refused_with_limit_and_size_and_the_largest_is_taken() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    client.create_execution(creation("one")).await.expect("new");
    let (limit, batch_limit) = (EVENT_BYTES_MAX as u64, BATCH_BYTES_MAX as u64);
    let refusal = refused(
        client.append(batch("one", vec![custom("x"), custom(vec![0; 5 << 20])])).await,
        Code::InvalidArgument,
        "EVENT_TOO_LARGE",
    );
    assert_eq!((refusal.field().as_str(), refusal.number("limit")), ("events[1]", limit));
    assert!(refusal.number("actual") > 5 << 20);
    let largest = custom(vec![0; EVENT_BYTES_MAX - 15]);
    assert_eq!(prost::Message::encoded_len(&largest), EVENT_BYTES_MAX);
    let refusal = refused(
        client
            .append(batch(
                "one",
                vec![largest.clone(), largest.clone(), largest.clone(), largest.clone(), custom("x")],
            ))
            .await,
        Code::InvalidArgument,
        "BATCH_TOO_LARGE",
    );
    assert_eq!((refusal.field().as_str(), refusal.number("limit")), ("events", batch_limit));
    assert!(refusal.number("actual") > batch_limit);
    let refusal = refused(
        client.append(batch("one", vec![custom("x"); 1_001])).await,
        Code::InvalidArgument,
        "BATCH_TOO_LARGE",
    );
    refusal.says([("limit", "1000"), ("actual", "1001")]);
    let reply = client.append(batch("one", vec![largest; 4])).await.expect("exactly the limit").into_inner();
    assert_eq!((reply.first_seq, reply.last_seq), (2, 5));
    let reply =
        client.append(batch("one", vec![custom("x"); 1_000])).await.expect("exactly the limit").into_inner();
    assert_eq!(reply.last_seq, 1_005);
}

#[tokio::test]
async fn a_cursor_that_is_trimmed_or_ahead_is_refused_with_floor_and_tail() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    client.create_execution(creation("one")).await.expect("new");
    client.append(batch("one", vec![custom("x"); 9])).await.expect("fine");
    let trim = TrimExecutionRequest { execution_id: "one".into(), floor_seq: 4 };
    daemon.admin().trim_execution(trim).await.expect("fine");
    let watch = |seq| WatchRequest { start: Some(Start::AfterSeq(seq)), ..watching("one") };
    let says = [("floor_seq", "4"), ("tail_seq", "10")];
    for (cursor, reason) in
        [(0, "CURSOR_TRIMMED"), (2, "CURSOR_TRIMMED"), (11, "CURSOR_AHEAD"), (u64::MAX, "CURSOR_AHEAD")]
    {
        refused(client.read_events(read("one", cursor)).await, Code::OutOfRange, reason).says(says);
        refused(client.watch(watch(cursor)).await, Code::OutOfRange, reason).says(says);
    }
    for after_position in [11, u64::MAX] {
        let all = client.watch_all(WatchAllRequest { after_position, ..WatchAllRequest::default() }).await;
        assert_eq!(refused(all, Code::OutOfRange, "CURSOR_AHEAD").number("tail_seq"), 10);
    }
}

#[tokio::test]
async fn a_cursor_of_another_log_or_store_is_refused_with_both_ids() {
    let daemon = Daemon::start();
    let client = daemon.client();
    client.clone().create_execution(creation("one")).await.expect("new");
    let hello = Watch::open(&client, watching("one")).await.expect("there").hello;
    let mut client = daemon.client();
    let (log_id, store_id) = ("other-log".to_owned(), "other-store".to_owned());
    let says = [("expected", "other-log"), ("actual", hello.log_id.as_str())];
    let request = WatchRequest { log_id: log_id.clone(), ..watching("one") };
    refused(client.watch(request).await, Code::FailedPrecondition, "LOG_REPLACED").says(says);
    // The number of a cursor means nothing in another log.
    let request = ReadEventsRequest { log_id, ..read("one", 99) };
    refused(client.read_events(request).await, Code::FailedPrecondition, "LOG_REPLACED").says(says);
    let says = [("expected", "other-store"), ("actual", hello.store_id.as_str())];
    let request = WatchRequest { store_id: store_id.clone(), ..watching("one") };
    refused(client.watch(request).await, Code::FailedPrecondition, "STORE_REPLACED").says(says);
    let request = ReadEventsRequest { store_id: store_id.clone(), ..read("one", 99) };
    refused(client.read_events(request).await, Code::FailedPrecondition, "STORE_REPLACED").says(says);
    let request = WatchAllRequest { store_id, after_position: 99, ..WatchAllRequest::default() };
    refused(client.watch_all(request).await, Code::FailedPrecondition, "STORE_REPLACED").says(says);
}

#[tokio::test]
async fn a_watch_request_that_cannot_be_meant_is_refused_with_its_field() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    client.create_execution(creation("one")).await.expect("new");
    let started = |start| WatchRequest { start: Some(start), ..watching("one") };
    let heartbeat_interval = Some(prost_types::Duration { seconds: 0, nanos: 99_000_000 });
    for (request, field) in [
        (started(Start::Live(false)), "live"),
        (started(Start::Since(Timestamp { seconds: 0, nanos: -1 })), "since.nanos"),
        (WatchRequest { on_trimmed: 9, ..watching("one") }, "on_trimmed"),
        (WatchRequest { heartbeat_interval, ..watching("one") }, "heartbeat_interval"),
        (WatchRequest { event_types: vec!["x".into(); 65], ..watching("one") }, "event_types"),
        (WatchRequest { event_types: vec!["x".repeat(257)], ..watching("one") }, "event_types[0]"),
    ] {
        assert_eq!(invalid_field(client.watch(request).await), field);
    }
    let request = WatchAllRequest { live: true, after_position: 1, ..WatchAllRequest::default() };
    assert_eq!(invalid_field(client.watch_all(request).await), "after_position");
}

#[tokio::test]
async fn one_watcher_too_many_is_refused_until_another_leaves() {
    let daemon = Daemon::start_configured("[limits]\nwatchers_max = 2\n");
    let client = daemon.client();
    client.clone().create_execution(creation("one")).await.expect("new");
    let first = Watch::open(&client, watching("one")).await.expect("there is room");
    let _second = Watch::open_all(&client, WatchAllRequest::default()).await.expect("there is room");
    let third = client.clone().watch(watching("one")).await;
    assert_eq!(refused(third, Code::ResourceExhausted, "TOO_MANY_WATCHERS").number("limit"), 2);
    drop(first);
    eventually("there is room again", async || Watch::open(&client, watching("one")).await.is_ok()).await;
}

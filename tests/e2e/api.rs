//! Create, append, read, get, delete, trim, stats, watchers: each rpc does what it says.

use std::collections::BTreeMap;

use tapeline::proto::v1::watcher::State;
use tapeline::proto::v1::{
    CreateExecutionRequest, DeleteExecutionRequest, GetExecutionRequest, GetStatsRequest,
    ListWatchersRequest, Phase, ReadEventsRequest, TrimExecutionRequest, event,
};
use tonic::Code;

use super::refusal::refused;
use super::stream::{Watch, eventually, watching};
use super::support::append::{batch, creation, custom, phase};
use super::support::daemon::Daemon;

fn get(id: &str) -> GetExecutionRequest {
    GetExecutionRequest { execution_id: id.into() }
}

fn read(id: &str, after_seq: u64, max_events: u32) -> ReadEventsRequest {
    ReadEventsRequest { execution_id: id.into(), after_seq, max_events, ..ReadEventsRequest::default() }
}

#[tokio::test]
async fn the_same_creation_again_returns_the_existing_one_and_another_is_refused() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    let request = CreateExecutionRequest {
        session_id: "s".into(),
        display_name: "A name".into(),
        labels: BTreeMap::from([("k".into(), "v".into())]),
        ..creation("one")
    };
    let first = client.create_execution(request.clone()).await.expect("new").into_inner();
    assert_eq!((first.id.as_str(), first.phase(), first.tail_seq), ("one", Phase::Pending, 1));
    assert_eq!((first.session_id.as_str(), first.display_name.as_str()), ("s", "A name"));
    assert_eq!(first.labels, request.labels);
    client.append(batch("one", vec![custom("x")])).await.expect("it exists");
    let again = client.create_execution(request.clone()).await.expect("the same").into_inner();
    assert_eq!((again.log_id.as_str(), again.tail_seq), (first.log_id.as_str(), 2));
    let other = CreateExecutionRequest { display_name: "Another".into(), ..request };
    refused(client.create_execution(other).await, Code::AlreadyExists, "EXECUTION_EXISTS")
        .says([("execution_id", "one")]);
}

#[tokio::test]
async fn an_id_is_made_when_none_is_given_and_a_deleted_one_is_never_used_again() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    let made = client.create_execution(CreateExecutionRequest::default()).await.expect("new").into_inner();
    assert!(made.id.starts_with("ex-"), "{}", made.id);
    let delete = DeleteExecutionRequest { execution_id: made.id.clone() };
    client.delete_execution(delete.clone()).await.expect("it exists");
    let gone = [("execution_id", made.id.as_str()), ("deleted", "true")];
    refused(client.get_execution(get(&made.id)).await, Code::NotFound, "EXECUTION_NOT_FOUND").says(gone);
    refused(client.delete_execution(delete).await, Code::NotFound, "EXECUTION_NOT_FOUND").says(gone);
    refused(client.create_execution(creation(&made.id)).await, Code::AlreadyExists, "EXECUTION_EXISTS")
        .says([("execution_id", made.id.as_str()), ("deleted", "true")]);
    let append = client.append(batch(&made.id, vec![custom("x")])).await;
    refused(append, Code::NotFound, "EXECUTION_NOT_FOUND").says(gone);
}

#[tokio::test]
async fn an_append_answers_with_its_seqs_and_positions_and_get_shows_what_it_changed() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    client.create_execution(creation("one")).await.expect("new");
    client.create_execution(creation("two")).await.expect("new");
    let reply = client.append(batch("one", vec![custom("a"), custom("b")])).await.expect("fine").into_inner();
    assert_eq!((reply.first_seq, reply.last_seq, reply.tail_seq, reply.last_position), (2, 3, 3, 4));
    assert!(!reply.duplicate);
    let mut failed = phase(Phase::Failed);
    if let Some(event::Body::PhaseChanged(changed)) = &mut failed.body {
        changed.error = "out of luck".into();
    }
    let reply = client.append(batch("one", vec![failed])).await.expect("fine").into_inner();
    let one = client.get_execution(get("one")).await.expect("there").into_inner();
    assert_eq!((one.phase(), one.error.as_str()), (Phase::Failed, "out of luck"));
    assert_eq!((one.floor_seq, one.tail_seq), (1, 4));
    assert_eq!((one.end_time, one.update_time), (reply.record_time, reply.record_time));
    assert!(one.stored_bytes > 0);
}

#[tokio::test]
async fn events_are_read_page_by_page_in_order_up_to_an_empty_page_at_the_tail() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    client.create_execution(creation("one")).await.expect("new");
    for _ in 0..3 {
        let events = (0..400).map(|number: u32| custom(number.to_string())).collect();
        client.append(batch("one", events)).await.expect("fine");
    }
    let mut seqs = Vec::new();
    let mut sizes = Vec::new();
    loop {
        let cursor = seqs.last().copied().unwrap_or(0);
        let page = client.read_events(read("one", cursor, 500)).await.expect("fine").into_inner();
        assert_eq!((page.floor_seq, page.tail_seq, page.phase()), (1, 1_201, Phase::Pending));
        sizes.push(page.events.len());
        if page.events.is_empty() {
            break;
        }
        seqs.extend(page.events.iter().map(|event| event.seq));
    }
    assert_eq!(seqs, (1..=1_201).collect::<Vec<u64>>());
    assert_eq!(sizes, [500, 500, 201, 0]);
    let page = client.read_events(read("one", 0, 0)).await.expect("fine").into_inner();
    assert_eq!(page.events.len(), 100, "the default");
    let page = client.read_events(read("one", 0, u32::MAX)).await.expect("fine").into_inner();
    assert_eq!(page.events.len(), 1_000, "the most");
    let times: Vec<_> = page.events.iter().map(|event| event.record_time.expect("set")).collect();
    assert!(times.is_sorted_by_key(|time| (time.seconds, time.nanos)));
}

#[tokio::test]
async fn a_page_of_large_events_ends_with_the_one_that_passes_1_mib_and_fits_a_default_client() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    client.create_execution(creation("one")).await.expect("new");
    client.append(batch("one", vec![custom(vec![7; 700 << 10]); 5])).await.expect("fine");
    let page = client.read_events(read("one", 1, 100)).await.expect("below 4 MiB").into_inner();
    assert_eq!(page.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [2, 3]);
}

#[tokio::test]
async fn a_trim_moves_the_floor_and_never_back() {
    let daemon = Daemon::start();
    let (mut client, mut admin) = (daemon.client(), daemon.admin());
    client.create_execution(creation("one")).await.expect("new");
    client.append(batch("one", vec![custom("x"); 9])).await.expect("fine");
    let trim = |floor_seq| TrimExecutionRequest { execution_id: "one".into(), floor_seq };
    for (asked, floor) in [(6, 6), (3, 6), (11, 11)] {
        let reply = admin.trim_execution(trim(asked)).await.expect("fine").into_inner();
        assert_eq!(reply.floor_seq, floor, "asked for {asked}");
    }
    let one = client.get_execution(get("one")).await.expect("there").into_inner();
    assert_eq!((one.floor_seq, one.tail_seq), (11, 10));
    let page = client.read_events(read("one", 10, 0)).await.expect("one below the floor").into_inner();
    assert!(page.events.is_empty());
    client.append(batch("one", vec![custom("after")])).await.expect("it goes on");
    let page = client.read_events(read("one", 10, 0)).await.expect("fine").into_inner();
    assert_eq!(page.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [11]);
}

#[tokio::test]
async fn the_stats_say_what_there_is() {
    let daemon = Daemon::start();
    let (mut client, admin) = (daemon.client(), daemon.admin());
    client.create_execution(creation("one")).await.expect("new");
    client.append(batch("one", vec![custom(vec![1; 10_000])])).await.expect("fine");
    let watch = Watch::open(&client, watching("one")).await.expect("there");
    let stats = admin.clone().get_stats(GetStatsRequest {}).await.expect("fine").into_inner();
    assert_eq!(stats.version, env!("CARGO_PKG_VERSION"));
    assert_eq!((stats.executions, stats.tail_position, stats.watchers), (Some(1), 2, 1));
    assert!(stats.unsealed_bytes >= 10_000 && stats.journal_used_bytes > 0 && stats.commits >= 2);
    assert!(!stats.disk_full);
    // A place in the queue is given back right after the answer.
    let idle = async || {
        let stats = admin.clone().get_stats(GetStatsRequest {}).await.expect("fine").into_inner();
        stats.queued_requests == 0
    };
    eventually("nothing waits for the writer", idle).await;
    assert_eq!(stats.store_id, watch.hello.store_id);
    assert!(daemon.ready_line().contains(&format!("(store {})", stats.store_id)), "{}", daemon.ready_line());
}

#[tokio::test]
async fn watchers_are_listed_with_where_they_stand_until_they_leave() {
    let daemon = Daemon::start();
    let (client, admin) = (daemon.client(), daemon.admin());
    for id in ["one", "two"] {
        client.clone().create_execution(creation(id)).await.expect("new");
    }
    let mut one = Watch::open(&client, watching("one")).await.expect("there");
    one.until_caught_up().await;
    let two = Watch::open(&client, watching("two")).await.expect("there");
    let list = async |execution_id: &str| {
        let request =
            ListWatchersRequest { execution_id: execution_id.into(), ..ListWatchersRequest::default() };
        admin.clone().list_watchers(request).await.expect("fine").into_inner().watchers
    };
    assert_eq!(list("").await.len(), 2);
    let live = async || list("one").await.iter().any(|watcher| watcher.state() == State::Live);
    eventually("the first is live", live).await;
    let listed = list("one").await.remove(0);
    assert_eq!((listed.execution_id.as_str(), listed.cursor_seq, listed.lag_events), ("one", 1, 0));
    assert!(listed.peer.starts_with("127.0.0.1:") && !listed.id.is_empty());
    assert!(listed.since.is_some() && listed.last_progress.is_some());
    drop(two);
    eventually("the second has left", async || list("").await.len() == 1).await;
    assert!(list("two").await.is_empty() && list("unknown").await.is_empty());
}

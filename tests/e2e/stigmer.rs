//! The Stigmer contract on the real daemon: what its runner and its subscribers see, and what the native
//! API shows of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tapeline::proto::stigmer::agentexecution as wire;
use tapeline::proto::stigmer::apiresource::ApiResourceId;
use tapeline::proto::v1::event::Body;
use tapeline::proto::v1::watcher::State;
use tapeline::proto::v1::{
    AppendRequest, Event, ListWatchersRequest, MessageAdded, Output, ReadEventsRequest,
};
use tonic::Code;

use super::contract::{
    COMPLETED, IN_PROGRESS, clients, contents, created, get, id_of, message, new_execution,
    new_execution_with_id, phase_of, subscribe, tail, update,
};
use super::refusal::{invalid_field, refused};
use super::stream::eventually;
use super::support::append::{batch, creation};
use super::support::daemon::{Client, Daemon};

#[tokio::test]
async fn what_is_created_is_pending_and_named_by_the_daemon() {
    let daemon = Daemon::start();
    let (mut command, query) = clients(&daemon);
    let reply = command.create(new_execution("Test Execution")).await.expect("it is valid").into_inner();
    let metadata = reply.metadata.clone().expect("always set");
    assert!(metadata.id.starts_with("aex-"), "{}", metadata.id);
    assert_eq!(metadata.slug, "test-execution");
    assert_eq!(
        (reply.api_version.as_str(), reply.kind.as_str()),
        ("agentic.stigmer.ai/v1", "AgentExecution")
    );
    assert_eq!(phase_of(&reply), 1);
    assert_eq!(get(&query, &metadata.id).await, reply);
}

#[tokio::test]
async fn an_id_that_a_client_chose_is_kept_and_the_same_creation_again_is_the_same_execution() {
    let daemon = Daemon::start();
    let (mut command, _) = clients(&daemon);
    let execution = new_execution_with_id("my-run.1");
    let reply = command.create(execution.clone()).await.expect("it is valid").into_inner();
    assert_eq!(reply.metadata.as_ref().expect("always set").id, "my-run.1");
    command.update_status(update("my-run.1", IN_PROGRESS, &["a"])).await.expect("it is valid");
    let before = tail(&daemon, "my-run.1").await;
    let again = command.create(execution.clone()).await.expect("it is the same").into_inner();
    assert_eq!((contents(&again), phase_of(&again)), (vec!["a"], IN_PROGRESS));
    let mut other = execution.clone();
    other.spec.as_mut().expect("set").message = "something else".into();
    let refusal = refused(command.create(other).await, Code::AlreadyExists, "EXECUTION_EXISTS");
    refusal.says([("execution_id", "my-run.1")]);
    assert_eq!(tail(&daemon, "my-run.1").await, before);
    command.delete(ApiResourceId { value: "my-run.1".into() }).await.expect("it is there");
    let refusal = refused(command.create(execution).await, Code::AlreadyExists, "EXECUTION_EXISTS");
    refusal.says([("execution_id", "my-run.1"), ("deleted", "true")]);
    assert_eq!(invalid_field(command.create(new_execution_with_id("no id")).await), "metadata.id");
}

#[tokio::test]
async fn an_update_is_stored_as_its_difference_and_the_same_once_more_stores_nothing() {
    let daemon = Daemon::start();
    let (mut command, _) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let before = tail(&daemon, &id).await;
    command.update_status(update(&id, IN_PROGRESS, &["hel"])).await.expect("it is valid");
    command.update_status(update(&id, IN_PROGRESS, &["hello"])).await.expect("it is valid");
    let after = tail(&daemon, &id).await;
    assert_eq!(after, before + 3, "a message, the phase, the rest of the text");
    command.update_status(update(&id, IN_PROGRESS, &["hello"])).await.expect("nothing changes");
    assert_eq!(tail(&daemon, &id).await, after);
    let request = ReadEventsRequest { execution_id: id, after_seq: before, ..Default::default() };
    let events = daemon.client().read_events(request).await.expect("they are there").into_inner().events;
    assert!(matches!(&events[2].body, Some(Body::MessageTextAppended(text)) if text.text == "lo"));
}

#[tokio::test]
async fn a_subscriber_gets_the_present_state_each_change_and_the_end() {
    let daemon = Daemon::start();
    let (mut command, query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let mut states = subscribe(&query, &id).await;
    assert_eq!(phase_of(&states.next().await), 1);
    command.update_status(update(&id, IN_PROGRESS, &["a"])).await.expect("it is valid");
    assert_eq!(contents(&states.next().await), ["a"]);
    let added = MessageAdded { index: 1, message: Some(message("native")) };
    let event = Event { body: Some(Body::MessageAdded(added)), ..Default::default() };
    daemon.client().append(batch(&id, vec![event])).await.expect("the index fits");
    assert_eq!(contents(&states.next().await), ["a", "native"]);
    command.update_status(update(&id, COMPLETED, &[])).await.expect("it is valid");
    let rest = states.rest().await;
    assert_eq!(rest.iter().map(phase_of).collect::<Vec<_>>(), [COMPLETED]);
}

/// Appends output to an execution, many batches at a time, until it is told to stop. Returns how many
/// batches were acknowledged.
async fn flood(client: Client, id: String, stop: Arc<AtomicBool>) -> u64 {
    let output = Output { stream: 1, data: vec![b'x'; 100].into(), truncated: false };
    let event = Event { body: Some(Body::Output(output)), ..Default::default() };
    let request = AppendRequest { execution_id: id, events: vec![event; 10], ..Default::default() };
    let requests = futures_util::stream::unfold((), move |()| {
        let more = (!stop.load(Ordering::Relaxed)).then(|| (request.clone(), ()));
        async move { more }
    });
    let mut answers = client.clone().append_stream(requests).await.expect("it opens").into_inner();
    let mut acknowledged = 0;
    while answers.message().await.expect("no batch is refused").is_some() {
        acknowledged += 1;
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_native_flood_of_output_on_the_same_execution_holds_no_update_up() {
    const UPDATES: usize = 100;
    let daemon = Daemon::start();
    let (mut command, query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let stop = Arc::new(AtomicBool::new(false));
    let floods: Vec<_> =
        (0..2).map(|_| tokio::spawn(flood(daemon.client(), id.clone(), stop.clone()))).collect();
    eventually("the flood has begun", async || tail(&daemon, &id).await > 1_000).await;
    let begun_at = tail(&daemon, &id).await;
    let (mut texts, mut longest) = (Vec::new(), Duration::ZERO);
    for number in 0..UPDATES {
        texts.push(number.to_string());
        let said: Vec<_> = texts.iter().map(String::as_str).collect();
        let begun = Instant::now();
        command.update_status(update(&id, IN_PROGRESS, &said)).await.expect("it gets its turn");
        longest = longest.max(begun.elapsed());
    }
    let ended_at = tail(&daemon, &id).await;
    stop.store(true, Ordering::Relaxed);
    for flood in floods {
        assert!(flood.await.expect("no panic") > 0);
    }
    println!("the longest of {UPDATES} updates took {longest:?} among {} events", ended_at - begun_at);
    assert!(longest < Duration::from_millis(2_500), "an update took {longest:?}");
    assert!(ended_at - begun_at > 10 * UPDATES as u64, "it was no flood: {}", ended_at - begun_at);
    assert_eq!(contents(&get(&query, &id).await), texts);
}

#[tokio::test]
async fn subscribers_are_among_the_watchers_that_are_listed() {
    let daemon = Daemon::start();
    let (mut command, query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let listed = async || {
        let request = ListWatchersRequest { execution_id: id.clone(), ..ListWatchersRequest::default() };
        daemon.admin().list_watchers(request).await.expect("it is valid").into_inner().watchers
    };
    let mut states = subscribe(&query, &id).await;
    states.next().await;
    let watchers = listed().await;
    assert_eq!(watchers.len(), 1);
    assert_eq!((watchers[0].execution_id.as_str(), watchers[0].state()), (id.as_str(), State::Live));
    assert_eq!((watchers[0].cursor_seq, watchers[0].lag_events), (2, 0));
    assert!(watchers[0].peer.starts_with("127.0.0.1:"), "{}", watchers[0].peer);
    command.update_status(update(&id, IN_PROGRESS, &[])).await.expect("it is valid");
    states.next().await;
    eventually("its cursor is that of the state", async || listed().await[0].cursor_seq == 3).await;
    drop(states);
    eventually("it is gone", async || listed().await.is_empty()).await;
}

#[tokio::test]
async fn secrets_come_back_from_get_and_from_nothing_else() {
    let daemon = Daemon::start();
    let (mut command, mut query) = clients(&daemon);
    let mut execution = new_execution("one");
    execution.spec.as_mut().expect("set").callback_token = "hunter2".into();
    let reply = command.create(execution).await.expect("it is valid").into_inner();
    assert!(reply.spec.expect("always set").callback_token.is_empty());
    let id = reply.metadata.expect("always set").id;
    let state = get(&query, &id).await;
    assert_eq!(state.spec.expect("always set").callback_token, "hunter2");
    let page = query.list(wire::ListAgentExecutionsRequest::default()).await.expect("valid").into_inner();
    assert!(page.entries[0].spec.as_ref().expect("always set").callback_token.is_empty());
}

#[tokio::test]
async fn an_update_of_the_users_part_keeps_the_status() {
    let daemon = Daemon::start();
    let (mut command, query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    command.update_status(update(&id, IN_PROGRESS, &["a"])).await.expect("it is valid");
    let mut execution = new_execution("two");
    execution.metadata.as_mut().expect("set").id = id.clone();
    command.update(execution).await.expect("it is valid");
    let state = get(&query, &id).await;
    assert_eq!((contents(&state), phase_of(&state)), (vec!["a"], IN_PROGRESS));
    let metadata = state.metadata.expect("always set");
    assert_eq!((metadata.name.as_str(), metadata.slug.as_str()), ("two", "one"));
}

#[tokio::test]
async fn an_execution_of_the_native_api_is_one_of_the_contract_too() {
    let daemon = Daemon::start();
    let (mut command, mut query) = clients(&daemon);
    daemon.client().create_execution(creation("native")).await.expect("new");
    assert_eq!(phase_of(&get(&query, "native").await), 1);
    command.update_status(update("native", COMPLETED, &["a"])).await.expect("it is valid");
    let reply = query.get(id_of("native")).await.expect("it is there").into_inner();
    assert_eq!((contents(&reply), phase_of(&reply)), (vec!["a"], COMPLETED));
}

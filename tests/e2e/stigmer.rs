//! The Stigmer contract on the real daemon: what its runner and its subscribers see, and what the native
//! API shows of it.

use tapeline::proto::stigmer::agentexecution as wire;
use tapeline::proto::stigmer::agentexecution::agent_execution_command_controller_client::AgentExecutionCommandControllerClient;
use tapeline::proto::stigmer::agentexecution::agent_execution_query_controller_client::AgentExecutionQueryControllerClient;
use tapeline::proto::stigmer::apiresource::{ApiResourceId, ApiResourceMetadata};
use tapeline::proto::v1::event::Body;
use tapeline::proto::v1::{AppendRequest, Event, GetExecutionRequest, MessageAdded, ReadEventsRequest};
use tonic::transport::Channel;
use tonic::{Code, Streaming};

use super::refusal::{invalid_field, refusal};
use super::support::daemon::Daemon;

type Command = AgentExecutionCommandControllerClient<Channel>;
type Query = AgentExecutionQueryControllerClient<Channel>;

fn clients(daemon: &Daemon) -> (Command, Query) {
    (Command::new(daemon.channel()), Query::new(daemon.channel()))
}

fn new_execution(name: &str) -> wire::AgentExecution {
    let spec =
        wire::AgentExecutionSpec { session_id: "s".into(), message: "do it".into(), ..Default::default() };
    let metadata = ApiResourceMetadata { name: name.into(), ..Default::default() };
    wire::AgentExecution { metadata: Some(metadata), spec: Some(spec), ..Default::default() }
}

async fn created(command: &mut Command, name: &str) -> String {
    let reply = command.create(new_execution(name)).await.expect("it is valid").into_inner();
    reply.metadata.expect("always set").id
}

fn update(id: &str, phase: i32, messages: &[&str]) -> wire::AgentExecutionUpdateStatusInput {
    let message = |text: &&str| wire::AgentMessage { content: (*text).into(), ..Default::default() };
    let messages = messages.iter().map(message).collect();
    let status = wire::AgentExecutionStatus { phase, messages, ..Default::default() };
    wire::AgentExecutionUpdateStatusInput { execution_id: id.into(), status: Some(status) }
}

fn id_of(id: &str) -> wire::AgentExecutionId {
    wire::AgentExecutionId { value: id.into() }
}

fn contents(execution: &wire::AgentExecution) -> Vec<&str> {
    let status = execution.status.as_ref().expect("always set");
    status.messages.iter().map(|message| message.content.as_str()).collect()
}

fn phase_of(execution: &wire::AgentExecution) -> i32 {
    execution.status.as_ref().expect("always set").phase
}

async fn next(states: &mut Streaming<wire::AgentExecution>) -> wire::AgentExecution {
    states.message().await.expect("no error").expect("a state")
}

async fn tail(daemon: &Daemon, id: &str) -> u64 {
    let request = GetExecutionRequest { execution_id: id.into() };
    daemon.client().get_execution(request).await.expect("it is there").into_inner().tail_seq
}

#[tokio::test]
async fn what_is_created_is_pending_and_named_by_the_daemon() {
    let daemon = Daemon::start();
    let (mut command, mut query) = clients(&daemon);
    let reply = command.create(new_execution("Test Execution")).await.expect("it is valid").into_inner();
    let metadata = reply.metadata.clone().expect("always set");
    assert!(metadata.id.starts_with("aex-"), "{}", metadata.id);
    assert_eq!(metadata.slug, "test-execution");
    assert_eq!(
        (reply.api_version.as_str(), reply.kind.as_str()),
        ("agentic.stigmer.ai/v1", "AgentExecution")
    );
    assert_eq!(phase_of(&reply), 1);
    assert_eq!(query.get(id_of(&metadata.id)).await.expect("it is there").into_inner(), reply);
}

#[tokio::test]
async fn an_update_is_stored_as_its_difference_and_the_same_once_more_stores_nothing() {
    let daemon = Daemon::start();
    let (mut command, _) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let before = tail(&daemon, &id).await;
    command.update_status(update(&id, 2, &["hel"])).await.expect("it is valid");
    command.update_status(update(&id, 2, &["hello"])).await.expect("it is valid");
    let after = tail(&daemon, &id).await;
    assert_eq!(after, before + 3, "a message, the phase, the rest of the text");
    command.update_status(update(&id, 2, &["hello"])).await.expect("nothing changes");
    assert_eq!(tail(&daemon, &id).await, after);
    let request = ReadEventsRequest { execution_id: id, after_seq: before, ..Default::default() };
    let events = daemon.client().read_events(request).await.expect("they are there").into_inner().events;
    assert!(matches!(&events[2].body, Some(Body::MessageTextAppended(text)) if text.text == "lo"));
}

#[tokio::test]
async fn a_subscriber_gets_the_present_state_each_change_and_the_end() {
    let daemon = Daemon::start();
    let (mut command, mut query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let mut states = query.subscribe(id_of(&id)).await.expect("it is there").into_inner();
    assert_eq!(phase_of(&next(&mut states).await), 1);
    command.update_status(update(&id, 2, &["a"])).await.expect("it is valid");
    assert_eq!(contents(&next(&mut states).await), ["a"]);
    let message = wire::AgentMessage { content: "native".into(), ..Default::default() };
    let added = MessageAdded { index: 1, message: Some(message) };
    let event = Event { body: Some(Body::MessageAdded(added)), ..Default::default() };
    let append = AppendRequest { execution_id: id.clone(), events: vec![event], ..Default::default() };
    daemon.client().append(append).await.expect("the index fits");
    assert_eq!(contents(&next(&mut states).await), ["a", "native"]);
    command.update_status(update(&id, 3, &[])).await.expect("it is valid");
    assert_eq!(phase_of(&next(&mut states).await), 3);
    assert!(states.message().await.expect("it ends well").is_none());
    let mut late = query.subscribe(id_of(&id)).await.expect("it is there").into_inner();
    assert_eq!(contents(&next(&mut late).await), ["a", "native"]);
    assert!(late.message().await.expect("it ends well").is_none());
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_still_gets_the_last_state() {
    let daemon = Daemon::start();
    let (mut command, mut query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let mut states = query.subscribe(id_of(&id)).await.expect("it is there").into_inner();
    let long = "x".repeat(64 << 10);
    for number in 0..200 {
        let text = format!("{number}{long}");
        command.update_status(update(&id, 2, &[&text])).await.expect("it is valid");
    }
    command.update_status(update(&id, 3, &["end"])).await.expect("it is valid");
    let (mut last, mut count) = (next(&mut states).await, 1);
    while let Some(state) = states.message().await.expect("it ends well") {
        (last, count) = (state, count + 1);
    }
    assert_eq!((phase_of(&last), contents(&last)), (3, vec!["end"]));
    assert!(count < 200, "nothing was left out for a subscriber that did not read: {count}");
}

#[tokio::test]
async fn a_late_update_does_not_reopen_what_has_ended() {
    let daemon = Daemon::start();
    let (mut command, _) = clients(&daemon);
    let id = created(&mut command, "one").await;
    command.update_status(update(&id, 4, &["a"])).await.expect("it is valid");
    command.update_status(update(&id, 4, &["a"])).await.expect("nothing changes");
    let refused = command.update_status(update(&id, 2, &["a", "b"])).await.expect_err("it has ended");
    refusal(refused, Code::FailedPrecondition, "EXECUTION_ENDED");
}

#[tokio::test]
async fn concurrent_updates_keep_what_each_of_them_says() {
    let daemon = Daemon::start();
    let (mut command, mut query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let before = tail(&daemon, &id).await;
    let updates = (0..64).map(|number| {
        let (mut command, id) = (command.clone(), id.clone());
        tokio::spawn(async move {
            let text = format!("from {number}");
            let reply = command.update_status(update(&id, 2, &[&text])).await;
            reply.map(|reply| contents(&reply.into_inner()).len())
        })
    });
    for update in updates.collect::<Vec<_>>() {
        assert_eq!(update.await.expect("no panic").expect("none is refused"), 1);
    }
    assert_eq!(tail(&daemon, &id).await, before + 65, "64 changes of the message and the phase");
    assert_eq!(contents(query.get(id_of(&id)).await.expect("there").get_ref()).len(), 1);
}

#[tokio::test]
async fn the_state_is_there_after_a_kill_and_a_restart() {
    let mut daemon = Daemon::start();
    let (mut command, _) = clients(&daemon);
    let id = created(&mut command, "one").await;
    command.update_status(update(&id, 2, &["a", "b"])).await.expect("it is valid");
    daemon.kill();
    daemon.start_again();
    let (_, mut query) = clients(&daemon);
    let state = query.get(id_of(&id)).await.expect("it is there").into_inner();
    assert_eq!(contents(&state), ["a", "b"]);
}

#[tokio::test]
async fn a_deletion_ends_subscribers_and_returns_what_was_there() {
    let daemon = Daemon::start();
    let (mut command, mut query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let mut states = query.subscribe(id_of(&id)).await.expect("it is there").into_inner();
    next(&mut states).await;
    let reply = command.delete(ApiResourceId { value: id.clone() }).await.expect("it is there").into_inner();
    assert_eq!(reply.metadata.expect("always set").name, "one");
    assert_eq!(states.message().await.expect_err("it is gone").code(), Code::NotFound);
    assert_eq!(query.get(id_of(&id)).await.expect_err("it is gone").code(), Code::NotFound);
}

#[tokio::test]
async fn a_stop_ends_subscribers_with_an_error_they_can_come_back_from() {
    let mut daemon = Daemon::start();
    let (mut command, mut query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let mut states = query.subscribe(id_of(&id)).await.expect("it is there").into_inner();
    next(&mut states).await;
    let stopping = tokio::task::spawn_blocking(move || daemon.terminate());
    let ended = states.message().await.expect_err("the daemon stops");
    refusal(ended, Code::Unavailable, "SHUTTING_DOWN");
    let (status, took) = stopping.await.expect("no panic");
    assert!(status.success() && took.as_secs() < 5, "{status} after {took:?}");
}

#[tokio::test]
async fn a_state_above_four_mebibytes_is_still_shown_and_updated() {
    let daemon = Daemon::start();
    let (mut command, mut query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let long = "x".repeat(2 << 20);
    let reply = command.update_status(update(&id, 2, &[&long, &long, &long])).await.expect("it is valid");
    assert_eq!(reply.metadata().get("tapeline-truncated").expect("said"), "true");
    let reply = query.get(id_of(&id)).await.expect("it fits");
    let lengths: Vec<_> = contents(reply.get_ref()).iter().map(|content| content.len()).collect();
    assert_eq!(lengths, [0, 0, 2 << 20]);
    let mut states = query.subscribe(id_of(&id)).await.expect("it is there").into_inner();
    let annotations = next(&mut states).await.metadata.expect("always set").annotations;
    assert_eq!(annotations["tapeline-truncated"], "true");
}

#[tokio::test]
async fn lists_page_and_filter() {
    let daemon = Daemon::start();
    let (mut command, mut query) = clients(&daemon);
    let mut ids = Vec::new();
    for number in 0..5 {
        let mut execution = new_execution(&format!("n{number}"));
        execution.metadata.as_mut().expect("set").tags = vec![format!("t{}", number % 2)];
        let reply = command.create(execution).await.expect("it is valid").into_inner();
        ids.insert(0, reply.metadata.expect("always set").id);
    }
    let mut seen = Vec::new();
    let mut page_token = String::new();
    while seen.len() < 5 {
        let request = wire::ListAgentExecutionsRequest { page_size: 2, page_token, ..Default::default() };
        let page = query.list(request).await.expect("it is valid").into_inner();
        assert_eq!(page.total_pages, 3);
        seen.extend(page.entries.into_iter().map(|entry| entry.metadata.expect("always set").id));
        page_token = seen.last().expect("a page is not empty here").clone();
    }
    assert_eq!(seen, ids);
    let tagged = wire::ListAgentExecutionsRequest { tags: vec!["t1".into()], ..Default::default() };
    assert_eq!(query.list(tagged).await.expect("it is valid").into_inner().entries.len(), 2);
    let by_session = |session: &str| wire::ListAgentExecutionsBySessionRequest {
        session_id: session.into(),
        ..Default::default()
    };
    assert_eq!(query.list_by_session(by_session("s")).await.expect("valid").into_inner().entries.len(), 5);
    assert_eq!(query.list_by_session(by_session("t")).await.expect("valid").into_inner().entries.len(), 0);
}

#[tokio::test]
async fn what_a_request_must_say_is_asked_for_and_nothing_is_written() {
    let daemon = Daemon::start();
    let (mut command, mut query) = clients(&daemon);
    let change = |change: fn(&mut wire::AgentExecution)| {
        let mut execution = new_execution("one");
        change(&mut execution);
        execution
    };
    let wrong = [
        change(|execution| execution.metadata = None),
        change(|execution| execution.spec = None),
        change(|execution| execution.metadata.as_mut().expect("set").name.clear()),
        change(|execution| execution.metadata.as_mut().expect("set").owner_scope = 2),
        change(|execution| execution.spec.as_mut().expect("set").message.clear()),
        change(|execution| execution.spec.as_mut().expect("set").session_id.clear()),
        change(|execution| execution.kind = "Other".into()),
    ];
    for execution in wrong {
        invalid_field(command.create(execution).await);
    }
    let id = created(&mut command, "one").await;
    let before = tail(&daemon, &id).await;
    let unset = wire::AgentExecutionUpdateStatusInput { execution_id: id.clone(), status: None };
    for (input, code) in [
        (unset, Code::InvalidArgument),
        (update("", 2, &[]), Code::InvalidArgument),
        (update(&id, 77, &[]), Code::InvalidArgument),
        (update("aex-unknown", 2, &[]), Code::NotFound),
    ] {
        assert_eq!(command.update_status(input).await.expect_err("it is not valid").code(), code);
    }
    assert_eq!(tail(&daemon, &id).await, before);
    assert_eq!(query.get(id_of("")).await.expect_err("empty").code(), Code::InvalidArgument);
    assert_eq!(query.subscribe(id_of("none")).await.expect_err("unknown").code(), Code::NotFound);
    let large = "x".repeat(17 << 20);
    assert!(command.update_status(update(&id, 2, &[&large])).await.is_err());
    assert_eq!(tail(&daemon, &id).await, before);
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
    let state = query.get(id_of(&id)).await.expect("it is there").into_inner();
    assert_eq!(state.spec.expect("always set").callback_token, "hunter2");
    let page = query.list(wire::ListAgentExecutionsRequest::default()).await.expect("valid").into_inner();
    assert!(page.entries[0].spec.as_ref().expect("always set").callback_token.is_empty());
}

#[tokio::test]
async fn an_update_of_the_users_part_keeps_the_status() {
    let daemon = Daemon::start();
    let (mut command, mut query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    command.update_status(update(&id, 2, &["a"])).await.expect("it is valid");
    let mut execution = new_execution("two");
    execution.metadata.as_mut().expect("set").id = id.clone();
    command.update(execution).await.expect("it is valid");
    let state = query.get(id_of(&id)).await.expect("it is there").into_inner();
    assert_eq!((contents(&state), phase_of(&state)), (vec!["a"], 2));
    let metadata = state.metadata.expect("always set");
    assert_eq!((metadata.name.as_str(), metadata.slug.as_str()), ("two", "one"));
}

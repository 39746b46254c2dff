//! Executions whose state is too large for the contract, or would be: what is refused has written nothing, and
//! such a run can still be listed, ended and deleted.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use prost::Message;
use tapeline::proto::stigmer::agentexecution as wire;
use tapeline::proto::stigmer::apiresource::ApiResourceId;
use tapeline::proto::v1::event::Body;
use tapeline::proto::v1::{Event, ListWatchersRequest, MessageTextAppended};
use tonic::Code;

use super::contract::{
    COMPLETED, Command, FAILED, IN_PROGRESS, clients, created, id_of, message, phase_of, subscribe, tail,
    update, update_with,
};
use super::refusal::refused;
use super::support::append::batch;
use super::support::daemon::{Daemon, PATIENCE};
use super::wire::{greedy_preface, raw_request};

const LIMIT: u64 = 64 << 20;

/// Adds text to the first message, natively.
async fn grow(daemon: &Daemon, id: &str, mib: usize) {
    let text = |_| {
        let text = MessageTextAppended { index: 0, text: "x".repeat(1_000_000) };
        Event { body: Some(Body::MessageTextAppended(text)), ..Default::default() }
    };
    for _ in 0..mib / 4 {
        daemon.client().append(batch(id, (0..4).map(text).collect())).await.expect("it is valid");
    }
}

async fn too_large(command: &mut Command, update: wire::AgentExecutionUpdateStatusInput) {
    let refusal = refused(command.update_status(update).await, Code::ResourceExhausted, "STATE_TOO_LARGE");
    assert_eq!(refusal.number("limit"), LIMIT);
    assert!(refusal.number("actual") > LIMIT);
}

/// Once it was written and then refused: the runner was told that there was no room for what was durable.
#[tokio::test]
async fn a_change_that_makes_a_state_too_large_is_refused_before_anything_is_written() {
    let daemon = Daemon::start();
    let (mut command, _) = clients(&daemon);
    let id = created(&mut command, "one").await;
    command.update_status(update(&id, IN_PROGRESS, &["a"])).await.expect("it is valid");
    grow(&daemon, &id, 64).await;
    let before = tail(&daemon, &id).await;
    let call = |mib: usize| wire::ToolCall { result: "r".repeat(mib << 20), ..Default::default() };
    let status = |mib| wire::AgentExecutionStatus { tool_calls: vec![call(mib)], ..Default::default() };
    too_large(&mut command, update_with(&id, status(4))).await;
    assert_eq!(tail(&daemon, &id).await, before);
    command.update_status(update_with(&id, status(2))).await.expect("so much is left");
    // One text takes the place of another: in between there are both, and that is no reason to refuse it.
    let shorter = wire::AgentExecutionStatus { messages: vec![message(&"y".repeat(15 << 20))], ..status(0) };
    command.update_status(update_with(&id, shorter)).await.expect("it is small");
    command.update_status(update(&id, COMPLETED, &[])).await.expect("it is small");
}

#[tokio::test]
async fn a_run_whose_state_is_too_large_can_be_listed_ended_and_deleted() {
    let daemon = Daemon::start();
    let (mut command, mut query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    command.update_status(update(&id, IN_PROGRESS, &["a"])).await.expect("it is valid");
    grow(&daemon, &id, 72).await;
    let before = tail(&daemon, &id).await;
    too_large(&mut command, update(&id, IN_PROGRESS, &["b"])).await;
    refused(query.get(id_of(&id)).await, Code::ResourceExhausted, "STATE_TOO_LARGE");
    let list = query.list(wire::ListAgentExecutionsRequest::default()).await.expect("a page");
    assert_eq!(list.metadata().get("tapeline-truncated").expect("said"), "true");
    assert_eq!(list.get_ref().entries[0].metadata.as_ref().expect("always set").name, "one");
    assert_eq!(tail(&daemon, &id).await, before);

    let mut end = update(&id, FAILED, &["b"]);
    end.status.as_mut().expect("set").error = "too much".into();
    let reply = command.update_status(end.clone()).await.expect("it can end");
    assert_eq!(reply.metadata().get("tapeline-truncated").expect("said"), "true");
    let status = reply.get_ref().status.as_ref().expect("always set");
    assert_eq!((phase_of(reply.get_ref()), status.error.as_str()), (FAILED, "too much"));
    assert_eq!(tail(&daemon, &id).await, before + 1, "the phase and nothing else");
    command.update_status(end).await.expect("it has ended so");
    let other = command.update_status(update(&id, COMPLETED, &[])).await;
    refused(other, Code::FailedPrecondition, "EXECUTION_ENDED");
    assert_eq!(tail(&daemon, &id).await, before + 1);

    let reply = command.delete(ApiResourceId { value: id.clone() }).await.expect("it can go").into_inner();
    assert_eq!((reply.metadata.as_ref().expect("always set").id.as_str(), phase_of(&reply)), (&*id, FAILED));
    refused(query.get(id_of(&id)).await, Code::NotFound, "EXECUTION_NOT_FOUND");
}

/// What the daemon may take in all: the limit of what subscribers have not taken, and what else it needs.
const MEMORY_MAX: u64 = (512 + 250) << 20;

/// Their windows are wide open, so the transport takes each state at once and keeps it for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_that_never_read_are_held_to_a_bound_however_wide_their_windows_are() {
    let daemon = Daemon::start();
    let (mut command, mut query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let long = "x".repeat(3 << 20);
    command.update_status(update(&id, IN_PROGRESS, &[&long])).await.expect("it is valid");
    let mut silent = TcpStream::connect(daemon.addr()).expect("it listens");
    let path = "/ai.stigmer.agentic.agentexecution.v1.AgentExecutionQueryController/subscribe";
    let message = wire::AgentExecutionId { value: id.clone() }.encode_to_vec();
    let mut bytes = greedy_preface();
    (0..400).for_each(|number| bytes.extend(raw_request(2 * number + 1, path, &message)));
    silent.write_all(&bytes).expect("it is read");
    // Each of them is given one, or waits for room until it is told that there is none.
    let watchers = || async {
        let request = ListWatchersRequest { execution_id: id.clone(), ..Default::default() };
        daemon.admin().list_watchers(request).await.expect("it is well").into_inner().watchers.len()
    };
    let deadline = Instant::now() + PATIENCE;
    let mut most = 0;
    loop {
        let now = watchers().await;
        most = most.max(now);
        if most > 200 && now < 200 {
            break;
        }
        assert!(Instant::now() < deadline, "{now} of {most} are still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(daemon.peak_bytes() < MEMORY_MAX, "{} bytes", daemon.peak_bytes());
    drop(silent);
    // Once they are gone there is room again.
    command.update_status(update(&id, COMPLETED, &[])).await.expect("it is valid");
    let last = subscribe(&query, &id).await.rest().await.pop().expect("a state");
    assert_eq!(phase_of(&last), COMPLETED);
    query.get(id_of(&id)).await.expect("it is well");
}

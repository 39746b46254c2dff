//! How long `get` of the Stigmer contract takes for a run of 100,000 events: the first time after a restart
//! of the daemon, with the snapshots that were left and without any, and the second time. Medians of 5
//! restarts. Fails if the first time with snapshots, or the second, is above its bound.
//!
//! `cargo bench --bench state_after_restart`

#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod support;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tapeline::proto::stigmer::agentexecution::agent_execution_query_controller_client::AgentExecutionQueryControllerClient;
use tapeline::proto::stigmer::agentexecution::{AgentExecutionId, AgentMessage};
use tapeline::proto::v1::event::Body;
use tapeline::proto::v1::execution_log_service_client::ExecutionLogServiceClient;
use tapeline::proto::v1::{
    AppendRequest, CreateExecutionRequest, Event, MessageAdded, MessageTextAppended, Output,
};
use tonic::transport::Channel;

use support::{daemon, median};

const RESTARTS: usize = 5;
const EVENTS: u64 = 100_000;
const BATCH: u64 = 1_000;
/// Tokens of one message; each tenth event is output of the program and adds nothing to the state.
const TOKENS: u64 = 999;
const ID: &str = "run";
/// What the first `get` after a restart may take where there are snapshots, and what the second may take.
const BOUND: Duration = Duration::from_millis(250);

#[tokio::main]
async fn main() -> ExitCode {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on a real disk");
    let snapshots = dir.path().join("snapshots");
    {
        let (_daemon, url) = daemon(dir.path());
        write(ExecutionLogServiceClient::connect(url).await.expect("the daemon is ready")).await;
        let begun = Instant::now();
        while !has_late_snapshot(&snapshots) {
            assert!(begun.elapsed() < Duration::from_secs(60), "no snapshot was made");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let (first, second) = measure(dir.path(), None).await;
    let (without, _) = measure(dir.path(), Some(&snapshots)).await;
    println!(
        "medians of get, {EVENTS} events: first {first:?}, second {second:?}, first without snapshots {without:?}"
    );
    if first.max(second) <= BOUND { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether there is a snapshot of at least two thirds of the run: behind the newest one there may be as many
/// events as may lie between two. The text alone has so many bytes.
fn has_late_snapshot(snapshots: &Path) -> bool {
    let files = std::fs::read_dir(snapshots).into_iter().flatten().flatten();
    let longest = files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).max();
    longest.is_some_and(|bytes| bytes > EVENTS * 5 * 9 / 10 * 2 / 3)
}

/// The medians of the first and of the second `get` after a restart. What is named is removed before each.
async fn measure(dir: &Path, removed: Option<&Path>) -> (Duration, Duration) {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for _ in 0..RESTARTS {
        if let Some(removed) = removed {
            // It was not there, or it is gone.
            let _ = std::fs::remove_dir_all(removed);
        }
        let (_daemon, url) = daemon(dir);
        let mut client = AgentExecutionQueryControllerClient::connect(url).await.expect("it is ready");
        first.push(timed_get(&mut client).await);
        second.push(timed_get(&mut client).await);
    }
    (median(first), median(second))
}

async fn timed_get(client: &mut AgentExecutionQueryControllerClient<Channel>) -> Duration {
    let begun = Instant::now();
    let state = client.get(AgentExecutionId { value: ID.into() }).await.expect("it is there").into_inner();
    let took = begun.elapsed();
    let status = state.status.expect("always set");
    assert_eq!(status.messages.len() as u64, EVENTS / (TOKENS + 1));
    took
}

/// A run as an agent writes it that streams tokens.
async fn write(mut client: ExecutionLogServiceClient<Channel>) {
    let create = CreateExecutionRequest { execution_id: ID.into(), ..Default::default() };
    client.create_execution(create).await.expect("a new id");
    let bodies = (0..EVENTS).map(|number| {
        let index = u32::try_from(number / (TOKENS + 1)).expect("it is small");
        match number % (TOKENS + 1) {
            0 => Body::MessageAdded(MessageAdded { index, message: Some(AgentMessage::default()) }),
            token if token % 10 == 0 => {
                Body::Output(Output { stream: 1, data: vec![b'o'; 100].into(), truncated: false })
            }
            _ => Body::MessageTextAppended(MessageTextAppended { index, text: "word ".into() }),
        }
    });
    let events: Vec<_> = bodies.map(|body| Event { body: Some(body), ..Default::default() }).collect();
    for batch in events.chunks(usize::try_from(BATCH).expect("it is small")) {
        let request = AppendRequest { execution_id: ID.into(), events: batch.to_vec(), ..Default::default() };
        client.append(request).await.expect("acknowledged");
    }
}

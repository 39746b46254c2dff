//! What a watcher that takes nothing costs the others: the median time of an append with and without
//! one, in interleaved runs on one daemon. Fails if they differ by more than a tenth.
//!
//! `cargo bench --bench stopped_watcher`

#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tapeline::proto::v1::execution_log_service_client::ExecutionLogServiceClient;
use tapeline::proto::v1::{AppendRequest, CreateExecutionRequest, Event, Output, event};
use tonic::transport::Channel;

use support::{Process, daemon, median};

const RUNS: usize = 5;
const APPENDS: usize = 4_000;
const EVENT_BYTES: usize = 4_000;
const DIFFERENCE_MAX: f64 = 0.10;

type Client = ExecutionLogServiceClient<Channel>;

#[tokio::main]
async fn main() -> ExitCode {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on a real disk");
    let (_daemon, url) = daemon(dir.path());
    let client = Client::connect(url.clone()).await.expect("the daemon is ready");
    let (mut alone, mut watched) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        alone.push(median_append(client.clone(), &format!("alone-{run}"), None).await);
        watched.push(median_append(client.clone(), &format!("watched-{run}"), Some(&url)).await);
        println!("run {run}: alone {:?}, with a stopped watcher {:?}", alone[run], watched[run]);
    }
    let (alone, watched) = (median(alone), median(watched));
    let difference = watched.as_secs_f64() / alone.as_secs_f64() - 1.0;
    println!(
        "medians: alone {alone:?}, with a stopped watcher {watched:?}, difference {:+.1} %",
        difference * 100.0
    );
    if difference.abs() <= DIFFERENCE_MAX { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The median of one append after the other to one execution, which a stopped process may be watching.
async fn median_append(mut client: Client, execution: &str, watched_from: Option<&str>) -> Duration {
    let create =
        CreateExecutionRequest { execution_id: execution.to_owned(), ..CreateExecutionRequest::default() };
    client.create_execution(create).await.expect("a new id");
    let _watcher = watched_from.map(|url| stopped_watcher(url, execution));
    let output = Output { stream: 1, data: vec![0; EVENT_BYTES].into(), truncated: false };
    let event = Event { body: Some(event::Body::Output(output)), ..Event::default() };
    let request =
        AppendRequest { execution_id: execution.to_owned(), events: vec![event], ..AppendRequest::default() };
    let mut times = Vec::with_capacity(APPENDS);
    for _ in 0..APPENDS {
        let begun = Instant::now();
        client.append(request.clone()).await.expect("acknowledged");
        times.push(begun.elapsed());
    }
    median(times)
}

/// A watcher that has shown its first event and was then stopped.
fn stopped_watcher(url: &str, execution: &str) -> Process {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tapeline"))
        .args(["watch", execution, "-o", "json", "--addr", url])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("stdout is piped")).read_line(&mut line).expect("an event");
    kill_process(Pid::from_child(&child), Signal::STOP).expect("it is running");
    Process(child)
}

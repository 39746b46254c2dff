//! Very many watchers when the daemon stops.

use std::time::Duration;

use tapeline::proto::v1::watch_response::Frame;
use tapeline::proto::v1::{CreateExecutionRequest, WatchResponse};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use super::dose::dose;
use super::support::append::{custom, until_acknowledged};
use super::support::daemon::{Client, Daemon, PATIENCE};
use super::support::log::Seen;
use super::support::watcher::resume;
use tapeline::proto::v1::AppendRequest;

/// Watchers that share one connection.
const WATCHERS_A_CONNECTION: usize = 50;
/// What the daemon promises, as its exit after SIGTERM is concerned.
const STOPS_WITHIN: Duration = Duration::from_secs(5);

struct Watcher {
    execution: String,
    seen: Seen,
    stream: Streaming<WatchResponse>,
}

impl Watcher {
    async fn connect(mut client: Client, execution: String, mut seen: Seen) -> Self {
        let request = resume(&execution, &seen);
        let mut stream = client.watch(request).await.expect("the daemon is up").into_inner();
        match next(&mut stream).await.expect("the daemon is up") {
            Frame::Hello(hello) => seen.log_id = hello.log_id,
            other => panic!("the first frame is {other:?}"),
        }
        Self { execution, seen, stream }
    }

    /// Reads up to an event with this seq.
    async fn reach(&mut self, seq: u64) {
        while self.seen.cursor() < seq {
            match next(&mut self.stream).await.expect("the daemon is up") {
                Frame::Events(batch) => batch.events.into_iter().for_each(|event| self.seen.take(event)),
                Frame::CaughtUp(_) | Frame::Heartbeat(_) => {}
                other => panic!("unexpected: {other:?}"),
            }
        }
    }

    /// Reads to the end of the stream, which must be an error.
    async fn told(&mut self) -> Status {
        loop {
            match next(&mut self.stream).await {
                Ok(Frame::CaughtUp(_) | Frame::Heartbeat(_)) => {}
                Ok(other) => panic!("unexpected: {other:?}"),
                Err(status) => return status,
            }
        }
    }
}

async fn next(stream: &mut Streaming<WatchResponse>) -> Result<Frame, Status> {
    let response = tokio::time::timeout(PATIENCE, stream.message()).await.expect("the stream hangs")?;
    Ok(response.expect("a stream without End goes on").frame.expect("a frame has content"))
}

fn names(watchers: usize) -> Vec<String> {
    let one = (0..watchers).map(|_| "watched-by-all".to_owned());
    one.chain((0..watchers).map(|index| format!("watched-by-one-{index}"))).collect()
}

/// A client for each watcher; so many of them share a connection.
fn clients(daemon: &Daemon, watchers: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    while clients.len() < watchers {
        let connection = daemon.client();
        clients.extend(std::iter::repeat_n(connection, WATCHERS_A_CONNECTION));
    }
    clients
}

async fn append_to_all(daemon: &Daemon, names: &[String]) {
    let client = daemon.client();
    for name in names {
        let request = AppendRequest {
            execution_id: name.clone(),
            events: vec![custom("one more")],
            ..AppendRequest::default()
        };
        until_acknowledged(&client, &request).await;
    }
}

/// Half of the watchers share one execution, the others have one each. All of them are told when the
/// daemon stops, which takes no more than five seconds, and all go on after the restart.
#[test]
fn the_daemon_stops_within_5_s_however_many_watch_and_all_of_them_resume() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    // Connections are made in it, also where nothing is waited for.
    let _inside = runtime.enter();
    let mut daemon = Daemon::start();
    let names = names(dose().watchers);
    let mut distinct = names.clone();
    distinct.dedup();

    let mut watchers = runtime.block_on(async {
        for name in &distinct {
            let request =
                CreateExecutionRequest { execution_id: name.clone(), ..CreateExecutionRequest::default() };
            daemon.client().create_execution(request).await.expect("a new id");
        }
        let mut watchers = Vec::new();
        for (name, client) in names.iter().zip(clients(&daemon, names.len())) {
            watchers.push(Watcher::connect(client, name.clone(), Seen::default()).await);
        }
        append_to_all(&daemon, &distinct).await;
        for watcher in &mut watchers {
            watcher.reach(2).await;
        }
        watchers
    });

    let (status, took) = daemon.terminate();
    assert!(status.success(), "{status}");
    assert!(took <= STOPS_WITHIN, "it took {took:?}");
    println!("stopped in {took:?} with {} watchers", watchers.len());

    runtime.block_on(async {
        for watcher in &mut watchers {
            let status = watcher.told().await;
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            let info = status.get_details_error_info().expect("every error has details");
            assert_eq!(info.reason, "SHUTTING_DOWN");
        }
    });
    daemon.start_again();
    runtime.block_on(async {
        append_to_all(&daemon, &distinct).await;
        let clients = clients(&daemon, watchers.len());
        for (watcher, client) in watchers.into_iter().zip(clients) {
            let mut resumed = Watcher::connect(client, watcher.execution, watcher.seen).await;
            resumed.reach(3).await;
        }
    });
}

//! What becomes of a daemon when a part of it panics, over a real socket.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use super::*;
use crate::config::LogFormat;
use crate::proto::v1::execution_log_service_client::ExecutionLogServiceClient;
use crate::proto::v1::{CreateExecutionRequest, WatchAllRequest};

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(data_dir: &std::path::Path) -> Config {
    Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data_dir: data_dir.to_owned(),
        log_level: "info".to_owned(),
        log_format: LogFormat::Text,
        connections_max: 10,
        watchers_max: 10,
    }
}

async fn connect(addr: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).expect("an address");
    endpoint.connect().await.expect("the daemon is ready")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_the_brokers_thread_is_told_to_everybody_and_ends_the_daemon_with_70() {
    let dir = tempfile::tempdir().expect("a place for files");
    let daemon = Daemon::open(config(dir.path()), Broker::start_panicking()).await.expect("opens");
    let (ready, addr) = oneshot::channel();
    let mut signals = StopSignals::listen().expect("signals can be taken over");
    let say = |addr, _| ready.send(addr).expect("the test waits for it");
    let serving = tokio::spawn(async move { daemon.serve(&mut signals, say).await });
    let channel = connect(addr.await.expect("it gets ready")).await;
    let request = HealthCheckRequest { service: String::new() };
    let mut health =
        HealthClient::new(channel.clone()).watch(request).await.expect("it is served").into_inner();
    assert_eq!(health.message().await.expect("a status").expect("a status").status(), ServingStatus::Serving);
    let mut client = ExecutionLogServiceClient::new(channel);
    let mut watch =
        client.watch_all(WatchAllRequest::default()).await.expect("there is a place").into_inner();
    let creation =
        CreateExecutionRequest { execution_id: "one".to_owned(), ..CreateExecutionRequest::default() };
    client.create_execution(creation).await.expect("it is durable, whatever becomes of the broker");

    let next = timeout(PATIENCE, health.message()).await.expect("in time").expect("told before the end");
    assert_eq!(next.expect("a status").status(), ServingStatus::NotServing);
    let told = loop {
        match timeout(PATIENCE, watch.message()).await.expect("no watcher waits for ever") {
            Ok(message) => assert!(message.is_some(), "the watch ends as if there were no more"),
            Err(status) => break status,
        }
    };
    let reason = told.get_details_error_info().map(|info| info.reason);
    assert_eq!((told.code(), reason.as_deref()), (Code::Unavailable, Some("SHUTTING_DOWN")));
    drop((health, watch, client));
    let ended = timeout(PATIENCE, serving).await.expect("in time").expect("no panic of its own");
    let error = ended.expect_err("it has failed");
    assert_eq!((error.exit_code(), error.to_string().contains("scripted")), (70, true), "{error}");

    let store = RedbStore::open(OpenOptions::new(dir.path())).expect("it was closed");
    assert_eq!(store.stats().executions, 1, "what was acknowledged is there");
}

//! Very many watchers that never read, while a great many events are appended to what they watch.

use std::time::{Duration, Instant};

use tapeline::proto::v1::{GetStatsRequest, WatchRequest, WatchResponse};
use tonic::Streaming;
use tonic::transport::Endpoint;

use super::dose::dose;
use super::support::append::{batch, creation, custom, until_acknowledged};
use super::support::daemon::{Client, Daemon, PATIENCE};

const EXECUTION: &str = "watched-by-nobody-who-reads";
/// Events in one append.
const BATCH: usize = 500;
/// Bytes of one event.
const EVENT_BYTES: usize = 1_000;
/// What a client takes in without being read: as little as HTTP/2 allows by default, so that all the rest
/// is the daemon's to keep or not to keep.
const WINDOW_BYTES: u32 = 65_535;
/// Memory of the daemon at its peak, whatever the dose: the store's own, and a bounded part a watcher.
const PEAK_BYTES_MAX: u64 = 512 << 20;

/// A watch on a connection of its own, of which nothing is ever read.
async fn silent(url: &str) -> Streaming<WatchResponse> {
    let endpoint = Endpoint::from_shared(url.to_owned()).expect("an address is an endpoint");
    let endpoint =
        endpoint.initial_stream_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
    let request = WatchRequest { execution_id: EXECUTION.to_owned(), ..WatchRequest::default() };
    Client::new(endpoint.connect_lazy()).watch(request).await.expect("there is room").into_inner()
}

async fn until_watched_by(daemon: &Daemon, watchers: usize) {
    let begun = Instant::now();
    loop {
        let stats = daemon.admin().get_stats(GetStatsRequest {}).await.expect("the daemon is up");
        if stats.into_inner().watchers == watchers as u64 {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "not all of them are there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn watchers_that_never_read_cost_the_daemon_a_bounded_part_of_its_memory_each() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let daemon = Daemon::start();
    let (watchers, appended) = (dose().silent_watchers, dose().silent_bytes);
    runtime.block_on(async {
        daemon.client().create_execution(creation(EXECUTION)).await.expect("a new id");
        let idle = daemon.resident_bytes();
        let mut streams = Vec::new();
        for _ in 0..watchers {
            streams.push(silent(&daemon.url()).await);
        }
        until_watched_by(&daemon, watchers).await;
        let watched = daemon.resident_bytes();
        let (client, begun) = (daemon.client(), Instant::now());
        for _ in 0..appended / (BATCH * EVENT_BYTES) {
            until_acknowledged(&client, &batch(EXECUTION, vec![custom(vec![b'x'; EVENT_BYTES]); BATCH]))
                .await;
        }
        let (took, after, peak) = (begun.elapsed(), daemon.resident_bytes(), daemon.peak_bytes());
        let mib = |bytes: u64| bytes >> 20;
        println!(
            "{watchers} watchers that never read, {} MB appended in {took:?}: {} MiB resident when idle, \
             {} MiB with the watchers, {} MiB after the appends, {} MiB at the peak",
            appended / 1_000_000,
            mib(idle),
            mib(watched),
            mib(after),
            mib(peak),
        );
        assert!(peak < PEAK_BYTES_MAX, "{peak} bytes");
        until_watched_by(&daemon, watchers).await;
    });
}

//! Clients that ask for too much or never read: bounded, and nobody else waits for them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use prost::Message;
use tapeline::limits::CONNECTION_STREAMS_MAX;
use tapeline::proto::v1::end::Reason;
use tapeline::proto::v1::watch_response::Frame;
use tapeline::proto::v1::{End, GetStatsRequest, Phase};
use tokio::task::JoinSet;
use tonic::Status;

use super::stream::{Watch, eventually, watching};
use super::support::append::{batch, creation, custom, phase};
use super::support::daemon::{AdminClient, Daemon};
use super::wire::{LOG_SERVICE, preface, raw_request};

/// More streams than one connection may have.
const STREAMS: u32 = 10_000;
/// Memory a daemon with one connection full of streams stays below, in bytes.
const MEMORY_MAX: u64 = 1 << 30;

async fn watchers(admin: &AdminClient) -> u64 {
    admin.clone().get_stats(GetStatsRequest {}).await.expect("fine").into_inner().watchers
}

/// What a watch says last.
async fn end_of(mut watch: Watch) -> Result<End, Status> {
    let mut last = None;
    while let Some(frame) = watch.try_next().await? {
        last = Some(frame);
    }
    match last {
        Some(Frame::End(end)) => Ok(end),
        other => panic!("it closed after {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_watches_on_one_connection_wait_for_a_place_and_all_come_to_their_end() {
    let daemon = Daemon::start();
    let (client, admin) = (daemon.client(), daemon.admin());
    client.clone().create_execution(creation("one")).await.expect("new");
    let crowded = daemon.client();
    let mut crowd = JoinSet::new();
    for _ in 0..STREAMS {
        let crowded = crowded.clone();
        crowd.spawn(async move { end_of(Watch::open(&crowded, watching("one")).await?).await });
    }
    let full = u64::from(CONNECTION_STREAMS_MAX);
    eventually("the connection is full", async || watchers(&admin).await == full).await;
    client.clone().append(batch("one", vec![custom("others go on")])).await.expect("fine");
    let mut other = Watch::open(&client, watching("one")).await.expect("another connection has places");
    other.events_until(0, 2).await;
    assert_eq!(watchers(&admin).await, full + 1);
    assert!(daemon.resident_bytes() < MEMORY_MAX, "{}", daemon.resident_bytes());
    client.clone().append(batch("one", vec![phase(Phase::Completed)])).await.expect("fine");
    let mut ended = 0;
    while let Some(watch) = crowd.join_next().await {
        let end = watch.expect("no panic").expect("it had to wait and nothing else");
        assert_eq!((end.reason(), end.seq), (Reason::Terminal, 3));
        ended += 1;
    }
    assert_eq!(ended, STREAMS);
    eventually("all have left", async || watchers(&admin).await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_ignores_the_limit_of_streams_gets_no_more_than_that_and_others_go_on() {
    let daemon = Daemon::start();
    let (client, admin) = (daemon.client(), daemon.admin());
    client.clone().create_execution(creation("one")).await.expect("new");
    let message = watching("one").encode_to_vec();
    let mut bytes = preface();
    for number in 0..STREAMS {
        bytes.extend(raw_request(2 * number + 1, &format!("{LOG_SERVICE}Watch"), &message));
    }
    let mut stream = TcpStream::connect(daemon.addr()).expect("it listens");
    let mut reading = stream.try_clone().expect("it can be read apart");
    let reader = std::thread::spawn(move || {
        // The daemon may cut it off; what it says does not matter.
        let mut read = 0_u64;
        let mut buffer = [0; 64 << 10];
        while let Ok(some @ 1..) = reading.read(&mut buffer) {
            read += some as u64;
        }
        read
    });
    let written = std::thread::spawn(move || {
        let _ = stream.write_all(&bytes);
        stream
    });
    let stream = written.join().expect("no panic");
    client.clone().append(batch("one", vec![custom("others go on")])).await.expect("fine");
    let mut other = Watch::open(&client, watching("one")).await.expect("there");
    other.events_until(0, 2).await;
    let watching = watchers(&admin).await;
    assert!(watching <= u64::from(CONNECTION_STREAMS_MAX) + 1, "{watching}");
    assert!(daemon.resident_bytes() < MEMORY_MAX, "{}", daemon.resident_bytes());
    // It may have been closed by the daemon already.
    let _ = stream.shutdown(Shutdown::Both);
    assert!(reader.join().expect("no panic") > 0, "it was spoken to");
    eventually("its watches are gone", async || watchers(&admin).await == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_never_reads_costs_others_nothing_and_gets_all_of_it_when_it_reads() {
    const BATCHES: u64 = 100;
    const EVENTS: u64 = 200;
    let daemon = Daemon::start();
    let client = daemon.client();
    client.clone().create_execution(creation("one")).await.expect("new");
    let mut sleeper = Watch::open(&daemon.client(), watching("one")).await.expect("there");
    let mut awake = Watch::open(&daemon.client(), watching("one")).await.expect("there");
    // 20 MB, far more than all that is buffered between the daemon and a client.
    let mut tail = 1;
    for _ in 0..BATCHES {
        let events = vec![custom(vec![b'x'; 1_000]); EVENTS as usize];
        client.clone().append(batch("one", events)).await.expect("nobody waits for the sleeper");
        awake.events_until(if tail == 1 { 0 } else { tail }, tail + EVENTS).await;
        tail += EVENTS;
    }
    assert!(daemon.resident_bytes() < MEMORY_MAX, "{}", daemon.resident_bytes());
    sleeper.events_until(0, tail).await;
    client.clone().append(batch("one", vec![phase(Phase::Completed)])).await.expect("fine");
    let end = format!("end REASON_TERMINAL {} PHASE_COMPLETED", tail + 1);
    assert_eq!(sleeper.rest().await.last(), Some(&end));
    assert_eq!(awake.rest().await.last(), Some(&end));
}

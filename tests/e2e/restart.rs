//! Watchers and the daemon's end: told at a stop, resumed by cursor after `kill -9`.

use tapeline::proto::v1::watch_request::Start;
use tapeline::proto::v1::watch_response::Frame;
use tapeline::proto::v1::{GetStatsRequest, WatchAllRequest, WatchRequest};
use tonic::Code;

use super::refusal::refusal;
use super::stream::{Watch, eventually, watching};
use super::support::append::{batch, creation, custom};
use super::support::daemon::Daemon;

#[tokio::test]
async fn the_same_cursor_works_after_kill_9_and_the_joined_streams_equal_the_log() {
    let mut daemon = Daemon::start();
    daemon.client().create_execution(creation("one")).await.expect("new");
    let (mut cursor, mut tail, mut positions) = (0, 1, 0);
    let mut hello = None;
    for _ in 0..3 {
        let client = daemon.client();
        let ids: tapeline::proto::v1::Hello = hello.clone().unwrap_or_default();
        let request = WatchRequest {
            start: Some(Start::AfterSeq(cursor)),
            log_id: ids.log_id,
            store_id: ids.store_id.clone(),
            ..watching("one")
        };
        let mut one = Watch::open(&client, request).await.expect("the cursor is still right");
        let request = WatchAllRequest {
            after_position: positions,
            store_id: ids.store_id,
            ..WatchAllRequest::default()
        };
        let mut all = Watch::open_all(&client, request).await.expect("the cursor is still right");
        client.clone().append(batch("one", vec![custom("x"); 20])).await.expect("fine");
        tail += 20;
        // Some of it is left unread at the kill.
        one.events_until(cursor, tail).await;
        while positions < tail {
            if let Frame::Events(events) = all.next().await {
                for event in events.events {
                    assert_eq!(event.position, positions + 1);
                    positions = event.position;
                }
            }
        }
        cursor = tail - 7;
        hello = Some(one.hello.clone());
        daemon.kill();
        assert_ne!(one.error().await.code(), Code::Ok);
        daemon.start_again();
    }
    let request = WatchRequest { start: Some(Start::AfterSeq(cursor)), ..watching("one") };
    let mut last = Watch::open(&daemon.client(), request).await.expect("the cursor is still right");
    last.events_until(cursor, tail).await;
}

#[tokio::test]
async fn a_stop_tells_every_watcher_at_once_and_refuses_what_comes_later() {
    let mut daemon = Daemon::start();
    let client = daemon.client();
    client.clone().create_execution(creation("one")).await.expect("new");
    let mut one = Watch::open(&client, watching("one")).await.expect("there");
    let mut all = Watch::open_all(&client, WatchAllRequest::default()).await.expect("there");
    let request = WatchRequest { wait_for_create: true, ..watching("later") };
    let mut waiting = Watch::open(&client, request).await.expect("it waits");
    let stopping = tokio::task::spawn_blocking(move || {
        let (status, took) = daemon.terminate();
        (daemon, status, took)
    });
    for watch in [&mut one, &mut all, &mut waiting] {
        refusal(watch.error().await, Code::Unavailable, "SHUTTING_DOWN").says([]);
    }
    let (mut daemon, status, took) = stopping.await.expect("no panic");
    assert!(status.success() && took.as_secs() < 5, "{status} after {took:?}");
    daemon.start_again();
    let mut again = Watch::open(&daemon.client(), watching("one")).await.expect("there");
    again.events_until(0, 1).await;
}

/// An append that hangs in a slow sync holds the stop up, and so there is time to ask for more.
#[tokio::test]
async fn a_daemon_that_is_stopping_finishes_what_it_has_and_refuses_more() {
    let mut daemon = Daemon::start_faulty();
    let client = daemon.client();
    client.clone().create_execution(creation("one")).await.expect("new");
    let mut watch = Watch::open(&client, watching("one")).await.expect("there");
    daemon.script("journal sync_data delay 1500 times=1");
    let mut slow = client.clone();
    let pending = tokio::spawn(async move { slow.append(batch("one", vec![custom("in time")])).await });
    eventually("the append has begun", async || {
        let stats = daemon.admin().get_stats(GetStatsRequest {}).await.expect("fine").into_inner();
        stats.queued_requests > 0
    })
    .await;
    daemon.signal(rustix::process::Signal::TERM);
    refusal(watch.error().await, Code::Unavailable, "SHUTTING_DOWN");
    // On the same connection; no new one is taken.
    let late = client.clone().append(batch("one", vec![custom("too late")])).await;
    let late = late.expect_err("nothing is taken any more");
    if late.details().is_empty() {
        // The client's own library has heard of the end of the connection and did not send it.
        let own = [Code::Unavailable, Code::Cancelled, Code::Unknown];
        assert!(own.contains(&late.code()), "{late:?}");
    } else {
        refusal(late, Code::Unavailable, "SHUTTING_DOWN").says([]);
    }
    let reply = pending.await.expect("no panic").expect("what was begun is finished").into_inner();
    assert_eq!(reply.last_seq, 2);
    let status = tokio::task::spawn_blocking(move || {
        let status = daemon.ended();
        (daemon, status)
    });
    let (mut daemon, status) = status.await.expect("no panic");
    assert!(status.success(), "{status}");
    daemon.script("");
    daemon.start_again();
    let reply = daemon.client().append(batch("one", vec![custom("next")])).await.expect("fine");
    assert_eq!(reply.into_inner().last_seq, 3, "the late one was not written");
}

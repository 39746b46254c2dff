//! Heartbeats: on silence only, and true. They are looked at by the clock, from below only: a machine
//! under load may be late, but no heartbeat may come early.

use std::time::{Duration, Instant};

use tapeline_storage::{Clock, SystemClock};

use super::support::{House, output, request, words};
use crate::proto::v1::{WatchRequest, watch_response::Frame};

const INTERVAL: Duration = Duration::from_millis(150);

fn beating() -> WatchRequest {
    WatchRequest { heartbeat_interval: Some(INTERVAL.try_into().expect("it is short")), ..request("run") }
}

#[tokio::test]
async fn a_silent_watch_beats_at_its_interval_with_the_tail_and_the_idle_time() {
    let house = House::open().await;
    house.create("run").await;
    let mut client = house.watch(beating()).await;
    client.until_caught_up().await;
    for _ in 0..3 {
        let before = Instant::now();
        let Frame::Heartbeat(beat) = client.frame().await else { panic!("a heartbeat is due") };
        assert!(before.elapsed() >= INTERVAL - Duration::from_millis(10), "after {:?}", before.elapsed());
        assert_eq!((beat.seq, beat.tail_seq, beat.owner), (1, 1, 0));
        let idle_for = Duration::try_from(beat.idle_for.expect("the last event is known"));
        let age_ns = SystemClock.now_ns() - house.head("run").await.update_time_ns;
        let idle_for = idle_for.expect("it is positive");
        assert!(idle_for > Duration::ZERO && idle_for <= Duration::from_nanos(age_ns));
    }
}

#[tokio::test]
async fn what_is_sent_puts_the_heartbeat_off() {
    let house = House::open().await;
    house.create("run").await;
    let mut client = house.watch(beating()).await;
    client.until_caught_up().await;
    // Events keep coming within the interval for several times its length, from another task, so that
    // the client waits for each of them with the timer running.
    let events = 20;
    let writing = async {
        for _ in 0..events {
            tokio::time::sleep(INTERVAL / 5).await;
            house.append("run", vec![output(b"x")]).await;
        }
    };
    let reading = async {
        let (mut given, mut last_frame) = (0, Instant::now());
        while given < events {
            match client.frame().await {
                Frame::Events(batch) => given += batch.events.len(),
                Frame::Heartbeat(_) => {
                    let silent = last_frame.elapsed();
                    assert!(silent >= INTERVAL - Duration::from_millis(10), "a heartbeat after {silent:?}");
                }
                other => panic!("neither events nor a heartbeat: {other:?}"),
            }
            last_frame = Instant::now();
        }
        last_frame
    };
    let ((), last_frame) = tokio::join!(writing, reading);
    assert_eq!(words(&[client.frame().await]), ["heartbeat 21 of 21"]);
    assert!(last_frame.elapsed() >= INTERVAL - Duration::from_millis(10));
}

#[tokio::test]
async fn a_watch_that_waits_for_its_execution_beats_too() {
    let house = House::open().await;
    let mut client = house.watch(WatchRequest { wait_for_create: true, ..beating() }).await;
    client.frame().await;
    let Frame::Heartbeat(beat) = client.frame().await else { panic!("a heartbeat is due") };
    assert_eq!((beat.seq, beat.tail_seq, beat.idle_for), (0, 0, None));
}

#[tokio::test]
async fn a_watch_of_all_executions_beats_with_positions() {
    let house = House::open().await;
    house.create("run").await;
    house.create("other").await;
    let heartbeat_interval = Some(INTERVAL.try_into().expect("it is short"));
    let request = crate::proto::v1::WatchAllRequest { heartbeat_interval, ..Default::default() };
    let mut client = house.watch_all(request).await;
    client.until_caught_up().await;
    assert_eq!(words(&[client.frame().await]), ["heartbeat 2 of 2"]);
}

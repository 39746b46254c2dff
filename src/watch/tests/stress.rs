//! Order under load: one writer, many watchers that come at random times, stop reading at random times,
//! and are cut off and come back at random times. What each of them received, joined, equals the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tapeline_storage::{EventStore, Seq};

use super::support::{House, events, output, request};
use crate::proto::v1::watch_request::Start;
use crate::proto::v1::watch_response::Frame;
use crate::proto::v1::{Event, WatchAllRequest, WatchRequest};

const WATCHERS: u64 = 50;
const APPENDS: u64 = 600;

/// Random numbers from a seed, so that a failure can be seen again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

async fn write(house: Arc<House>, id: &'static str, mut random: Random) -> Seq {
    for _ in 0..APPENDS {
        let events = (0..1 + random.below(20)).map(|_| output(&vec![7; random.below(600) as usize]));
        house.append(id, events.collect()).await;
        if random.below(10) == 0 {
            tokio::time::sleep(Duration::from_millis(random.below(5))).await;
        }
    }
    house.finish(id).await
}

/// Everything one watcher received over all its connections.
async fn watch(house: Arc<House>, mut random: Random) -> Vec<Event> {
    let mut received: Vec<Event> = Vec::new();
    tokio::time::sleep(Duration::from_millis(random.below(400))).await;
    loop {
        let cursor = received.last().map_or(0, |event| event.seq);
        let resumed =
            WatchRequest { start: Some(Start::AfterSeq(cursor)), wait_for_create: true, ..request("run") };
        let mut client = house.watch(resumed).await;
        let frames = random.below(60);
        for _ in 0..frames {
            let frame = client.frame().await;
            match &frame {
                Frame::End(_) => return received,
                Frame::CaughtUp(caught_up) => {
                    assert_eq!(caught_up.seq, received.last().map_or(0, |event| event.seq));
                }
                Frame::FellBehind(behind) => {
                    assert_eq!(behind.seq, received.last().map_or(0, |event| event.seq));
                }
                _ => received.extend(events(&[frame])),
            }
            if random.below(30) == 0 {
                tokio::time::sleep(Duration::from_millis(random.below(80))).await;
            }
        }
    }
}

/// Everything one watcher of all executions received, up to `last` once that is known.
async fn watch_all(house: Arc<House>, last: Arc<AtomicU64>, mut random: Random) -> Vec<Event> {
    let mut received: Vec<Event> = Vec::new();
    let heartbeat_interval = Some(prost_types::Duration { seconds: 0, nanos: 100_000_000 });
    loop {
        let after_position = received.last().map_or(0, |event| event.position);
        let resumed = WatchAllRequest { after_position, heartbeat_interval, ..Default::default() };
        let mut client = house.watch_all(resumed).await;
        let frames = random.below(40);
        for _ in 0..frames {
            let frame = client.frame().await;
            received.extend(events(&[frame]));
            if received.last().is_some_and(|event| event.position == last.load(Ordering::SeqCst)) {
                return received;
            }
            if random.below(20) == 0 {
                tokio::time::sleep(Duration::from_millis(random.below(80))).await;
            }
        }
    }
}

/// A seed of its own for each run, or the one that is asked for. It is shown when the test fails; set
/// `TAPELINE_TEST_SEED` to it to make the same choices again.
fn seed() -> u64 {
    let asked_for = std::env::var("TAPELINE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = asked_for.unwrap_or_else(|| tapeline_storage::StoreId::generate().0 as u64 | 1);
    #[allow(clippy::print_stdout, reason = "the test runner shows it with a failure only")]
    {
        println!("TAPELINE_TEST_SEED={seed}");
    }
    seed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_watchers_received_over_all_reconnects_joined_together_equals_the_log() {
    let seed = seed();
    let house = Arc::new(House::open().await);
    let watchers: Vec<_> = (1..=WATCHERS)
        .map(|number| tokio::spawn(watch(Arc::clone(&house), Random(seed.wrapping_mul(2 * number + 1) | 1))))
        .collect();
    house.create("run").await;
    let tail = write(Arc::clone(&house), "run", Random(seed)).await;

    let log = events(&house.watch(request("run")).await.rest().await);
    assert_eq!(log.iter().map(|event| event.seq).collect::<Vec<_>>(), (1..=tail).collect::<Vec<_>>());
    for watcher in watchers {
        let received = watcher.await.expect("the watcher does not panic");
        assert_eq!(received.len(), log.len());
        assert!(received == log, "what was received differs from the log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn watchers_of_all_executions_too_receive_every_event_once_and_in_commit_order() {
    let seed = seed();
    let house = Arc::new(House::open().await);
    let last = Arc::new(AtomicU64::new(0));
    let watchers: Vec<_> = (1..=10)
        .map(|number| {
            let random = Random(seed.wrapping_mul(2 * number + 1) | 1);
            tokio::spawn(watch_all(Arc::clone(&house), Arc::clone(&last), random))
        })
        .collect();
    house.create("one").await;
    house.create("two").await;
    let writers = ["one", "two"].map(|id| {
        tokio::spawn(write(Arc::clone(&house), id, Random(seed ^ u64::from(id.as_bytes()[0]) | 1)))
    });
    for writer in writers {
        writer.await.expect("the writer does not panic");
    }
    last.store(house.store.tail_position(), Ordering::SeqCst);

    let positions: Vec<_> = (1..=house.store.tail_position()).collect();
    for watcher in watchers {
        let received = watcher.await.expect("the watcher does not panic");
        assert_eq!(received.iter().map(|event| event.position).collect::<Vec<_>>(), positions);
        for id in ["one", "two"] {
            let of_one = received.iter().filter(|event| event.execution_id == id);
            let seqs: Vec<_> = of_one.map(|event| event.seq).collect();
            assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
        }
    }
}

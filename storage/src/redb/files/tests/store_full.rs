//! A whole store on a small disk that others fill and clear while it is written to and sealed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::mount::Mount;
use crate::{
    AppendRequest, CreateRequest, EventStore, ExecutionId, NewEvent, OpenOptions, PageSize, RedbStore,
    WriteError, digest_events,
};

const EVENT_BYTES: u64 = 100 << 10;
const APPENDERS: u64 = 4;

/// What the appenders have seen.
#[derive(Default)]
struct Seen {
    /// Which event was acknowledged at which seq.
    acknowledged: Mutex<BTreeMap<u64, u64>>,
    refused: AtomicU64,
    stop: AtomicBool,
}

impl Seen {
    fn count(&self) -> u64 {
        self.acknowledged.lock().expect("no test panics under this lock").len() as u64
    }
}

fn id() -> ExecutionId {
    ExecutionId::parse("aex-1").expect("it is allowed")
}

/// Bytes that no compression makes smaller.
fn payload(number: u64) -> Bytes {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..EVENT_BYTES / 8).flat_map(|_| next()).collect()
}

fn event(payload: Bytes) -> NewEvent {
    NewEvent { type_tag: 21, payload, ..NewEvent::default() }
}

async fn append_until_stopped(store: Arc<RedbStore>, seen: Arc<Seen>, appender: u64) {
    let mut number = appender;
    while !seen.stop.load(Ordering::Relaxed) {
        let request = AppendRequest {
            execution: id(),
            events: vec![event(payload(number))],
            expected_last_seq: None,
            producer: None,
            stream: None,
        };
        match store.append(request).await {
            Ok(outcome) => {
                let mut acknowledged = seen.acknowledged.lock().expect("no test panics under this lock");
                assert_eq!(
                    acknowledged.insert(outcome.span.first_seq, number),
                    None,
                    "a seq was given twice"
                );
                number += APPENDERS;
            }
            Err(WriteError::DiskFull) => {
                seen.refused.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(WriteError::Busy) => {}
            Err(other) => panic!("a full disk reached the engine: {other}"),
        }
    }
}

async fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_true() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Every event that was acknowledged stands where it was said to, and nothing else is there.
async fn check(store: &RedbStore, acknowledged: &BTreeMap<u64, u64>, all: bool) {
    let mut after = 1;
    loop {
        let page = store.read(&id(), after, PageSize::default()).await.expect("reads go on");
        let Some(last) = page.events.last() else { break };
        after = last.seq;
        for found in page.events {
            match acknowledged.get(&found.seq) {
                Some(number) => assert_eq!(found.payload, payload(*number), "seq {}", found.seq),
                None => assert!(!all, "seq {} was never acknowledged", found.seq),
            }
        }
    }
    assert!(after >= acknowledged.keys().last().copied().unwrap_or(0), "acknowledged events are gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_are_refused_on_a_full_disk_reads_go_on_and_appends_resume_without_a_restart() {
    let Some(mount) = Mount::tmpfs(512) else {
        #[allow(clippy::print_stdout, reason = "who runs the tests must see what was not tested")]
        return println!("SKIPPED: a file system of its own needs root and mount");
    };
    let path = mount.path().join("data");
    let options = || OpenOptions::new(&path).seal_at(4 << 20, 2 << 20);
    let store = Arc::new(RedbStore::open(options()).expect("opens"));
    let events = vec![event(Bytes::from_static(b"created"))];
    let digest = digest_events(&events);
    let create = CreateRequest { execution: id(), digest, labels: BTreeMap::new(), events };
    store.create(create).await.expect("the id is free");

    let seen = Arc::new(Seen::default());
    let appenders: Vec<_> = (0..APPENDERS)
        .map(|appender| tokio::spawn(append_until_stopped(store.clone(), seen.clone(), appender)))
        .collect();
    for _ in 0..4 {
        let before = seen.count();
        wait_until("appends resume", || seen.count() >= before + 40).await;
        mount.fill();
        let refused = seen.refused.load(Ordering::Relaxed);
        wait_until("appends are refused", || seen.refused.load(Ordering::Relaxed) >= refused + 20).await;
        let acknowledged = seen.acknowledged.lock().expect("no test panics under this lock").clone();
        check(&store, &acknowledged, false).await;
        mount.relieve();
    }
    seen.stop.store(true, Ordering::Relaxed);
    for appender in appenders {
        appender.await.expect("it met no other error");
    }
    let acknowledged =
        std::mem::take(&mut *seen.acknowledged.lock().expect("no test panics under this lock"));
    check(&store, &acknowledged, true).await;
    store.close().await;
    let store = RedbStore::open(options()).expect("opens again");
    check(&store, &acknowledged, true).await;
    store.close().await;
}

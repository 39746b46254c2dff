//! More to write than can be sealed: the writer slows down, stops, and goes on.

use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::support::{Fixture, creation, event, id_of, produced, request, wait_until};
use crate::limits::{QUEUE_WAIT_MAX_MS, UNSEALED_EXECUTION_BYTES};
use crate::test_util::Faults;
use crate::{AppendOrder, AppendRequest, EventStore, PageSize, WriteError};

#[tokio::test]
async fn when_nothing_can_be_sealed_writes_stop_at_the_bound_and_go_on_when_there_is_room() {
    let faults = Faults::new();
    let fixture = Fixture::with(|options| options.on_disk(&faults).seal_at(16 << 10, 16 << 10));
    fixture.create("a").await;
    // The archive's disk is full and its ballast cannot be made again; the journal's has room.
    faults.script("archive write enospc times=1\narchive_ballast allocate enospc").expect("parses");
    let long = "x".repeat(4_000);
    let mut written = 1;
    let refused = loop {
        match fixture.try_append(request("a", &[&long])).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1_000, "writes never stop");
    };
    assert_eq!(refused, WriteError::DiskFull);
    let order = AppendOrder::default();
    let of_stream = AppendRequest { stream: Some(order.next()), ..request("a", &["x"]) };
    assert_eq!(fixture.try_append(of_stream).await, Err(WriteError::DiskFull));
    assert!(order.next().is_behind_failed(), "a stream ends with its first refused append");
    let unsealed = fixture.store.stats().unsealed_bytes;
    assert!((128 << 10..160 << 10).contains(&unsealed), "{unsealed}");
    assert_eq!(fixture.all("a", 100).await.len(), written, "reads go on");
    faults.script("").expect("parses");
    wait_until("sealing goes on", || fixture.store.stats().unsealed_bytes < 16 << 10);
    fixture.append("a", &["after"]).await;
    assert_eq!(fixture.all("a", 100).await.len(), written + 1);
}

/// Keeps the sealer from sealing until the sender is dropped.
fn stuck_sealer(fixture: &Fixture) -> mpsc::Sender<()> {
    let shared = fixture.store.shared.clone();
    let (release, released) = mpsc::channel();
    let (held, holds) = mpsc::channel();
    std::thread::spawn(move || {
        let _alone = shared.sealing.lock().expect("no panic under it");
        held.send(()).expect("the test waits for it");
        let _ = released.recv();
    });
    holds.recv().expect("the lock is taken");
    release
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealer_that_is_stuck_is_waited_for_once_and_then_writes_are_refused_at_once_until_it_gets_on() {
    let fixture = Fixture::sealing(16 << 10, 16 << 10);
    fixture.create("a").await;
    fixture.try_append(produced("a", ("p", 1, 0), &["2"])).await.expect("next");
    let release = stuck_sealer(&fixture);
    let long = "x".repeat(4_000);
    let (mut written, begun) = (2, Instant::now());
    let refused = loop {
        match fixture.try_append(request("a", &[&long])).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1_000, "writes never stop");
    };
    assert_eq!(refused, WriteError::Busy);
    assert!(begun.elapsed() >= Duration::from_millis(QUEUE_WAIT_MAX_MS), "the sealer gets its time");
    let stuck = Instant::now();
    for _ in 0..20 {
        assert_eq!(fixture.try_append(request("a", &["x"])).await, Err(WriteError::Busy));
        assert_eq!(fixture.store.create(creation("b", &[])).await.map(|_| ()), Err(WriteError::Busy));
        assert_eq!(fixture.all("a", 100).await.len(), written, "reads go on");
    }
    let again = fixture.try_append(produced("a", ("p", 1, 0), &["2"])).await.expect("a duplicate");
    assert!(again.duplicate, "what was written is recognised");
    assert!(stuck.elapsed() < Duration::from_millis(QUEUE_WAIT_MAX_MS), "all of them together took longer");
    drop(release);
    wait_until("sealing goes on", || fixture.store.stats().unsealed_bytes < 16 << 10);
    fixture.append("a", &["after"]).await;
    assert_eq!(fixture.all("a", 100).await.len(), written + 1);
}

#[tokio::test]
async fn many_executions_with_little_in_each_are_sealed_before_their_bytes_alone_would_be() {
    let fixture = Fixture::sealing(64 << 10, 16 << 10);
    let executions = (64 << 10) / UNSEALED_EXECUTION_BYTES;
    for number in 0..executions {
        fixture.create(&format!("e{number}")).await;
        let unsealed = fixture.store.stats().unsealed_bytes;
        assert!(unsealed < 32 << 10, "{unsealed} bytes of so small events would not be sealed yet");
    }
    let counts = &fixture.store.shared.counts;
    wait_until("sealing", || counts.sealed_row.load(Ordering::Acquire) > 0);
    let fixture = fixture.reopen().await;
    assert_eq!(fixture.store.stats().executions, executions as u64);
    assert_eq!(fixture.payloads("e0").await, ["created"]);
}

#[tokio::test]
async fn everything_that_was_acknowledged_under_pressure_is_there_after_a_restart() {
    let fixture = Fixture::with(|options| options.seal_at(8 << 10, 4 << 10));
    fixture.create("a").await;
    let long = "x".repeat(1_000);
    for number in 0..200 {
        fixture.append("a", &[&format!("{number}-{long}")]).await;
        let unsealed = fixture.store.stats().unsealed_bytes;
        assert!(unsealed < 72 << 10, "{unsealed}");
    }
    let fixture = fixture.reopen().await;
    let events = fixture.all("a", 50).await;
    assert_eq!(events.len(), 201);
    for (number, event) in events[1..].iter().enumerate() {
        assert!(event.payload.starts_with(format!("{number}-").as_bytes()));
    }
}

#[tokio::test]
async fn what_is_neither_sealed_nor_in_memory_is_read_from_the_journal() {
    let mut fixture = Fixture::with(|options| options.seal_at(300 << 20, 16 << 20));
    for id in ["a", "b"] {
        fixture.create(id).await;
    }
    fixture.try_append(produced("a", ("p", 1, 0), &["old"])).await.expect("next");
    fixture.try_append(produced("a", ("p", 1, 1), &["newer"])).await.expect("next");
    // More than is kept in memory, in appends of several rows each.
    for number in 0..40 {
        let long = vec![number; 900 << 10];
        let request = AppendRequest { events: vec![event(long), event("short")], ..request("b", &[]) };
        fixture.try_append(request).await.expect("nothing is in its way");
    }
    for round in ["as written", "sealed"] {
        assert_eq!(fixture.payloads("a").await, ["created", "old", "newer"], "{round}");
        let again = fixture.try_append(produced("a", ("p", 1, 0), &["old"])).await.expect("a duplicate");
        assert_eq!((again.span.first_seq, again.duplicate), (2, true));
        let all = fixture.store.read_all(0, PageSize { events_max: 8, bytes_max: 1 << 20 }).await;
        let seqs: Vec<u64> = all.expect("sound").events.iter().map(|(_, event)| event.seq).collect();
        assert_eq!(seqs[..4], [1, 1, 2, 3], "{round}");
        let mut seen = 0;
        while seen < 81 {
            let page = fixture.store.read(&id_of("b"), seen, PageSize::default()).await.expect("sound");
            for event in page.events {
                seen += 1;
                assert_eq!(event.seq, seen);
                assert!(event.seq % 2 == 1 || event.payload[..] == vec![(seen / 2 - 1) as u8; 900 << 10]);
            }
        }
        assert!(fixture.store.seal_now());
    }
    fixture = fixture.reopen().await;
    assert_eq!(fixture.all("b", 100).await.len(), 81);
}

//! What callers see when the disk fails, is full, or returns wrong bytes, and when a thread panics.

use std::sync::Arc;
use std::time::Duration;

use super::super::{OpenOptions, RedbStore};
use super::support::{Fixture, creation, event, id_of, produced, request, wait_until};
use crate::test_util::Faults;
use crate::{EventStore, NewEvent, OpenError, PageSize, ReadError, Reject, RuleState, Rules, WriteError};

async fn failed_within_a_second(fixture: &Fixture) -> String {
    tokio::time::timeout(Duration::from_secs(1), fixture.store.failed()).await.expect("the store has failed")
}

#[tokio::test]
async fn a_failed_sync_makes_the_outcome_unknown_and_ends_the_store_without_another_call() {
    let faults = Faults::new();
    let fixture = Fixture::on_disk(&faults);
    fixture.create("a").await;
    faults.script("journal sync_data eio").expect("parses");
    assert_eq!(fixture.try_append(request("a", &["lost?"])).await, Err(WriteError::OutcomeUnknown));
    assert!(failed_within_a_second(&fixture).await.contains("error"));
    faults.script("").expect("parses");
    let calls = faults.calls();
    assert_eq!(fixture.try_append(request("a", &["x"])).await, Err(WriteError::Failed));
    assert_eq!(fixture.store.create(creation("b", &[])).await.map(|_| ()), Err(WriteError::Failed));
    let read = fixture.store.read(&id_of("a"), 0, PageSize::default()).await;
    assert_eq!(read.map(|_| ()), Err(ReadError::Failed));
    assert_eq!(fixture.store.head(&id_of("a")).await.map(|_| ()), Err(ReadError::Failed));
    assert_eq!(fixture.store.list(crate::ListQuery::default()).await.map(|_| ()), Err(ReadError::Failed));
    fixture.store.close().await;
    assert!(fixture.dir.path().join("io-failed").exists(), "the next start is warned");
    // The keeper may look for room and write the sidecar, but the two files are left alone.
    assert!(faults.calls() - calls < 50);
}

#[tokio::test]
async fn what_was_acknowledged_before_a_failed_sync_is_there_after_the_next_start() {
    let faults = Faults::new();
    let fixture = Fixture::on_disk(&faults);
    fixture.create("a").await;
    fixture.append("a", &["kept"]).await;
    faults.script("journal sync_data eio").expect("parses");
    let unknown = produced("a", ("p", 1, 0), &["perhaps"]);
    assert_eq!(fixture.try_append(unknown.clone()).await, Err(WriteError::OutcomeUnknown));
    // The failed store keeps its files until the process ends, so the next start is on a copy.
    let copy = tempfile::tempdir().expect("a temporary directory");
    for file in std::fs::read_dir(fixture.dir.path()).expect("it is there") {
        let file = file.expect("it is readable");
        std::fs::copy(file.path(), copy.path().join(file.file_name())).expect("it can be copied");
    }
    let store = RedbStore::open(OpenOptions::new(copy.path())).expect("it is sound");
    let outcome = store.append(unknown).await.expect("a retry is safe");
    assert_eq!((outcome.span.first_seq, outcome.tail_seq), (3, 3), "once, whether it was written or not");
}

#[tokio::test]
async fn an_append_that_meets_a_failed_store_before_it_began_is_told_so() {
    let faults = Faults::new();
    let fixture = Fixture::on_disk(&faults);
    fixture.create("a").await;
    faults.script("journal begin eio").expect("parses");
    assert_eq!(fixture.try_append(request("a", &["x"])).await, Err(WriteError::Failed));
    failed_within_a_second(&fixture).await;
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_nothing_else_and_is_left_without_a_restart() {
    let faults = Faults::new();
    let fixture = Fixture::on_disk(&faults);
    fixture.create("a").await;
    fixture.try_append(produced("a", ("p", 1, 0), &["2"])).await.expect("next");
    faults.script("free 0").expect("parses");
    for _ in 0..3 {
        assert_eq!(fixture.try_append(request("a", &["x"])).await, Err(WriteError::DiskFull));
    }
    assert_eq!(fixture.store.create(creation("b", &[])).await.map(|_| ()), Err(WriteError::DiskFull));
    assert_eq!(fixture.store.delete(&id_of("a")).await, Err(WriteError::DiskFull));
    assert!(fixture.store.stats().disk_full);
    let again = fixture.try_append(produced("a", ("p", 1, 0), &["2"])).await.expect("a duplicate");
    assert!(again.duplicate, "what was written is recognised");
    assert_eq!(fixture.payloads("a").await, ["created", "2"]);
    faults.script("").expect("parses");
    wait_until("room", || !fixture.store.stats().disk_full);
    fixture.append("a", &["3"]).await;
    assert_eq!(fixture.payloads("a").await, ["created", "2", "3"]);
}

#[tokio::test]
async fn a_failed_sync_of_the_archive_ends_the_store_but_loses_nothing() {
    let faults = Faults::new();
    let fixture = Fixture::on_disk(&faults);
    fixture.create("a").await;
    faults.script("archive sync_data eio").expect("parses");
    assert!(!fixture.store.seal_now());
    failed_within_a_second(&fixture).await;
    assert_eq!(fixture.try_append(request("a", &["x"])).await, Err(WriteError::Failed));
}

/// Bytes that do not compress, so that they are found in a file as they are.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn flip_in_file(path: &std::path::Path, needle: &[u8]) {
    let mut bytes = std::fs::read(path).expect("the file is there");
    let places: Vec<usize> =
        (0..bytes.len() - needle.len()).filter(|at| bytes[*at..].starts_with(needle)).collect();
    assert!(!places.is_empty(), "the bytes are in the file");
    places.iter().for_each(|at| bytes[at + needle.len() / 2] ^= 1);
    std::fs::write(path, bytes).expect("the file can be written");
}

#[tokio::test]
async fn a_wrong_byte_in_the_archive_is_reported_with_execution_and_seq_and_harms_nobody_else() {
    let fixture = Fixture::new();
    let long = noise(5, 20_000);
    for id in ["a", "b"] {
        fixture.create(id).await;
    }
    let mut bad = request("a", &[]);
    bad.events = vec![event(long.clone())];
    fixture.try_append(bad).await.expect("nothing is in its way");
    fixture.append("b", &["fine"]).await;
    assert!(fixture.store.seal_now());
    fixture.store.close().await;
    flip_in_file(&fixture.dir.path().join("archive.redb"), &long[5_000..5_064]);
    let fixture = fixture.reopen().await;
    let read = fixture.store.read(&id_of("a"), 1, PageSize::default()).await;
    let Err(ReadError::Corrupt { execution, seq, .. }) = read else { panic!("served: {read:?}") };
    assert_eq!(execution, Some(id_of("a")));
    assert!((1..=2).contains(&seq), "seq {seq}");
    let read = fixture.store.read_all(0, PageSize::default()).await;
    let Err(ReadError::Corrupt { execution, .. }) = read else { panic!("served: {read:?}") };
    assert_eq!(execution, Some(id_of("a")), "readers of all executions are told which one it is");
    assert_eq!(fixture.payloads("b").await, ["created", "fine"]);
    fixture.append("a", &["goes on"]).await;
    let read = fixture.store.read(&id_of("a"), 2, PageSize::default()).await.expect("it is unsealed");
    assert_eq!(read.events[0].seq, 3);
}

#[tokio::test]
async fn a_wrong_byte_in_the_journal_is_noticed_at_the_start() {
    let fixture = Fixture::new();
    fixture.create("a").await;
    let long = noise(9, 3_000);
    let mut bad = request("a", &[]);
    bad.events = vec![event(long.clone())];
    fixture.try_append(bad).await.expect("nothing is in its way");
    fixture.store.close().await;
    flip_in_file(&fixture.dir.path().join("journal.redb"), &long[1_000..1_064]);
    let opened = RedbStore::open(OpenOptions::new(fixture.dir.path()));
    let Err(OpenError::Damaged { what, .. }) = opened else { panic!("opened: {opened:?}") };
    assert!(what.contains("commit 2, positions from 2: journal row 2"), "{what}");
}

struct Explosive;

impl Rules for Explosive {
    fn admit(&self, _state: &[u8], events: &[NewEvent]) -> Result<RuleState, Reject> {
        assert!(events.iter().all(|event| event.payload != "boom"), "the rules panic");
        Ok(RuleState::new())
    }
}

#[tokio::test]
async fn a_panic_of_the_writer_is_a_failure_of_the_store_and_nobody_waits_for_ever() {
    let fixture = Fixture::with(|mut options| {
        options.rules = Arc::new(Explosive);
        options
    });
    fixture.create("a").await;
    assert_eq!(fixture.try_append(request("a", &["boom"])).await, Err(WriteError::OutcomeUnknown));
    assert!(failed_within_a_second(&fixture).await.contains("panicked"));
    assert_eq!(fixture.try_append(request("a", &["x"])).await, Err(WriteError::Failed));
}

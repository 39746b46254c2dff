//! A process that dies at any of its calls: what was acknowledged is there at the next start, whole and
//! once, and what was not is there whole or not at all.

use std::path::Path;

use super::super::{OpenOptions, RedbStore};
use super::support::{Fixture, creation, id_of, produced, text};
use crate::test_util::Faults;
use crate::{EventStore, PageSize, TrimRequest, WriteError};

/// Small ballasts, because each crash is looked at in a copy.
const SMALL: &str = "ballast 65536\n";
const IDS: [&str; 2] = ["a", "b"];

/// What the calls before the crash were told.
#[derive(Debug, Default)]
struct Told {
    /// Appends of each execution that were acknowledged.
    written: [u64; 2],
    floor: u64,
}

/// Writes until the crash, of which every execution hears at most once.
async fn write_until_it_crashes(fixture: &Fixture) -> Told {
    let mut told = Told { floor: 1, ..Told::default() };
    for id in IDS {
        if fixture.store.create(creation(id, &[])).await.is_err() {
            return told;
        }
    }
    for seq in 0..60 {
        for (index, id) in IDS.into_iter().enumerate() {
            let long = "x".repeat(100 * (index + 1));
            let payloads = [format!("{seq}-first-{long}"), format!("{seq}-second")];
            let request = produced(id, ("p", 1, seq), &payloads.each_ref().map(String::as_str));
            match fixture.try_append(request).await {
                Ok(_) => told.written[index] = seq + 1,
                Err(WriteError::OutcomeUnknown | WriteError::Failed) => return told,
                Err(error) => panic!("a crash looks like {error}"),
            }
        }
        if seq % 20 == 19 {
            let request = TrimRequest { execution: id_of("a"), floor_seq: seq, base: None };
            match fixture.store.trim(request).await {
                Ok(floor) => told.floor = floor,
                Err(_) => return told,
            }
        }
    }
    told
}

async fn check(store: &RedbStore, told: &Told) {
    for (index, id) in IDS.into_iter().enumerate() {
        let Ok(head) = store.head(&id_of(id)).await else {
            assert_eq!(told.written, [0, 0], "an execution that was written to is there");
            continue;
        };
        let floor = if index == 0 { told.floor } else { 1 };
        assert!(head.floor_seq >= floor, "a floor never goes down");
        assert_eq!((head.tail_seq - 1) % 2, 0, "a batch is there whole or not at all");
        let batches = (head.tail_seq - 1) / 2;
        let acknowledged = told.written[index];
        assert!((acknowledged..=acknowledged + 1).contains(&batches), "{batches} of {acknowledged}");
        let mut after = head.floor_seq - 1;
        while after < head.tail_seq {
            let page = store.read(&id_of(id), after, PageSize::default()).await.expect("it is sound");
            for event in page.events {
                assert_eq!(event.seq, after + 1);
                after = event.seq;
                // Seq 1 is the creation; then come two of each append.
                let word = if event.seq % 2 == 0 { "first" } else { "second" };
                let expected = event
                    .seq
                    .checked_sub(2)
                    .map_or("created".to_owned(), |more| format!("{}-{word}", more / 2));
                assert!(text(&event).starts_with(&expected), "seq {}", event.seq);
            }
        }
    }
    let all = store.read_all(0, PageSize::default()).await.expect("it is sound");
    assert!(all.events.windows(2).all(|pair| pair[0].1.position < pair[1].1.position));
}

fn copy_of(directory: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a temporary directory");
    for file in std::fs::read_dir(directory).expect("it is there") {
        let file = file.expect("it is readable");
        match std::fs::copy(file.path(), copy.path().join(file.file_name())) {
            // One that was on its way into its place has arrived there.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            copied => drop(copied.expect("it can be copied")),
        }
    }
    copy
}

fn options(path: &Path, faults: &Faults) -> OpenOptions {
    OpenOptions::new(path).seal_at(6 << 10, 4 << 10).on_disk(faults)
}

async fn crash_at(place: &str, call: usize) -> bool {
    let faults = Faults::new();
    faults.script(SMALL).expect("parses");
    let fixture = Fixture::with(|given| given.seal_at(6 << 10, 4 << 10).on_disk(&faults));
    faults.script(&format!("{SMALL}{place} crash skip={call}")).expect("parses");
    let told = write_until_it_crashes(&fixture).await;
    let crashed = told.written != [60, 60];
    let copy = copy_of(fixture.dir.path());
    let after = Faults::new();
    after.script(SMALL).expect("parses");
    let store = RedbStore::open(options(copy.path(), &after)).expect("a crash is no damage");
    check(&store, &told).await;
    assert!(store.seal_now(), "what was left half done is undone");
    check(&store, &told).await;
    let next = produced("b", ("q", 1, 0), &["0-first", "0-second"]);
    if store.head(&id_of("b")).await.is_ok() {
        store.append(next).await.expect("it goes on");
    }
    crashed
}

#[tokio::test]
async fn a_crash_at_any_call_on_the_journal_loses_nothing_that_was_acknowledged() {
    let mut crashes = 0;
    for call in (1..700).step_by(37) {
        crashes += usize::from(crash_at("journal any", call).await);
    }
    assert!(crashes >= 5, "{crashes} of them were in time");
}

#[tokio::test]
async fn a_crash_at_any_call_on_the_archive_loses_nothing_that_was_acknowledged() {
    let mut crashes = 0;
    for call in (1..400).step_by(29) {
        crashes += usize::from(crash_at("archive any", call).await);
    }
    assert!(crashes >= 3, "{crashes} of them were in time");
}

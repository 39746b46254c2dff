//! Many callers at once: creations, producers, trims and deletions that race each other, readers, lists
//! and the sealer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::super::list::{Changed, merge};
use super::super::slots::State;
use super::super::unsealed::{Change, NewCommit};
use super::basics::listed;
use super::support::{Fixture, creation, id_of, produced, request};
use crate::{EventStore, Head, ListQuery, PageSize, ReadError, SliceChange, TrimRequest, WriteError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_equal_creations_one_is_written() {
    let fixture = Arc::new(Fixture::new());
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let fixture = fixture.clone();
            tokio::spawn(async move { fixture.store.create(creation("a", &[])).await.expect("the same") })
        })
        .collect();
    let mut written = 0;
    for task in tasks {
        let outcome = task.await.expect("no panic");
        assert_eq!(outcome.head.number, 1);
        written += usize::from(!outcome.existed);
    }
    assert_eq!(written, 1);
    assert_eq!(fixture.store.tail_position(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_equal_appends_of_a_producer_one_is_written_and_all_get_its_seqs() {
    let fixture = Arc::new(Fixture::sealing(2 << 10, 1 << 10));
    fixture.create("a").await;
    for seq in 0..30 {
        let tasks: Vec<_> = (0..6)
            .map(|_| {
                let fixture = fixture.clone();
                tokio::spawn(
                    async move { fixture.try_append(produced("a", ("p", 1, seq), &["x", "y"])).await },
                )
            })
            .collect();
        for task in tasks {
            let outcome = task.await.expect("no panic").expect("written or a duplicate");
            assert_eq!((outcome.span.first_seq, outcome.span.last_seq), (2 + 2 * seq, 3 + 2 * seq));
        }
    }
    assert_eq!(fixture.all("a", 100).await.len(), 61);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_appends_that_expect_the_same_tail_one_is_written() {
    let fixture = Arc::new(Fixture::new());
    fixture.create("a").await;
    for tail in 1..20 {
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let fixture = fixture.clone();
                let mut request = request("a", &["x"]);
                request.expected_last_seq = Some(tail);
                tokio::spawn(async move { fixture.try_append(request).await })
            })
            .collect();
        let mut written = 0;
        for task in tasks {
            match task.await.expect("no panic") {
                Ok(_) => written += 1,
                Err(error) => {
                    assert_eq!(error, WriteError::SeqMismatch { expected: tail, tail_seq: tail + 1 })
                }
            }
        }
        assert_eq!(written, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_among_trims_and_seals_gets_the_next_event_or_is_told_that_it_is_gone() {
    let fixture = Arc::new(Fixture::sealing(4 << 10, 2 << 10));
    fixture.create("a").await;
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (fixture, done) = (fixture.clone(), done.clone());
            tokio::spawn(async move {
                let (mut after, mut gaps) = (0, 0);
                while !done.load(Ordering::Relaxed) {
                    match fixture
                        .store
                        .read(&id_of("a"), after, PageSize { events_max: 3, bytes_max: 500 })
                        .await
                    {
                        Ok(page) => {
                            for event in page.events {
                                assert_eq!(event.seq, after + 1);
                                after = event.seq;
                            }
                        }
                        Err(ReadError::Trimmed { floor_seq, .. }) => {
                            assert!(floor_seq > after + 1, "the cursor is really below");
                            (after, gaps) = (floor_seq - 1, gaps + 1);
                        }
                        Err(error) => panic!("{error}"),
                    }
                    tokio::task::yield_now().await;
                }
                gaps
            })
        })
        .collect();
    for number in 0..200_u64 {
        let outcome = fixture.append("a", &[&format!("{number}-{}", "x".repeat(90)), "y"]).await;
        if number % 8 == 7 {
            let floor_seq = outcome.tail_seq - 5;
            let (one, two) = tokio::join!(
                fixture.store.trim(TrimRequest { execution: id_of("a"), floor_seq, base: None }),
                fixture.store.trim(TrimRequest {
                    execution: id_of("a"),
                    floor_seq: floor_seq - 2,
                    base: None
                }),
            );
            assert!(one.is_ok_and(|floor| floor == floor_seq) && two.is_ok());
        }
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.expect("a reader does not panic");
    }
    let head = fixture.store.head(&id_of("a")).await.expect("it is there");
    let kept: u64 = fixture.all("a", 10).await.iter().map(|event| event.payload.len() as u64).sum();
    assert_eq!(head.stored_bytes, kept, "each removed byte was counted once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_among_writes_and_seals_shows_what_is_there_throughout_exactly_once() {
    let fixture = Arc::new(Fixture::sealing(4 << 10, 2 << 10));
    let mut stays = Vec::new();
    for number in 0..60 {
        let id = format!("e{number:02}");
        fixture.create(&id).await;
        if number % 3 == 0 {
            stays.insert(0, id);
        }
    }
    let done = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (fixture, done) = (fixture.clone(), done.clone());
        async move {
            for number in (0..60).filter(|number| number % 3 == 1) {
                fixture.store.delete(&id_of(&format!("e{number:02}"))).await.expect("it is there");
                fixture.create(&format!("new{number:02}")).await;
                for other in 0..60 {
                    if other % 3 != 1 {
                        fixture.append(&format!("e{other:02}"), &["changes"]).await;
                    }
                }
            }
            done.store(true, Ordering::Relaxed);
        }
    });
    while !done.load(Ordering::Relaxed) {
        let mut found = listed(&fixture, ListQuery::default(), 7).await;
        let all = found.len();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), all, "nothing twice");
        for id in &stays {
            assert!(found.binary_search(id).is_ok(), "{id} is missing");
        }
    }
    writer.await.expect("a writer does not panic");
}

/// A list once showed an execution that had been deleted before it began: the deletion was sealed
/// between the look at the archive and the look at its slot.
#[tokio::test]
async fn an_execution_deleted_before_a_list_began_is_not_shown_whenever_that_is_sealed() {
    let fixture = Fixture::new();
    fixture.create("stays").await;
    fixture.create("goes").await;
    assert!(fixture.store.seal_now());
    fixture.store.delete(&id_of("goes")).await.expect("it is there");
    let query = ListQuery { heads_max: 10, ..ListQuery::default() };
    let shared = &fixture.store.shared;
    let changed = Changed::take(shared, &query);
    let archived = shared.with_files(|files| files.archive.list_candidates(&query)).expect("sound");
    assert_eq!(archived.heads.len(), 2, "the archive does not know of the deletion yet");
    assert!(fixture.store.seal_now());
    let page = merge(shared, &query, changed, archived);
    let ids: Vec<&str> = page.heads.iter().map(|head| head.execution.id.as_str()).collect();
    assert_eq!(ids, ["stays"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hook_gets_every_event_once_in_order_of_position() {
    let fixture = Arc::new(Fixture::new());
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let fixture = fixture.clone();
            tokio::spawn(async move {
                let id = format!("e{number}");
                fixture.create(&id).await;
                for _ in 0..40 {
                    fixture.append(&id, &["x", "y"]).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    let commits = fixture.hook.0.lock().expect("no panic under it");
    let mut position = 0;
    for commit in commits.iter() {
        for slice in &commit.slices {
            let SliceChange::Events { events, .. } = &slice.change else { panic!("nothing was removed") };
            for event in events.iter() {
                assert_eq!(event.position, position + 1);
                position = event.position;
            }
        }
        assert_eq!(commit.tail_position, position);
    }
    assert_eq!(position, 8 * 81);
    assert!(commits.len() < 8 * 41, "{} commits: what queued up is written at once", commits.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_looks_between_the_index_and_the_head_while_a_trim_is_published_waits_and_sees_no_damage() {
    let fixture = Arc::new(Fixture::new());
    let head = fixture.create("a").await;
    for seq in 0..4 {
        fixture.try_append(produced("a", ("p", 1, seq), &["x"])).await.expect("the next one");
    }
    let shared = fixture.store.shared.clone();
    let (slot, head_before) = shared.present(&id_of("a")).await.expect("it is there");
    let trimmed = Change::Trimmed { number: head.number, floor_seq: 4, base: None };
    // What the writer does first when a trim is durable, in the commit after the five before.
    shared.unsealed.add(NewCommit {
        commit: 6,
        rows: (6, 6),
        first_position: 6,
        last_position: 5,
        bytes: Bytes::from_static(b"a trim"),
        changes: vec![trimmed],
    });
    let old = fixture.try_append(produced("a", ("p", 1, 0), &["x"])).await.expect("it was written");
    assert!(old.duplicate && old.span.last_seq == 0, "it is gone, and known to have been there");
    let reading = tokio::spawn({
        let fixture = fixture.clone();
        async move { fixture.store.read(&id_of("a"), 0, PageSize::default()).await }
    });
    let finding = tokio::spawn({
        let fixture = fixture.clone();
        async move { fixture.store.cursor_at_time(&id_of("a"), 0).await }
    });
    // Nothing may be answered as long as the head is the old one; a wrong answer would be there at once.
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(!reading.is_finished() && !finding.is_finished(), "the head still has to move");
    let mut head_after = Head::clone(&head_before);
    head_after.trim(4, 0);
    shared.slots.publish([(slot, State::Present(Arc::new(head_after)))], 6);
    let read = reading.await.expect("no panic");
    assert_eq!(read.map(|_| ()), Err(ReadError::Trimmed { floor_seq: 4, tail_seq: 5 }));
    assert_eq!(finding.await.expect("no panic"), Ok(3));
}

#[tokio::test]
async fn a_retry_that_meets_a_deletion_before_the_head_tells_of_it_is_told_that_the_execution_is_gone() {
    let fixture = Fixture::new();
    let head = fixture.create("a").await;
    for seq in 0..2 {
        fixture.try_append(produced("a", ("p", 1, seq), &["x"])).await.expect("the next one");
    }
    // What the writer does first when a deletion is durable, in the commit after the three before.
    fixture.store.shared.unsealed.add(NewCommit {
        commit: 4,
        rows: (4, 4),
        first_position: 4,
        last_position: 3,
        bytes: Bytes::from_static(b"a deletion"),
        changes: vec![Change::Deleted { number: head.number }],
    });
    let retry = fixture.try_append(produced("a", ("p", 1, 0), &["x"])).await;
    assert_eq!(retry, Err(WriteError::NotFound { execution: id_of("a"), deleted: true }));
}

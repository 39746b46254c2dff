//! Reads and writes while sealing goes on, and what is left in memory afterwards.

use std::sync::Arc;

use super::support::{Fixture, Since, id_of, produced, text, wait_until};
use crate::{EventStore, ListQuery, PageSize, ReadError, TrimRequest};

#[tokio::test]
async fn a_page_never_has_a_hole_where_the_archive_ends_and_the_journal_begins() {
    let fixture = Fixture::new();
    fixture.create("a").await;
    fixture.append("a", &["2", "3", "4"]).await;
    assert!(fixture.store.seal_now());
    fixture.append("a", &["5", "6"]).await;
    fixture.append("a", &["7"]).await;
    for events_max in 1..8 {
        let seqs: Vec<u64> = fixture.all("a", events_max).await.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(fixture.everything(events_max).await.len(), 7);
    }
    let found = fixture.store.cursor_at_time(&id_of("a"), 1_000).await;
    assert_eq!(found, Ok(0));
}

#[tokio::test]
async fn a_trim_and_a_deletion_hold_for_what_is_sealed_before_and_after() {
    let mut fixture = Fixture::new();
    for id in ["a", "b", "c"] {
        fixture.create(id).await;
        fixture.append(id, &["2", "3", "4"]).await;
    }
    assert!(fixture.store.seal_now());
    fixture.append("a", &["5", "6"]).await;
    fixture.trim("a", 4).await;
    let base = Some(bytes::Bytes::from_static(b"base"));
    let trim = TrimRequest { execution: id_of("b"), floor_seq: 5, base: base.clone() };
    assert_eq!(fixture.store.trim(trim).await, Ok(5));
    fixture.store.delete(&id_of("c")).await.expect("it is there");
    for since in Since::ALL {
        fixture = fixture.after(since).await;
        let left: Vec<(String, u64)> =
            fixture.everything(2).await.into_iter().map(|(id, seq, _)| (id, seq)).collect();
        assert_eq!(left, [4, 5, 6].map(|seq| ("a".to_owned(), seq)), "{since:?}");
        assert_eq!(fixture.store.floor_position().await, Ok(4));
        assert_eq!(fixture.store.base(&id_of("b")).await, Ok(base.clone()));
        let trimmed = fixture.store.read(&id_of("a"), 2, PageSize::default()).await;
        assert_eq!(trimmed.map(|_| ()), Err(ReadError::Trimmed { floor_seq: 4, tail_seq: 6 }));
        let gone = fixture.store.read(&id_of("c"), 0, PageSize::default()).await;
        assert_eq!(gone.map(|_| ()), Err(ReadError::NotFound { execution: id_of("c"), deleted: true }));
    }
}

#[tokio::test]
async fn a_list_shows_each_execution_once_when_some_are_sealed_and_some_changed_since() {
    let mut fixture = Fixture::new();
    for number in 0..20 {
        fixture.create(&format!("e{number:02}")).await;
    }
    assert!(fixture.store.seal_now());
    for number in [3, 7, 19] {
        fixture.append(&format!("e{number:02}"), &["x"]).await;
    }
    fixture.store.delete(&id_of("e11")).await.expect("it is there");
    for number in 20..25 {
        fixture.create(&format!("e{number:02}")).await;
    }
    let expected: Vec<String> =
        (0..25).rev().filter(|number| *number != 11).map(|number| format!("e{number:02}")).collect();
    for since in Since::ALL {
        fixture = fixture.after(since).await;
        for heads_max in [1, 4, 100] {
            assert_eq!(super::basics::listed(&fixture, ListQuery::default(), heads_max).await, expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_every_event_once_in_order_while_writers_write_and_the_sealer_seals() {
    let fixture = Arc::new(Fixture::sealing(20 << 10, 8 << 10));
    let ids = ["a", "b", "c", "d"];
    for id in ids {
        fixture.create(id).await;
    }
    const APPENDS: usize = 150;
    let writers = ids.map(|id| {
        let fixture = fixture.clone();
        tokio::spawn(async move {
            for number in 0..APPENDS {
                let text = format!("{id}{number}-{}", "x".repeat(number));
                fixture.append(id, &[&text, "second"]).await;
            }
        })
    });
    let tail = 1 + 2 * APPENDS as u64;
    let readers = ids.map(|id| {
        let fixture = fixture.clone();
        tokio::spawn(async move { follow(&fixture, id, tail).await })
    });
    let all = tokio::spawn({
        let fixture = fixture.clone();
        async move { follow_all(&fixture, 4 * tail).await }
    });
    for task in writers {
        task.await.expect("a writer does not panic");
    }
    for (id, task) in ids.into_iter().zip(readers) {
        let texts = task.await.expect("a reader does not panic");
        for number in 0..APPENDS {
            let expected = format!("{id}{number}-");
            assert!(texts[1 + 2 * number].starts_with(&expected), "{id} {number}");
        }
    }
    all.await.expect("a reader does not panic");
    wait_until("a sealing of nearly everything", || fixture.store.stats().unsealed_bytes < 20 << 10);
    assert!(fixture.store.stats().archive_bytes > 0);
}

/// Reads an execution up to a tail, while it grows.
async fn follow(fixture: &Fixture, id: &str, tail: u64) -> Vec<String> {
    let mut texts = Vec::new();
    while (texts.len() as u64) < tail {
        let page = fixture.store.read(&id_of(id), texts.len() as u64, PageSize::default()).await;
        for event in page.expect("the cursor is right").events {
            assert_eq!(event.seq, texts.len() as u64 + 1);
            texts.push(text(&event));
        }
        tokio::task::yield_now().await;
    }
    texts
}

/// Reads all executions up to a tail, while it grows.
async fn follow_all(fixture: &Fixture, tail: u64) {
    let mut after = 0;
    while after < tail {
        let page = fixture.store.read_all(after, PageSize::default()).await.expect("the cursor is right");
        for (_, event) in page.events {
            assert_eq!(event.position, after + 1);
            after = event.position;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn rows_of_the_journal_are_removed_when_they_are_sealed() {
    let fixture = Fixture::new();
    fixture.create("a").await;
    let long = "x".repeat(3_000);
    for _ in 0..40 {
        fixture.append("a", &[&long]).await;
    }
    let before = fixture.store.stats().journal_bytes;
    assert!(before >= 120_000, "{before}");
    assert!(fixture.store.seal_now());
    assert_eq!(fixture.store.stats().unsealed_bytes, 0);
    wait_until("a removal when idle", || fixture.store.stats().journal_bytes < before / 10);
    let fixture = fixture.reopen().await;
    assert_eq!(fixture.all("a", 100).await.len(), 41);
    fixture.append("a", &["after"]).await;
    let fixture = fixture.reopen().await;
    assert_eq!(fixture.all("a", 100).await.len(), 42);
}

#[tokio::test]
async fn an_older_append_is_found_wherever_it_stands() {
    let fixture = Fixture::new();
    fixture.create("a").await;
    let mut spans = Vec::new();
    for seq in 0..30 {
        if seq % 10 == 9 {
            assert!(fixture.store.seal_now());
        }
        let other = produced("a", ("q", 3, seq), &["other"]);
        fixture.try_append(other).await.expect("next");
        let outcome = fixture.try_append(produced("a", ("p", 1, seq), &["x"])).await.expect("next");
        spans.push(outcome.span);
    }
    for (seq, span) in spans.iter().enumerate() {
        let again = fixture.try_append(produced("a", ("p", 1, seq as u64), &["x"])).await;
        assert_eq!(again.map(|outcome| (outcome.span, outcome.duplicate)), Ok((*span, true)));
    }
    assert_eq!(fixture.append("a", &["last"]).await.span.first_seq, 62);
}

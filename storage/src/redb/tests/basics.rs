//! One thing at a time: as it was written, after a restart, when it is sealed, and after one more.

use std::sync::atomic::Ordering;

use super::support::{Fixture, Since, creation, id_of, phase_event, produced, request};
use crate::{
    AppendRequest, EventStore, ListQuery, PageSize, Phase, ReadError, SliceChange, TrimRequest, WriteError,
};

#[tokio::test]
async fn what_was_appended_is_read_in_order_also_after_a_restart() {
    let mut fixture = Fixture::new();
    let head = fixture.create("a").await;
    assert_eq!((head.number, head.tail_seq, head.tail_position), (1, 1, 1));
    let outcome = fixture.append("a", &["one", "two"]).await;
    assert_eq!((outcome.span.first_seq, outcome.span.last_seq, outcome.tail_seq), (2, 3, 3));
    fixture.create("b").await;
    fixture.append("b", &["x"]).await;
    fixture.append("a", &["three"]).await;
    for since in Since::ALL {
        fixture = fixture.after(since).await;
        assert_eq!(fixture.payloads("a").await, ["created", "one", "two", "three"]);
        assert_eq!(fixture.payloads("b").await, ["created", "x"]);
        assert_eq!(fixture.store.tail_position(), 6);
    }
    let outcome = fixture.append("a", &["four"]).await;
    assert_eq!((outcome.span.first_seq, outcome.span.last_position), (5, 7));
    let head = fixture.create("c").await;
    assert_eq!((head.number, head.tail_position), (3, 8), "numbers and positions go on");
}

#[tokio::test]
async fn all_events_are_read_in_order_of_position_and_a_cursor_beyond_the_tail_is_an_error() {
    let mut fixture = Fixture::new();
    fixture.create("a").await;
    fixture.create("b").await;
    fixture.append("a", &["1", "2"]).await;
    fixture.append("b", &["3"]).await;
    for since in Since::ALL {
        fixture = fixture.after(since).await;
        for events_max in [1, 2, 100] {
            let found = fixture.everything(events_max).await;
            let expected = [("a", 1, 1), ("b", 1, 2), ("a", 2, 3), ("a", 3, 4), ("b", 2, 5)];
            assert_eq!(found, expected.map(|(id, seq, position)| (id.to_owned(), seq, position)));
        }
    }
    let ahead = fixture.store.read_all(6, PageSize::default()).await.expect_err("nothing is there");
    assert_eq!(ahead, ReadError::Ahead { floor_seq: 1, tail_seq: 5 });
}

#[tokio::test]
async fn cursors_that_cannot_be_right_are_errors_with_the_numbers() {
    let fixture = Fixture::new();
    fixture.create("a").await;
    fixture.append("a", &["2", "3", "4"]).await;
    assert_eq!(fixture.trim("a", 3).await, 3);
    assert_eq!(fixture.trim("a", 2).await, 3, "a floor never goes down");
    let read = async |after| fixture.store.read(&id_of("a"), after, PageSize::default()).await;
    let (floor_seq, tail_seq) = (3, 4);
    for after in [0, 1] {
        assert_eq!(read(after).await.expect_err("trimmed"), ReadError::Trimmed { floor_seq, tail_seq });
    }
    for after in [5, u64::MAX] {
        assert_eq!(read(after).await.expect_err("ahead"), ReadError::Ahead { floor_seq, tail_seq });
    }
    assert_eq!(read(2).await.expect("the cursor before the floor").events.len(), 2);
    assert!(read(4).await.expect("the tail").events.is_empty());
    assert_eq!(read(2).await.expect("again").head.stored_bytes, 2, "what was trimmed does not count");
}

#[tokio::test]
async fn a_deleted_execution_is_gone_for_good_and_its_id_is_never_used_again() {
    let mut fixture = Fixture::new();
    fixture.create("a").await;
    fixture.create("b").await;
    fixture.store.delete(&id_of("a")).await.expect("it is there");
    for since in Since::ALL {
        fixture = fixture.after(since).await;
        let not_found = |id, deleted| ReadError::NotFound { execution: id_of(id), deleted };
        assert_eq!(fixture.store.head(&id_of("a")).await.expect_err("deleted"), not_found("a", true));
        let never = fixture.store.head(&id_of("never")).await;
        assert_eq!(never.expect_err("it never was"), not_found("never", false));
        let execution = id_of("a");
        let exists = WriteError::Exists { execution: execution.clone(), deleted: true };
        assert_eq!(fixture.store.create(creation("a", &[])).await.expect_err("taken"), exists);
        let gone = WriteError::NotFound { execution, deleted: true };
        assert_eq!(fixture.try_append(request("a", &["x"])).await.expect_err("gone"), gone);
        assert_eq!(fixture.store.delete(&id_of("a")).await.expect_err("gone"), gone);
        assert_eq!(fixture.everything(10).await, [("b".to_owned(), 1, 2)]);
        assert_eq!(fixture.store.stats().executions, 1);
    }
}

#[tokio::test]
async fn the_same_creation_again_is_the_existing_execution_and_another_one_is_refused() {
    let mut fixture = Fixture::new();
    fixture.create("a").await;
    for since in Since::ALL {
        fixture = fixture.after(since).await;
        let again = fixture.store.create(creation("a", &[])).await.expect("the same");
        assert!(again.existed);
        assert_eq!(again.head.number, 1);
        let mut other = creation("a", &[]);
        other.digest ^= 1;
        let exists = WriteError::Exists { execution: id_of("a"), deleted: false };
        assert_eq!(fixture.store.create(other).await.expect_err("another one"), exists);
    }
}

#[tokio::test]
async fn a_repeated_append_of_a_producer_is_a_duplicate_however_old_it_is() {
    let mut fixture = Fixture::new();
    fixture.create("a").await;
    let mut spans = Vec::new();
    for seq in 0..5 {
        let outcome = fixture.try_append(produced("a", ("p", 1, seq), &["x", "y"])).await.expect("next");
        spans.push(outcome.span);
    }
    for since in Since::ALL {
        fixture = fixture.after(since).await;
        for (seq, span) in spans.iter().enumerate() {
            let again = produced("a", ("p", 1, seq as u64), &["x", "y"]);
            let outcome = fixture.try_append(again).await.expect("a duplicate");
            assert_eq!((outcome.span, outcome.tail_seq, outcome.duplicate), (*span, 11, true));
            let other = produced("a", ("p", 1, seq as u64), &["x", "z"]);
            let conflict = WriteError::ProducerConflict { expected_seq: 5, current_epoch: 1 };
            assert_eq!(fixture.try_append(other).await.expect_err("other content"), conflict);
        }
    }
    fixture.trim("a", 6).await;
    let outcome = fixture.try_append(produced("a", ("p", 1, 0), &["x", "y"])).await.expect("a duplicate");
    assert_eq!((outcome.span.first_seq, outcome.span.last_seq, outcome.duplicate), (0, 0, true));
}

#[tokio::test]
async fn after_a_failed_append_of_a_stream_the_later_ones_are_not_written() {
    let fixture = Fixture::new();
    fixture.create("a").await;
    let order = crate::AppendOrder::default();
    let of_stream = |payload: &str, expected: Option<u64>| AppendRequest {
        stream: Some(order.next()),
        expected_last_seq: expected,
        ..request("a", &[payload])
    };
    let mut tickets = Vec::new();
    for (payload, expected) in [("ok", None), ("bad", Some(77)), ("late", None), ("later", None)] {
        tickets.push(fixture.store.submit(of_stream(payload, expected)).await.expect("there is a place"));
    }
    let mut outcomes = Vec::new();
    for ticket in tickets {
        outcomes.push(ticket.await);
    }
    assert!(outcomes[0].is_ok());
    assert_eq!(outcomes[1], Err(WriteError::SeqMismatch { expected: 77, tail_seq: 2 }));
    assert_eq!(outcomes[2], Err(WriteError::StreamFailed));
    assert_eq!(outcomes[3], Err(WriteError::StreamFailed));
    assert_eq!(fixture.payloads("a").await, ["created", "ok"]);
}

#[tokio::test]
async fn the_hook_is_told_of_every_change_in_commit_order() {
    let fixture = Fixture::new();
    fixture.create("a").await;
    fixture.append("a", &["1", "2"]).await;
    fixture.trim("a", 2).await;
    let end = AppendRequest { events: vec![phase_event(Phase::Completed)], ..request("a", &[]) };
    fixture.try_append(end).await.expect("it ends");
    fixture.store.delete(&id_of("a")).await.expect("it is there");
    let commits = fixture.hook.0.lock().expect("the writer is idle");
    let told = commits.iter().flat_map(|commit| &commit.slices).map(|slice| match &slice.change {
        SliceChange::Events { events, phase, .. } => {
            format!("{}..={} {phase:?}", events[0].seq, events[events.len() - 1].seq)
        }
        SliceChange::Trimmed { floor_seq } => format!("floor {floor_seq}"),
        SliceChange::Deleted => "deleted".to_owned(),
    });
    let told: Vec<String> = told.collect();
    assert_eq!(told, ["1..=1 Pending", "2..=3 Pending", "floor 2", "4..=4 Completed", "deleted"]);
    let tails: Vec<u64> = commits.iter().map(|commit| commit.tail_position).collect();
    assert_eq!(tails, [1, 3, 3, 4, 4]);
}

#[tokio::test]
async fn time_never_runs_backwards_inside_an_execution_and_is_found_again() {
    let mut fixture = Fixture::new();
    fixture.create("a").await;
    for (now, payload) in [(2_000, "2"), (500, "3"), (3_000, "4")] {
        fixture.clock.0.store(now, Ordering::Relaxed);
        fixture.append("a", &[payload]).await;
    }
    for since in Since::ALL {
        fixture = fixture.after(since).await;
        let times: Vec<u64> = fixture.all("a", 2).await.iter().map(|event| event.record_time_ns).collect();
        assert_eq!(times, [1_000, 2_000, 2_000, 3_000]);
        for (since, cursor) in
            [(0, 0), (1_000, 0), (1_001, 1), (2_000, 1), (2_001, 3), (3_000, 3), (3_001, 4)]
        {
            let found = fixture.store.cursor_at_time(&id_of("a"), since).await.expect("it is there");
            assert_eq!(found, cursor, "since {since}");
        }
    }
}

#[tokio::test]
async fn the_base_of_the_last_trim_with_one_is_kept() {
    let mut fixture = Fixture::new();
    fixture.create("a").await;
    fixture.append("a", &["2", "3", "4"]).await;
    assert_eq!(fixture.store.base(&id_of("a")).await.expect("it is there"), None);
    let base = Some(bytes::Bytes::from_static(b"folded"));
    let trim = TrimRequest { execution: id_of("a"), floor_seq: 2, base: base.clone() };
    assert_eq!(fixture.store.trim(trim).await, Ok(2));
    assert_eq!(fixture.trim("a", 5).await, 5);
    for since in Since::ALL {
        fixture = fixture.after(since).await;
        assert_eq!(fixture.store.base(&id_of("a")).await.expect("it is there"), base);
        assert!(fixture.everything(10).await.is_empty());
        assert_eq!(fixture.store.floor_position().await, Ok(5));
    }
    let head = fixture.store.head(&id_of("a")).await.expect("it is there");
    assert_eq!((head.floor_seq, head.tail_seq, head.stored_bytes), (5, 4, 0));
}

#[tokio::test]
async fn a_list_shows_what_matches_newest_first_in_pages() {
    let mut fixture = Fixture::new();
    for number in 0..9 {
        let label = if number % 3 == 0 { "yes" } else { "no" };
        fixture.create_labelled(&format!("e{number}"), &[("third", label)]).await;
    }
    let end = AppendRequest { events: vec![phase_event(Phase::Failed)], ..request("e6", &[]) };
    fixture.try_append(end).await.expect("it ends");
    fixture.store.delete(&id_of("e5")).await.expect("it is there");
    for since in Since::ALL {
        fixture = fixture.after(since).await;
        let labels = [("third".to_owned(), "yes".to_owned())].into();
        let query = ListQuery { labels, phase: Some(Phase::Pending), ..ListQuery::default() };
        assert_eq!(listed(&fixture, query, 1).await, ["e3", "e0"]);
        let all = ["e8", "e7", "e6", "e4", "e3", "e2", "e1", "e0"];
        for heads_max in [1, 3, 8, 100] {
            assert_eq!(listed(&fixture, ListQuery::default(), heads_max).await, all);
        }
    }
}

pub(super) async fn listed(fixture: &Fixture, query: ListQuery, heads_max: usize) -> Vec<String> {
    let mut query = ListQuery { heads_max, ..query };
    let mut found = Vec::new();
    loop {
        let page = fixture.store.list(query.clone()).await.expect("the store is open");
        assert!(page.heads.len() <= heads_max);
        found.extend(page.heads.iter().map(|head| head.execution.id.to_string()));
        match page.next_before {
            Some(before) => query.before_number = Some(before),
            None => return found,
        }
    }
}

#[tokio::test]
async fn a_closed_store_refuses_everything() {
    let fixture = Fixture::new();
    fixture.create("a").await;
    fixture.store.close().await;
    assert_eq!(fixture.try_append(request("a", &["x"])).await, Err(WriteError::Closing));
    assert_eq!(fixture.store.create(creation("b", &[])).await.map(|_| ()), Err(WriteError::Closing));
    let read = fixture.store.read_all(0, PageSize::default()).await;
    assert_eq!(read.map(|_| ()), Err(ReadError::Closing));
    fixture.store.close().await;
}

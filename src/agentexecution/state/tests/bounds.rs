//! States that are many, large, or too large; and who waits for whom.

use std::time::Duration;

use super::*;
use crate::limits::{MIB, STATE_BYTES_MAX, STATES_BYTES_MAX};
use crate::proto::v1::ListTruncated;
use crate::proto::v1::list_truncated::List;

/// An execution with a text of so many MiB.
async fn large_log(world: &World, execution: &ExecutionId, mib: usize) -> Seq {
    let mut tail = long_log_of(world, execution, 0).await;
    for _ in 0..mib {
        tail = append(world, execution, vec![token(&"x".repeat(MIB / 2)); 2], tail).await;
    }
    tail
}

/// What is answered though nobody has a place to fold.
async fn at_once<T>(world: &World, answer: impl Future<Output = T>) -> T {
    let places = u32::try_from(STATE_LOADS_MAX).expect("they are few");
    let _all = world.states.0.loads.acquire_many(places).await.expect("it is never closed");
    tokio::time::timeout(Duration::from_secs(10), answer).await.expect("it waits for a place")
}

#[tokio::test]
async fn a_state_in_memory_goes_on_while_all_places_to_fold_are_taken() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let world = open(directory.path()).await;
    let tail = long_log(&world, 100).await;
    world.states.current(&id()).await.expect("it is there");
    append(&world, &id(), vec![token("y"); 10], tail).await;
    let state = at_once(&world, world.states.current(&id())).await.expect("it is there");
    assert_eq!(content(&state), 110);
}

#[tokio::test]
async fn a_state_that_was_dropped_for_another_is_the_same_when_it_is_asked_for_again() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let world = open(directory.path()).await;
    let (one, two) = (id(), ExecutionId::parse("two").expect("an id"));
    let mib = STATES_BYTES_MAX / MIB / 2 + 1;
    large_log(&world, &one, mib).await;
    large_log(&world, &two, mib).await;
    let first = world.states.current(&one).await.expect("it is there");
    assert!(Arc::ptr_eq(&first, &world.states.current(&one).await.expect("it is there")));
    // In passing, nothing goes.
    world.states.current_for(&two, Interest::Passing).await.expect("it is there");
    assert!(Arc::ptr_eq(&first, &world.states.current(&one).await.expect("it is there")));
    world.states.current(&two).await.expect("it is there");
    let again = world.states.current(&one).await.expect("it is there");
    assert!(!Arc::ptr_eq(&first, &again), "both are kept");
    assert_eq!(first.folded, again.folded);
}

#[tokio::test]
async fn that_a_state_is_too_large_is_remembered_and_that_it_is_no_more_is_noticed() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let world = open(directory.path()).await;
    let tail = large_log(&world, &id(), STATE_BYTES_MAX / MIB).await;
    let refused = world.states.current(&id()).await.expect_err("it has an entry and a text of the limit");
    let StateError::TooLarge(excess) = &refused else { panic!("{refused}") };
    assert!(excess.limit == STATE_BYTES_MAX as u64 && excess.actual > excess.limit);
    let again = at_once(&world, world.states.current(&id())).await.expect_err("nothing changed");
    assert_eq!(again, refused);
    // It is not looked at again for each event either.
    let cut = Body::ListTruncated(ListTruncated { list: List::Messages.into(), length: 0 });
    append(&world, &id(), vec![cut], tail).await;
    let again = at_once(&world, world.states.current(&id())).await.expect_err("it is too early");
    assert_eq!(again, refused);
    let log_id = world.store.head(&id()).await.expect("it is there").execution.log_id;
    let entry = world.states.0.cache.entry(&id(), log_id, Interest::Lasting);
    match &mut *entry.known.lock().await {
        Known::TooLarge(verdict) => verdict.until = Instant::now(),
        other => panic!("{other:?}"),
    }
    let state = world.states.current(&id()).await.expect("it is small");
    assert!(state.folded.execution().status.as_ref().is_some_and(|status| status.messages.is_empty()));
}

/// Two bytes each on the wire: by its length such a log would be within the limit for gigabytes of memory.
#[tokio::test]
async fn a_state_of_empty_entries_is_too_large_by_what_they_take_in_memory() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let world = open(directory.path()).await;
    let mut tail = long_log(&world, 0).await;
    let calls = vec![ToolCall::default(); 100_000];
    let message = AgentMessage { tool_calls: calls, ..Default::default() };
    let of_calls = 100_000 * size_of::<ToolCall>();
    for index in 1..=u32::try_from(STATE_BYTES_MAX / of_calls + 1).expect("they are few") {
        let added = MessageAdded { index, message: Some(message.clone()) };
        tail = append(&world, &id(), vec![Body::MessageAdded(added)], tail).await;
    }
    let stored = world.store.head(&id()).await.expect("it is there").stored_bytes;
    assert!(stored < MIB as u64, "{stored} bytes are stored");
    let refused = world.states.current(&id()).await.expect_err("it is too large");
    assert!(matches!(refused, StateError::TooLarge(_)), "{refused}");
}

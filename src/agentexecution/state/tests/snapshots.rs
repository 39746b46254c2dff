//! A snapshot is used if, and only if, it is of this log, and its last event is in it.

use std::fs;

use super::*;

/// Where a fresh start begins, which knows nothing but the store and the files.
async fn begins_after(world: &World, execution: &ExecutionId) -> Seq {
    begins_after_with(world, world.snapshots.clone(), execution).await
}

async fn begins_after_with(world: &World, snapshots: Arc<Snapshots>, execution: &ExecutionId) -> Seq {
    let states = States::new(world.store.clone(), snapshots);
    let head = world.store.head(execution).await.expect("it is there");
    states.start(&head).await.expect("the log is whole").folded.through_seq()
}

/// A long log with a snapshot at its tail.
async fn with_snapshot(world: &World) -> (Arc<State>, Seq) {
    let tail = long_log(world, 5_000).await;
    let state = world.states.current(&id()).await.expect("it is there");
    wait_for_snapshots(world, 1).await;
    assert_eq!(begins_after(world, &id()).await, tail, "the snapshot is not used");
    (state, tail)
}

fn path(directory: &Path, log_id: LogId) -> std::path::PathBuf {
    directory.join("snapshots").join(format!("{log_id}.state"))
}

#[tokio::test]
async fn a_damaged_snapshot_is_not_used_and_the_state_is_right() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let world = open(directory.path()).await;
    let (expected, _) = with_snapshot(&world).await;
    let path = path(directory.path(), expected.head.execution.log_id);
    let whole = fs::read(&path).expect("it can be read");
    for at in (0..whole.len()).step_by(97) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, &damaged).expect("it can be written");
        assert_eq!(begins_after(&world, &id()).await, 0, "byte {at} was not checked");
    }
    fs::write(&path, &whole[..whole.len() / 2]).expect("it can be written");
    let states = States::new(world.store.clone(), world.snapshots.clone());
    assert_eq!(states.current(&id()).await.expect("the log is whole").folded, expected.folded);
}

#[tokio::test]
async fn a_snapshot_of_another_store_or_another_log_is_not_used() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let world = open(directory.path()).await;
    let (state, _) = with_snapshot(&world).await;
    let elsewhere = Snapshots::open(directory.path().join("snapshots"), StoreId::generate());
    assert_eq!(begins_after_with(&world, Arc::new(elsewhere), &id()).await, 0);

    let other = ExecutionId::parse("two").expect("an id");
    long_log_of(&world, &other, 5_000).await;
    let log_id = world.store.head(&other).await.expect("it is there").execution.log_id;
    fs::copy(path(directory.path(), state.head.execution.log_id), path(directory.path(), log_id))
        .expect("it can be copied");
    assert_eq!(begins_after(&world, &other).await, 0);
}

/// A copy of a data directory that went its own way has the same store, log and seq, and other events.
#[tokio::test]
async fn a_snapshot_whose_last_event_is_another_one_is_not_used_and_goes() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let world = open(directory.path()).await;
    let (state, _) = with_snapshot(&world).await;
    let Mark { position, record_time_ns } = state.mark;
    for mark in [
        Mark { position: position + 1, ..state.mark },
        Mark { record_time_ns: record_time_ns - 1, ..state.mark },
    ] {
        let place = world.snapshots.place().expect("nobody writes");
        world.snapshots.write(place, Arc::new(State { mark, ..State::clone(&state) })).await;
        assert_eq!(world.snapshots.logs().len(), 1);
        assert_eq!(begins_after(&world, &id()).await, 0);
        assert!(world.snapshots.logs().is_empty(), "it is kept");
    }
}

#[tokio::test]
async fn a_snapshot_beyond_the_tail_or_below_the_floor_is_not_used() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let world = open(directory.path()).await;
    let (state, tail) = with_snapshot(&world).await;
    append(&world, &id(), vec![token("y"); 10], tail).await;
    world.appender.trim("one", tail + 5).await.expect("it is inside the log");
    assert_eq!(begins_after(&world, &id()).await, tail + 4, "the base is newer");
    let later = world.states.current(&id()).await.expect("it is there");
    assert_eq!(content(&later), 5_010);

    let other = ExecutionId::parse("two").expect("an id");
    long_log_of(&world, &other, 10).await;
    let head = world.store.head(&other).await.expect("it is there");
    let place = world.snapshots.place().expect("nobody writes");
    world.snapshots.write(place, Arc::new(State { head, ..State::clone(&state) })).await;
    assert_eq!(begins_after(&world, &other).await, 0);
}

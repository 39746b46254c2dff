//! What becomes of the snapshots of executions that are deleted.

use tapeline_storage::{ExecutionRef, NoHook};

use super::super::tests::{id, long_log, open, open_with_keeper, wait_for_snapshots};
use super::*;

fn deletion(log_id: LogId) -> Arc<Commit> {
    let id = ExecutionId::parse("gone").expect("an id");
    let execution = Arc::new(ExecutionRef { id, log_id, labels: Default::default() });
    Arc::new(Commit {
        slices: vec![CommitSlice { execution, change: SliceChange::Deleted }],
        tail_position: 0,
    })
}

#[tokio::test]
async fn a_deletion_takes_the_snapshot_with_it() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let (world, _keeper) = open_with_keeper(directory.path()).await;
    long_log(&world, 5_000).await;
    wait_for_snapshots(&world, 1).await;
    world.appender.delete("one").await.expect("it is there");
    wait_for_snapshots(&world, 0).await;
}

/// The keeper had nothing to remove yet when it was told of the deletion.
#[tokio::test]
async fn a_snapshot_that_is_written_behind_the_deletion_does_not_stay() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let world = open(directory.path()).await;
    long_log(&world, 100).await;
    let state = world.states.current(&id()).await.expect("it is there");
    let place = world.snapshots.place().expect("nobody writes");
    world.states.clone().write_snapshot(place, state.clone()).await;
    assert_eq!(world.snapshots.logs().len(), 1, "none is written at all");
    world.appender.delete("one").await.expect("it is there");
    let place = world.snapshots.place().expect("nobody writes");
    world.states.clone().write_snapshot(place, state).await;
    assert!(world.snapshots.logs().is_empty());
}

#[tokio::test]
async fn a_deletion_that_could_not_be_noted_is_made_up_for() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let world = open(directory.path()).await;
    long_log(&world, 5_000).await;
    world.states.current(&id()).await.expect("it is there");
    wait_for_snapshots(&world, 1).await;
    let orphan = LogId::generate();
    let path = directory.path().join("snapshots").join(format!("{orphan}.state"));
    std::fs::write(&path, b"secret").expect("it can be written");
    let (hook, wishes) = snapshot_hook(Arc::new(NoHook));
    for _ in 0..SNAPSHOT_WISHES_MAX {
        hook.committed(&deletion(LogId::generate()));
    }
    hook.committed(&deletion(orphan));
    let states = world.states.clone();
    let keeping = tokio::spawn(async move { keep(&states, wishes).await });
    wait_for_snapshots(&world, 1).await;
    assert!(!path.exists(), "the wrong one was removed");
    drop(hook);
    keeping.await.expect("it ends with its hook");
}

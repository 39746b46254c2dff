//! States over a real store: the same with and without memory and snapshots.

use std::path::Path;

use tapeline_storage::{OpenOptions, RedbStore};

use super::*;
use crate::append::Appender;
use crate::execution::rules::ExecutionRules;
use crate::proto::v1::event::Body;
use crate::proto::v1::{ExecutionCreated, MessageAdded, MessageTextAppended};

struct World {
    store: Arc<dyn EventStore>,
    states: States,
    snapshots: Arc<Snapshots>,
    appender: Appender,
}

async fn open(directory: &Path) -> World {
    let mut options = OpenOptions::new(directory.join("data"));
    options.rules = Arc::new(ExecutionRules);
    let store = tokio::task::spawn_blocking(|| RedbStore::open(options)).await.expect("no panic");
    let store: Arc<dyn EventStore> = Arc::new(store.expect("the store opens"));
    let snapshots = Arc::new(Snapshots::open(directory.join("snapshots"), store.store_id()));
    let states = States::new(store.clone(), snapshots.clone());
    let appender = Appender::new(store.clone());
    World { store, states, snapshots, appender }
}

fn id() -> ExecutionId {
    ExecutionId::parse("one").expect("an id")
}

/// An execution with one message that grew so often.
async fn long_log(world: &World, tokens: usize) -> Seq {
    let created = vec![Body::Created(ExecutionCreated::default())];
    world.appender.create_from(&id(), created).await.expect("it is new");
    let added = MessageAdded { index: 0, message: Some(Default::default()) };
    world.appender.append_bodies(&id(), vec![Body::MessageAdded(added)], 1).await.expect("it fits");
    let token = Body::MessageTextAppended(MessageTextAppended { index: 0, text: "x".into() });
    let outcome = world.appender.append_bodies(&id(), vec![token; tokens], 2).await.expect("it fits");
    outcome.tail_seq
}

fn content(state: &State) -> usize {
    let status = state.folded.execution().status.as_ref().expect("there is one");
    status.messages[0].content.len()
}

async fn wait_for_snapshots(world: &World, count: usize) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while world.snapshots.logs().len() != count {
        assert!(std::time::Instant::now() < deadline, "no snapshot came or went");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_state_is_the_same_from_memory_from_a_snapshot_and_from_the_beginning() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let world = open(directory.path()).await;
    let tail = long_log(&world, 10_000).await;
    let first = world.states.current(&id()).await.expect("it is there");
    assert_eq!((first.folded.through_seq(), content(&first)), (tail, 10_000));
    wait_for_snapshots(&world, 1).await;

    let from_memory = world.states.current(&id()).await.expect("it is there");
    let from_snapshot = States::new(world.store.clone(), world.snapshots.clone());
    let from_snapshot = from_snapshot.current(&id()).await.expect("it is there");
    std::fs::remove_dir_all(directory.path().join("snapshots")).expect("it was made");
    let from_log = States::new(world.store.clone(), world.snapshots.clone());
    let from_log = from_log.current(&id()).await.expect("it is there");

    assert!(Arc::ptr_eq(&first, &from_memory));
    assert_eq!(from_snapshot.snapshot_seq, tail, "the snapshot was not used");
    assert_eq!(first.folded, from_snapshot.folded);
    assert_eq!(first.folded, from_log.folded);
}

#[tokio::test]
async fn a_damaged_snapshot_is_not_used_and_the_state_is_right() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let world = open(directory.path()).await;
    long_log(&world, 5_000).await;
    let expected = world.states.current(&id()).await.expect("it is there");
    wait_for_snapshots(&world, 1).await;
    let name = world.snapshots.logs().pop().expect("there is one");
    let path = directory.path().join("snapshots").join(format!("{name}.state"));
    let whole = std::fs::read(&path).expect("it can be read");
    let head = world.store.head(&id()).await.expect("it is there");
    for at in (0..whole.len()).step_by(97) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&path, &damaged).expect("it can be written");
        let states = States::new(world.store.clone(), world.snapshots.clone());
        let state = states.start(&head).await.expect("the log is whole");
        assert_eq!(state.folded.through_seq(), 0, "byte {at} was not checked");
    }
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("it can be written");
    let states = States::new(world.store.clone(), world.snapshots.clone());
    assert_eq!(states.current(&id()).await.expect("the log is whole").folded, expected.folded);
}

#[tokio::test]
async fn a_trim_leaves_the_state_as_it_was() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let world = open(directory.path()).await;
    let tail = long_log(&world, 100).await;
    world.appender.trim("one", tail).await.expect("it is inside the log");
    let state = world.states.current(&id()).await.expect("it is there");
    assert_eq!(content(&state), 100);
}

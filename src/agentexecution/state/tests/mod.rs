//! States over a real store: the same with and without memory and snapshots.

mod bounds;
mod snapshots;

use std::path::Path;

use tapeline_storage::{CommitHook, LogId, NoHook, OpenOptions, RedbStore, StoreId};

use super::*;
use crate::append::Appender;
use crate::execution::rules::ExecutionRules;
use crate::proto::stigmer::agentexecution::{AgentMessage, ToolCall};
use crate::proto::v1::event::Body;
use crate::proto::v1::{ExecutionCreated, MessageAdded, MessageTextAppended};

pub(super) struct World {
    store: Arc<dyn EventStore>,
    pub(super) states: States,
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) appender: Appender,
}

pub(super) async fn open(directory: &Path) -> World {
    open_with(directory, Arc::new(NoHook)).await
}

pub(super) async fn open_with_keeper(directory: &Path) -> (World, SnapshotKeeper) {
    let (hook, wishes) = snapshot_hook(Arc::new(NoHook));
    let world = open_with(directory, Arc::new(hook)).await;
    let keeper = SnapshotKeeper::start(world.states.clone(), wishes);
    (world, keeper)
}

async fn open_with(directory: &Path, hook: Arc<dyn CommitHook>) -> World {
    let mut options = OpenOptions::new(directory.join("data"));
    options.rules = Arc::new(ExecutionRules);
    options.hook = hook;
    let store = tokio::task::spawn_blocking(|| RedbStore::open(options)).await.expect("no panic");
    let store: Arc<dyn EventStore> = Arc::new(store.expect("the store opens"));
    let snapshots = Arc::new(Snapshots::open(directory.join("snapshots"), store.store_id()));
    let states = States::new(store.clone(), snapshots.clone());
    let appender = Appender::new(store.clone());
    World { store, states, snapshots, appender }
}

pub(super) fn id() -> ExecutionId {
    ExecutionId::parse("one").expect("an id")
}

/// An execution with one message that grew so often.
pub(super) async fn long_log(world: &World, tokens: usize) -> Seq {
    long_log_of(world, &id(), tokens).await
}

async fn long_log_of(world: &World, execution: &ExecutionId, tokens: usize) -> Seq {
    let created = vec![Body::Created(ExecutionCreated::default())];
    world.appender.create_from(execution, created).await.expect("it is new");
    let added = Body::MessageAdded(MessageAdded { index: 0, message: Some(Default::default()) });
    let tail = append(world, execution, vec![added], 1).await;
    if tokens == 0 { tail } else { append(world, execution, vec![token("x"); tokens], tail).await }
}

async fn append(world: &World, execution: &ExecutionId, bodies: Vec<Body>, tail: Seq) -> Seq {
    world.appender.append_bodies(execution, bodies, tail).await.expect("it fits").tail_seq
}

fn token(text: &str) -> Body {
    Body::MessageTextAppended(MessageTextAppended { index: 0, text: text.into() })
}

fn content(state: &State) -> usize {
    let status = state.folded.execution().status.as_ref().expect("there is one");
    status.messages[0].content.len()
}

pub(super) async fn wait_for_snapshots(world: &World, count: usize) {
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
async fn a_trim_leaves_the_state_as_it_was() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let world = open(directory.path()).await;
    let tail = long_log(&world, 100).await;
    world.appender.trim("one", tail).await.expect("it is inside the log");
    let state = world.states.current(&id()).await.expect("it is there");
    assert_eq!(content(&state), 100);
}

#[tokio::test]
async fn a_trim_under_a_state_in_memory_leaves_nothing_out_and_nothing_twice() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let world = open(directory.path()).await;
    let tail = long_log(&world, 100).await;
    world.states.current(&id()).await.expect("it is there");
    let tail = append(&world, &id(), vec![token("y"); 300], tail).await;
    world.appender.trim("one", tail - 50).await.expect("it is inside the log");
    let state = world.states.current(&id()).await.expect("it is there");
    assert_eq!((state.folded.through_seq(), content(&state)), (tail, 400));
}

//! What a change is answered with when what stands behind its commit cannot be read.

use std::sync::atomic::{AtomicU8, Ordering};

use futures_util::future::BoxFuture;
use tapeline_storage::test_util::{Meddled, Meddler};
use tapeline_storage::{EventStore, OpenOptions, Page, ReadError, RedbStore};

use super::*;
use crate::agentexecution::TRUNCATED;
use crate::agentexecution::state::{Snapshots, States};
use crate::append::Appender;
use crate::broker::Broker;
use crate::execution::rules::ExecutionRules;
use crate::proto::stigmer::agentexecution::{
    AgentExecutionSpec, AgentExecutionStatus, AgentExecutionUpdateStatusInput, AgentMessage,
    ListAgentExecutionsRequest,
};
use crate::proto::stigmer::apiresource::{ApiResourceId, ApiResourceMetadata};
use crate::watch::Watches;

/// What a store does wrong.
const NOTHING: u8 = 0;
/// Reads fail behind the next write.
const FAILS_BEHIND_A_WRITE: u8 = 1;
const FAILS: u8 = 2;
/// Every record is damaged.
const DAMAGED: u8 = 3;

/// A store that does something wrong if it is told to.
type Scripted = Meddled<Wrong>;

#[derive(Debug)]
struct Wrong(AtomicU8);

impl Wrong {
    fn does(&self, fault: u8) {
        self.0.store(fault, Ordering::SeqCst);
    }

    fn fault(&self, execution: &ExecutionId) -> Result<(), ReadError> {
        match self.0.load(Ordering::SeqCst) {
            FAILS => Err(ReadError::Failed),
            DAMAGED => {
                let (execution, what) = (Some(execution.clone()), "the checksum is wrong".to_owned());
                Err(ReadError::Corrupt { execution, seq: 1, position: 1, what })
            }
            _ => Ok(()),
        }
    }
}

impl Meddler for Wrong {
    fn writes(&self) {
        let _ = self.0.compare_exchange(FAILS_BEHIND_A_WRITE, FAILS, Ordering::SeqCst, Ordering::SeqCst);
    }

    fn read<'a>(
        &'a self,
        execution: &ExecutionId,
        _: Seq,
        read: BoxFuture<'a, Result<Page, ReadError>>,
    ) -> BoxFuture<'a, Result<Page, ReadError>> {
        match self.fault(execution) {
            Ok(()) => read,
            Err(error) => Box::pin(async { Err(error) }),
        }
    }
}

struct World {
    store: Arc<Scripted>,
    controller: Controller,
    broker: Broker,
    _directory: tempfile::TempDir,
}

impl World {
    async fn open() -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let broker = Broker::start().expect("a thread is to be had");
        let mut options = OpenOptions::new(directory.path().join("data"));
        (options.rules, options.hook) = (Arc::new(ExecutionRules), broker.hook());
        let opened = tokio::task::spawn_blocking(|| RedbStore::open(options)).await.expect("no panic");
        let inner = opened.expect("a new store opens");
        let scripted = Arc::new(Scripted { inner, meddler: Wrong(AtomicU8::new(NOTHING)) });
        let store: Arc<dyn EventStore> = scripted.clone();
        let snapshots = Arc::new(Snapshots::open(directory.path().join("snapshots"), store.store_id()));
        let states = States::new(store.clone(), snapshots);
        let watches = Watches::limited_to(10, store.clone(), broker.clone());
        let controller =
            Controller::new(store.clone(), Appender::new(store), broker.clone(), watches, states);
        Self { store: scripted, controller, broker, _directory: directory }
    }

    async fn created(&self) -> String {
        let created = self.controller.create(new_execution("one")).await.expect("it is valid");
        created.reply.metadata.expect("always set").id
    }

    async fn tail(&self, id: &str) -> Seq {
        self.store.head(&ExecutionId::parse(id).expect("an id")).await.expect("it is there").tail_seq
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.broker.stop();
    }
}

fn new_execution(name: &str) -> AgentExecution {
    let spec = AgentExecutionSpec { session_id: "s".into(), message: "do it".into(), ..Default::default() };
    let metadata = ApiResourceMetadata { name: name.into(), id: name.into(), ..Default::default() };
    AgentExecution { metadata: Some(metadata), spec: Some(spec), ..Default::default() }
}

fn update(id: &str, phase: i32, text: &str) -> AgentExecutionUpdateStatusInput {
    let messages = vec![AgentMessage { content: text.into(), ..Default::default() }];
    let status = AgentExecutionStatus { phase, messages, ..Default::default() };
    AgentExecutionUpdateStatusInput { execution_id: id.into(), status: Some(status) }
}

fn is_unknown<T: std::fmt::Debug>(answer: Result<T, CallError>) -> bool {
    matches!(answer.expect_err("it fails"), CallError::Append(AppendError::Store(WriteError::OutcomeUnknown)))
}

/// A client that is told that the store failed may take it that nothing was written.
#[tokio::test]
async fn what_is_written_and_cannot_be_answered_may_have_been_written() {
    let world = World::open().await;
    let id = world.created().await;
    let before = world.tail(&id).await;
    world.store.meddler.does(FAILS_BEHIND_A_WRITE);
    assert!(is_unknown(world.controller.update_status(update(&id, 2, "a")).await));
    assert_eq!(world.tail(&id).await, before + 2, "a message and the phase");

    world.store.meddler.does(FAILS);
    let answer = world.controller.update_status(update(&id, 2, "b")).await.expect_err("nothing can be read");
    assert_eq!(answer, CallError::State(StateError::Read(ReadError::Failed)), "nothing was written");
    assert_eq!(world.tail(&id).await, before + 2);

    world.store.meddler.does(FAILS_BEHIND_A_WRITE);
    assert!(is_unknown(world.controller.create(new_execution("two")).await));
    assert_eq!(world.tail("two").await, 2);
}

#[tokio::test]
async fn an_execution_whose_log_is_damaged_is_listed_ended_and_deleted() {
    let world = World::open().await;
    let id = world.created().await;
    world.controller.update_status(update(&id, 2, "a")).await.expect("it is valid");
    let before = world.tail(&id).await;
    world.store.meddler.does(DAMAGED);
    // What is in memory is not read again.
    world.controller.states.forget(&ExecutionId::parse(&id).expect("an id"));
    let damage = world.controller.update_status(update(&id, 2, "b")).await.expect_err("it cannot be read");
    assert!(matches!(damage, CallError::State(StateError::Read(ReadError::Corrupt { .. }))), "{damage}");
    let page = world.controller.list(ListAgentExecutionsRequest::default()).await.expect("a page");
    assert!(page.entries.truncated);
    let annotations = &page.entries.reply[0].metadata.as_ref().expect("always set").annotations;
    assert_eq!(annotations[TRUNCATED], "true");

    let ended = world.controller.update_status(update(&id, 3, "c")).await.expect("it can end");
    assert!(ended.truncated && ended.reply.status.expect("always set").phase == 3);
    assert_eq!(world.tail(&id).await, before + 1, "the phase and nothing else");
    let again = world.controller.update_status(update(&id, 3, "c")).await.expect("it has ended so");
    assert!(again.truncated);
    let other = world.controller.update_status(update(&id, 4, "c")).await.expect_err("it has ended");
    assert!(matches!(other, CallError::Append(AppendError::Store(WriteError::Ended { .. }))), "{other}");

    let deleted = world.controller.delete(ApiResourceId { value: id.clone() }).await.expect("it can go");
    assert_eq!(deleted.reply.metadata.expect("always set").id, id);
}

//! A small store that is known by heart: one execution that goes on, one that has ended, one trimmed.

use std::collections::BTreeMap;
use std::sync::Arc;

use tapeline_storage::{
    AppendRequest, CreateRequest, EventStore, ExecutionId, OpenOptions, PageSize, RedbStore, StoredEvent,
    TrimRequest,
};

use crate::broker::Broker;
use crate::execution::event::{client_batch, created};
use crate::proto::v1::event::Body;
use crate::proto::v1::{CustomEvent, Event, ExecutionCreated, Output, Phase, PhaseChanged};
use crate::watch::Watches;

/// The executions there are.
pub(super) const IDS: [&str; 3] = ["open", "ended", "trimmed"];
/// The floor of the trimmed one.
const TRIMMED_FLOOR: u64 = 6;

pub(super) struct Fixture {
    runtime: tokio::runtime::Runtime,
    pub(super) watches: Watches,
    pub(super) logs: Vec<Log>,
    /// Held for as long as the process runs.
    _directory: tempfile::TempDir,
}

/// What one execution holds.
pub(super) struct Log {
    pub(super) id: &'static str,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) floor: u64,
    pub(super) tail: u64,
    pub(super) ended: bool,
    /// The events that are kept.
    pub(super) events: Vec<StoredEvent>,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime starts");
        let broker = Broker::start().expect("a thread is to be had");
        let mut options = OpenOptions::new(directory.path().join("data"));
        options.hook = broker.hook();
        let store: Arc<dyn EventStore> = Arc::new(RedbStore::open(options).expect("a new store opens"));
        let logs = runtime.block_on(async {
            let mut logs = Vec::new();
            for id in IDS {
                logs.push(write(&*store, id).await);
            }
            logs
        });
        Self { runtime, watches: Watches::new(store, broker), logs, _directory: directory }
    }

    pub(super) fn block_on<F: Future>(&self, work: F) -> F::Output {
        self.runtime.block_on(work)
    }
}

async fn write(store: &dyn EventStore, id: &'static str) -> Log {
    let execution = ExecutionId::parse(id).expect("the id is one");
    let first = created(ExecutionCreated::default()).expect("it is a creation");
    let labels = BTreeMap::from([("id".to_owned(), id.to_owned())]);
    let create = CreateRequest {
        execution: execution.clone(),
        digest: 1,
        labels: labels.clone(),
        events: vec![first],
    };
    store.create(create).await.expect("it is new");
    let ended = id == "ended";
    let append = AppendRequest {
        execution: execution.clone(),
        events: client_batch(batch(ended)).expect("the batch is sound"),
        expected_last_seq: None,
        producer: None,
        stream: None,
    };
    store.append(append).await.expect("it is appended");
    if id == "trimmed" {
        let trim = TrimRequest { execution: execution.clone(), floor_seq: TRIMMED_FLOOR, base: None };
        store.trim(trim).await.expect("it is trimmed");
    }
    let head = store.head(&execution).await.expect("it is there");
    let (floor, tail) = (head.floor_seq, head.tail_seq);
    let page = store.read(&execution, floor - 1, PageSize::default()).await.expect("it is readable");
    assert_eq!(page.events.len() as u64, tail + 1 - floor, "a page takes all of it");
    Log { id, labels, floor, tail, ended, events: page.events }
}

fn batch(ended: bool) -> Vec<Event> {
    let phase = |phase: Phase| Body::PhaseChanged(PhaseChanged { phase: phase.into(), ..Default::default() });
    let custom = |kind: &str| Body::Custom(CustomEvent { r#type: kind.to_owned(), ..Default::default() });
    let output = || Body::Output(Output { stream: 1, data: "out".into(), truncated: false });
    let mut bodies = vec![phase(Phase::InProgress), output(), custom("note"), custom("node"), output()];
    bodies.extend([custom("output"), custom("a*"), output(), custom("note")]);
    if ended {
        bodies.push(phase(Phase::Completed));
    }
    bodies.into_iter().map(|body| Event { body: Some(body), ..Default::default() }).collect()
}

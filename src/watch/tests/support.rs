//! A store with its broker and watches, and a client that reads frames as a client would.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use prost::Message;
use tapeline_storage::test_util::{Meddled, Meddler};
use tapeline_storage::{
    AppendRequest, CreateRequest, EventStore, ExecutionId, Head, HeadChange, NewEvent, OpenOptions, Page,
    Phase, ReadError, RedbStore, Seq, TrimRequest,
};

use crate::broker::{Broker, Topic};
use crate::proto::stigmer::agentexecution::{AgentExecution, AgentExecutionSpec};
use crate::proto::stigmer::executioncontext::ExecutionValue;
use crate::proto::v1::watch_response::Frame;
use crate::proto::v1::{
    CustomEvent, Event, Output, PhaseChanged, SpecReplaced, WatchAllRequest, WatchRequest, WatchResponse,
    event,
};
use crate::watch::{WatchError, WatchStream, Watches};

/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(30);

pub(super) struct House {
    pub(super) store: Arc<Scripted>,
    pub(super) watches: Watches,
    broker: Broker,
    _directory: tempfile::TempDir,
}

impl House {
    pub(super) async fn open() -> Self {
        Self::limited_to(1_000).await
    }

    pub(super) async fn limited_to(watchers_max: usize) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let broker = Broker::start().expect("a thread is to be had");
        let mut options = OpenOptions::new(directory.path().join("data"));
        options.hook = broker.hook();
        let opened =
            tokio::task::spawn_blocking(|| RedbStore::open(options)).await.expect("it does not panic");
        let inner = opened.expect("a new store opens");
        let store = Arc::new(Meddled { inner, meddler: Damage::default() });
        let watches =
            Watches::limited_to(watchers_max, Arc::clone(&store) as Arc<dyn EventStore>, broker.clone());
        Self { store, watches, broker, _directory: directory }
    }

    pub(super) async fn create(&self, id: &str) {
        self.create_labelled(id, &[]).await;
    }

    pub(super) async fn create_labelled(&self, id: &str, labels: &[(&str, &str)]) {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let request = CreateRequest {
            execution: name(id),
            digest: 1,
            labels: labels.collect::<BTreeMap<_, _>>(),
            events: vec![output(b"first")],
        };
        self.store.create(request).await.expect("it is created");
    }

    /// Appends in one commit. Returns the tail.
    pub(super) async fn append(&self, id: &str, events: Vec<NewEvent>) -> Seq {
        let execution = name(id);
        let request =
            AppendRequest { execution, events, expected_last_seq: None, producer: None, stream: None };
        self.store.append(request).await.expect("it is appended").tail_seq
    }

    /// As many appends of one event, one after the other.
    pub(super) async fn append_each(&self, id: &str, count: usize) {
        for _ in 0..count {
            self.append(id, vec![output(b"more")]).await;
        }
    }

    pub(super) async fn finish(&self, id: &str) -> Seq {
        self.append(id, vec![terminal(Phase::Completed, "")]).await
    }

    pub(super) async fn trim(&self, id: &str, floor_seq: Seq) {
        let request = TrimRequest { execution: name(id), floor_seq, base: None };
        self.store.trim(request).await.expect("it is trimmed");
    }

    pub(super) async fn delete(&self, id: &str) {
        self.store.delete(&name(id)).await.expect("it is deleted");
    }

    /// Waits until the broker has handed out everything that was committed so far: commits are handed
    /// out in order, so one more that arrives says so.
    pub(super) async fn handed_out(&self, probe: &str) {
        let subscription = self.broker.subscribe(Topic::Execution(name(probe)));
        self.create(probe).await;
        let arrived = poll_fn(|cx| subscription.poll_next(cx));
        tokio::time::timeout(DEADLINE, arrived).await.expect("the commit is handed out");
    }

    pub(super) async fn head(&self, id: &str) -> Arc<Head> {
        self.store.head(&name(id)).await.expect("it exists")
    }

    pub(super) async fn watch(&self, request: WatchRequest) -> Client {
        Client(self.watches.watch(request, None).await.expect("the watch is opened"))
    }

    pub(super) async fn watch_all(&self, request: WatchAllRequest) -> Client {
        Client(self.watches.watch_all(request, None).await.expect("the watch is opened"))
    }

    pub(super) async fn refused(&self, request: WatchRequest) -> WatchError {
        self.watches.watch(request, None).await.err().expect("the watch is refused")
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.broker.stop();
    }
}

pub(super) fn name(id: &str) -> ExecutionId {
    ExecutionId::parse(id).expect("the id is fine")
}

pub(super) fn request(id: &str) -> WatchRequest {
    WatchRequest { execution_id: id.to_owned(), ..Default::default() }
}

fn new_event(type_tag: u32, body: event::Body) -> NewEvent {
    let payload = Event { body: Some(body), ..Default::default() }.encode_to_vec().into();
    NewEvent { type_tag, payload, ..Default::default() }
}

pub(super) fn output(data: &[u8]) -> NewEvent {
    new_event(
        21,
        event::Body::Output(Output { stream: 1, data: Bytes::copy_from_slice(data), truncated: false }),
    )
}

/// An event that holds this text as a secret, twice.
pub(super) fn spec_replaced(secret: &str) -> NewEvent {
    let value = ExecutionValue { value: secret.to_owned(), is_secret: true };
    let spec = AgentExecutionSpec {
        message: "an ordinary message".into(),
        runtime_env: [("KEY".to_owned(), value)].into(),
        callback_token: Bytes::copy_from_slice(secret.as_bytes()),
        ..Default::default()
    };
    let execution = AgentExecution { spec: Some(spec), ..Default::default() };
    new_event(20, event::Body::SpecReplaced(SpecReplaced { execution: Some(execution) }))
}

pub(super) fn custom(kind: &str) -> NewEvent {
    let body = event::Body::Custom(CustomEvent { r#type: kind.to_owned(), ..Default::default() });
    NewEvent { custom_type: Some(kind.into()), ..new_event(30, body) }
}

pub(super) fn terminal(phase: Phase, error: &str) -> NewEvent {
    let body = PhaseChanged { phase: phase as i32, error: error.to_owned(), ..Default::default() };
    let error = (!error.is_empty()).then(|| error.to_owned());
    let change = HeadChange { phase: Some(phase), error, ..Default::default() };
    NewEvent { head_change: Some(Box::new(change)), ..new_event(11, event::Body::PhaseChanged(body)) }
}

/// What a client sees of a watch.
pub(super) struct Client(pub(super) WatchStream);

impl Client {
    /// The next frame, an error, or the end.
    pub(super) async fn next(&mut self) -> Option<Result<Frame, WatchError>> {
        let next = tokio::time::timeout(DEADLINE, self.0.next()).await.expect("a frame is due");
        next.map(|frame| {
            frame.map(|bytes| {
                let response = WatchResponse::decode(bytes).expect("a frame is a response");
                response.frame.expect("a frame says something")
            })
        })
    }

    pub(super) async fn frame(&mut self) -> Frame {
        self.next().await.expect("the stream goes on").expect("it is no error")
    }

    /// The frame that ends the stream.
    pub(super) async fn error(&mut self) -> WatchError {
        let error = self.next().await.expect("the stream goes on").expect_err("it is an error");
        assert!(self.next().await.is_none(), "nothing follows an error");
        error
    }

    /// All frames to the end of the stream.
    pub(super) async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame.expect("it is no error"));
        }
        frames
    }

    /// Frames up to and with the first one that is said to be the last.
    pub(super) async fn until(&mut self, last: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        let mut frames = vec![self.frame().await];
        while !frames.last().is_some_and(&last) {
            frames.push(self.frame().await);
        }
        frames
    }

    /// Frames up to the next `CaughtUp`.
    pub(super) async fn until_caught_up(&mut self) -> Vec<Frame> {
        self.until(|frame| matches!(frame, Frame::CaughtUp(_))).await
    }
}

/// One word a frame: what it is and its numbers; events as `first..=last`.
pub(super) fn words(frames: &[Frame]) -> Vec<String> {
    let word = |frame: &Frame| match frame {
        Frame::Hello(hello) => format!("hello {}..={}", hello.floor_seq, hello.tail_seq),
        Frame::Events(batch) => {
            let seqs = batch.events.iter().map(|event| event.seq.to_string());
            format!("events {}", seqs.collect::<Vec<_>>().join(","))
        }
        Frame::CaughtUp(caught_up) => format!("caught up {}", caught_up.seq),
        Frame::FellBehind(behind) => format!("fell behind {} of {}", behind.seq, behind.tail_seq),
        Frame::Heartbeat(beat) => format!("heartbeat {} of {}", beat.seq, beat.tail_seq),
        Frame::Gap(gap) => format!("gap {}..={}", gap.from_seq, gap.to_seq),
        Frame::End(end) => format!("end {} {}", end.reason().as_str_name(), end.seq),
    };
    frames.iter().map(word).collect()
}

/// The events of frames, joined.
pub(super) fn events(frames: &[Frame]) -> Vec<Event> {
    let batches = frames.iter().filter_map(|frame| match frame {
        Frame::Events(batch) => Some(batch.events.clone()),
        _ => None,
    });
    batches.flatten().collect()
}

pub(super) fn seqs(frames: &[Frame]) -> Vec<Seq> {
    events(frames).iter().map(|event| event.seq).collect()
}

/// A store that reports one event as damaged if it is told to.
pub(super) type Scripted = Meddled<Damage>;

/// The seq of that event; 0 for none.
#[derive(Debug, Default)]
pub(super) struct Damage(AtomicU64);

impl Damage {
    pub(super) fn damage(&self, seq: Seq) {
        self.0.store(seq, Ordering::SeqCst);
    }
}

impl Meddler for Damage {
    fn read<'a>(
        &'a self,
        execution: &ExecutionId,
        after: Seq,
        read: BoxFuture<'a, Result<Page, ReadError>>,
    ) -> BoxFuture<'a, Result<Page, ReadError>> {
        let execution = Some(execution.clone());
        Box::pin(async move {
            let mut page = read.await?;
            let damaged = self.0.load(Ordering::SeqCst);
            if damaged != 0 {
                page.events.retain(|event| event.seq < damaged);
            }
            if damaged == after + 1 {
                let what = "the checksum is wrong".to_owned();
                return Err(ReadError::Corrupt { execution, seq: damaged, position: 0, what });
            }
            Ok(page)
        })
    }
}

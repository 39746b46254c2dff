//! A store in a directory that goes away with the test, and short ways to say what tests do.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;

use super::super::{OpenOptions, RedbStore};
use crate::test_util::Faults;
use crate::{
    AppendOutcome, AppendRequest, Clock, Commit, CommitHook, CreateRequest, EventStore, ExecutionId, Head,
    HeadChange, NewEvent, PageSize, Phase, Producer, StoredEvent, TrimRequest, WriteError, digest_events,
};

/// A store that can be closed and opened again.
pub(super) struct Fixture {
    pub(super) dir: TempDir,
    pub(super) store: RedbStore,
    pub(super) hook: Arc<Recorder>,
    pub(super) clock: Arc<TestClock>,
}

/// What happened to a store since something was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    Nothing,
    Reopened,
    Sealed,
    SealedAndReopened,
}

impl Since {
    pub(super) const ALL: [Self; 4] = [Self::Nothing, Self::Reopened, Self::Sealed, Self::SealedAndReopened];
}

/// Remembers what the hook was told.
#[derive(Debug, Default)]
pub(super) struct Recorder(pub(super) Mutex<Vec<Arc<Commit>>>);

impl CommitHook for Recorder {
    fn committed(&self, commit: &Arc<Commit>) {
        self.0.lock().expect("no test panics under this lock").push(commit.clone());
    }
}

/// A clock that a test sets.
#[derive(Debug)]
pub(super) struct TestClock(pub(super) AtomicU64);

impl Clock for TestClock {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::with(|options| options)
    }

    /// A store that seals early.
    pub(super) fn sealing(start_bytes: usize, generation_bytes: usize) -> Self {
        Self::with(|options| options.seal_at(start_bytes, generation_bytes))
    }

    /// A store on a disk whose faults the test scripts.
    pub(super) fn on_disk(faults: &Faults) -> Self {
        Self::with(|options| options.on_disk(faults))
    }

    pub(super) fn with(change: impl FnOnce(OpenOptions) -> OpenOptions) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (hook, clock) = (Arc::new(Recorder::default()), Arc::new(TestClock(AtomicU64::new(1_000))));
        let options = change(options(dir.path(), &hook, &clock));
        let store = RedbStore::open(options).expect("a new directory takes a store");
        Self { dir, store, hook, clock }
    }

    /// Lets something happen. To be called with each of [`Since::ALL`], in that order.
    pub(super) async fn after(self, since: Since) -> Self {
        match since {
            Since::Nothing => self,
            Since::Reopened | Since::SealedAndReopened => self.reopen().await,
            Since::Sealed => {
                assert!(self.store.seal_now(), "nothing is in the way of a sealing");
                self
            }
        }
    }

    /// Closes the store and opens it again.
    pub(super) async fn reopen(self) -> Self {
        let Self { dir, store, hook, clock } = self;
        store.close().await;
        let options = options(dir.path(), &hook, &clock);
        let store = RedbStore::open(options).expect("the directory holds a store");
        Self { dir, store, hook, clock }
    }

    pub(super) async fn create(&self, id: &str) -> Arc<Head> {
        self.create_labelled(id, &[]).await
    }

    pub(super) async fn create_labelled(&self, id: &str, labels: &[(&str, &str)]) -> Arc<Head> {
        self.store.create(creation(id, labels)).await.expect("the id is free").head
    }

    pub(super) async fn append(&self, id: &str, payloads: &[&str]) -> AppendOutcome {
        self.try_append(request(id, payloads)).await.expect("nothing is in its way")
    }

    pub(super) async fn try_append(&self, request: AppendRequest) -> Result<AppendOutcome, WriteError> {
        self.store.append(request).await
    }

    pub(super) async fn trim(&self, id: &str, floor_seq: u64) -> u64 {
        let request = TrimRequest { execution: id_of(id), floor_seq, base: None };
        self.store.trim(request).await.expect("the floor can be")
    }

    /// Everything of an execution, read in pages of this size.
    pub(super) async fn all(&self, id: &str, events_max: usize) -> Vec<StoredEvent> {
        let head = self.store.head(&id_of(id)).await.expect("it is there");
        let page = PageSize { events_max, bytes_max: 1 << 20 };
        let mut events: Vec<StoredEvent> = Vec::new();
        let mut after = head.floor_seq - 1;
        while after < head.tail_seq {
            let page = self.store.read(&id_of(id), after, page).await.expect("the cursor is right");
            assert_eq!(page.events.first().expect("more is there").seq, after + 1, "no hole");
            after = page.events.last().expect("more is there").seq;
            events.extend(page.events);
        }
        assert!(events.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq), "contiguous");
        events
    }

    pub(super) async fn payloads(&self, id: &str) -> Vec<String> {
        self.all(id, 7).await.iter().map(text).collect()
    }

    /// Everything of all executions: id, seq, position.
    pub(super) async fn everything(&self, events_max: usize) -> Vec<(String, u64, u64)> {
        let size = PageSize { events_max, bytes_max: 1 << 20 };
        let mut found = Vec::new();
        let mut after = 0;
        loop {
            let page = self.store.read_all(after, size).await.expect("the cursor is right");
            let named = page.events.iter();
            found.extend(named.map(|(of, event)| (of.id.to_string(), event.seq, event.position)));
            assert!(page.through > after || page.through == page.tail_position, "a page goes on");
            after = page.through;
            if after >= page.tail_position {
                return found;
            }
        }
    }
}

fn options(path: &Path, hook: &Arc<Recorder>, clock: &Arc<TestClock>) -> OpenOptions {
    let mut options = OpenOptions::new(path);
    (options.hook, options.clock) = (hook.clone(), clock.clone());
    options
}

pub(super) fn text(event: &StoredEvent) -> String {
    String::from_utf8(event.payload.to_vec()).expect("tests write text")
}

pub(super) fn id_of(id: &str) -> ExecutionId {
    ExecutionId::parse(id).expect("tests use allowed ids")
}

pub(super) fn event(payload: impl Into<Bytes>) -> NewEvent {
    NewEvent { type_tag: 21, payload: payload.into(), ..NewEvent::default() }
}

pub(super) fn phase_event(phase: Phase) -> NewEvent {
    let change = HeadChange { phase: Some(phase), ..HeadChange::default() };
    NewEvent { type_tag: 11, head_change: Some(Box::new(change)), ..NewEvent::default() }
}

pub(super) fn creation(id: &str, labels: &[(&str, &str)]) -> CreateRequest {
    let labels: BTreeMap<String, String> =
        labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let events = vec![event("created")];
    CreateRequest { execution: id_of(id), digest: digest_events(&events), labels, events }
}

pub(super) fn request(id: &str, payloads: &[&str]) -> AppendRequest {
    AppendRequest {
        execution: id_of(id),
        events: payloads.iter().map(|payload| event((*payload).to_owned())).collect(),
        expected_last_seq: None,
        producer: None,
        stream: None,
    }
}

pub(super) fn produced(id: &str, producer: (&str, u64, u64), payloads: &[&str]) -> AppendRequest {
    let mut request = request(id, payloads);
    let (name, epoch, seq) = producer;
    let digest = digest_events(&request.events);
    request.producer = Some((Producer { id: Arc::from(name), epoch, seq }, digest));
    request
}

/// Waits until something is so, at most ten seconds.
pub(super) fn wait_until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(2));
    }
}

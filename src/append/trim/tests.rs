//! Trims through a real store: what they keep, what they refuse, and several at once.

use std::path::Path;
use std::sync::Arc;

use tapeline_storage::{EventStore, OpenOptions, RedbStore};

use super::*;
use crate::execution::rules::ExecutionRules;
use crate::proto::stigmer::agentexecution::AgentExecutionSpec;
use crate::proto::v1::event::Body;
use crate::proto::v1::{
    AppendRequest, CreateExecutionRequest, Event, MessageAdded, MessageTextAppended, Output, PhaseChanged,
};

/// Messages in the log, besides their texts and the creation; more than a page holds.
const MESSAGES: u32 = 150;

struct Log {
    store: Arc<RedbStore>,
    appender: Appender,
}

impl Log {
    async fn open(directory: &Path) -> Self {
        let mut options = OpenOptions::new(directory.join("data"));
        options.rules = Arc::new(ExecutionRules);
        let opened = tokio::task::spawn_blocking(|| RedbStore::open(options)).await.expect("no panic");
        let store = Arc::new(opened.expect("the store opens"));
        Self { appender: Appender::new(store.clone()), store }
    }

    /// An execution whose log is longer than a page and has all that a fold goes through or leaves out.
    async fn create(&self, id: &str) -> Seq {
        let spec = AgentExecutionSpec { callback_token: "t0k".into(), ..Default::default() };
        let spec = Some(spec);
        let request = CreateExecutionRequest { execution_id: id.into(), spec, ..Default::default() };
        self.appender.create(request).await.expect("it is created");
        let bodies = (0..MESSAGES).flat_map(|index| {
            [
                Body::MessageAdded(MessageAdded { index, message: Some(Default::default()) }),
                Body::MessageTextAppended(MessageTextAppended { index, text: format!("text {index}") }),
                Body::Output(Output { stream: 1, data: "out".into(), truncated: false }),
            ]
        });
        let ended = Body::PhaseChanged(PhaseChanged { phase: 3, ..Default::default() });
        self.append(id, bodies.chain([ended]).collect()).await
    }

    async fn append(&self, id: &str, bodies: Vec<Body>) -> Seq {
        let events = bodies.into_iter().map(|body| Event { body: Some(body), ..Default::default() });
        let request =
            AppendRequest { execution_id: id.into(), events: events.collect(), ..Default::default() };
        self.appender.append(request).await.expect("it is appended").tail_seq
    }

    /// What the events below a floor add up to, read as a reader would.
    async fn folded_below(&self, id: &str, floor_seq: Seq) -> Folded {
        let mut folded = Folded::default();
        while folded.through_seq() + 1 < floor_seq {
            let size = PageSize { events_max: 1, bytes_max: 1 };
            let page = self.store.read(&name(id), folded.through_seq(), size).await.expect("it is readable");
            folded.add(&page.events[0]).expect("it is an event");
        }
        folded
    }

    async fn base(&self, id: &str) -> Option<Folded> {
        let base = self.store.base(&name(id)).await.expect("it is readable")?;
        Some(Folded::from_base(base).expect("it is a base"))
    }
}

fn name(id: &str) -> ExecutionId {
    ExecutionId::parse(id).expect("it is an id")
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory can be made")
}

fn refused_field(error: AppendError) -> String {
    match error {
        AppendError::Store(WriteError::Rejected(reject)) => reject.field,
        other => panic!("another error: {other:?}"),
    }
}

#[tokio::test]
async fn a_trim_keeps_what_the_removed_events_add_up_to_also_after_a_restart() {
    let directory = directory();
    let log = Log::open(directory.path()).await;
    log.create("a").await;
    let expected = log.folded_below("a", 400).await;
    assert_eq!(log.appender.trim("a", 400).await, Ok(400));
    assert_eq!(log.base("a").await.as_ref(), Some(&expected));
    assert_eq!(expected.execution().spec.as_ref().map(|spec| &spec.callback_token[..]), Some(&b"t0k"[..]));
    log.store.close().await;
    drop(log);
    let again = Log::open(directory.path()).await;
    assert_eq!(again.base("a").await, Some(expected));
}

#[tokio::test]
async fn trims_one_after_the_other_leave_the_base_of_one() {
    let directory = directory();
    let log = Log::open(directory.path()).await;
    let tail_seq = log.create("a").await;
    let expected = log.folded_below("a", tail_seq + 1).await;
    for floor_seq in [1, 2, 3, 200, 100, 200] {
        let in_force = log.appender.trim("a", floor_seq).await.expect("it is trimmed");
        assert!(in_force >= floor_seq);
        assert_eq!(log.base("a").await.map_or(1, |base| base.through_seq() + 1), in_force);
    }
    assert!(log.store.seal_now());
    assert_eq!(log.appender.trim("a", tail_seq + 1).await, Ok(tail_seq + 1));
    assert_eq!(log.base("a").await, Some(expected), "the whole log is in it");
}

#[tokio::test]
async fn trims_at_once_leave_a_base_that_reaches_the_highest_floor() {
    let directory = directory();
    let log = Log::open(directory.path()).await;
    log.create("a").await;
    let expected = log.folded_below("a", 420).await;
    let trims = [50, 420, 300, 7].map(|floor_seq| log.appender.trim("a", floor_seq));
    for in_force in futures_util::future::join_all(trims).await {
        in_force.expect("it is trimmed");
    }
    assert_eq!(log.base("a").await, Some(expected));
}

#[tokio::test]
async fn a_trim_that_finds_the_events_gone_goes_on_from_the_base_that_is_there() {
    let directory = directory();
    let log = Log::open(directory.path()).await;
    log.create("a").await;
    let expected = log.folded_below("a", 300).await;
    // Another appender does not wait for this one, as a trim whose caller went away is not waited for.
    let other = Appender::new(log.store.clone());
    let trims = [log.appender.trim("a", 300), other.trim("a", 299), log.appender.trim("a", 280)];
    for in_force in futures_util::future::join_all(trims).await {
        in_force.expect("it is trimmed");
    }
    assert_eq!(log.base("a").await, Some(expected));
}

#[tokio::test]
async fn a_floor_that_is_not_in_the_log_is_refused_and_nothing_is_removed() {
    let directory = directory();
    let log = Log::open(directory.path()).await;
    let tail_seq = log.create("a").await;
    for floor_seq in [0, tail_seq + 2, Seq::MAX] {
        let refused = log.appender.trim("a", floor_seq).await.expect_err("it is refused");
        assert_eq!(refused_field(refused), "floor_seq");
    }
    assert_eq!(log.base("a").await, None);
    let head = log.store.head(&name("a")).await.expect("it is there");
    assert_eq!((head.floor_seq, head.tail_seq), (1, tail_seq));
    let missing = log.appender.trim("b", 1).await.expect_err("there is no such execution");
    assert!(matches!(missing, AppendError::Store(WriteError::NotFound { .. })), "{missing:?}");
}

#[tokio::test]
async fn a_state_above_the_limit_of_a_base_is_refused_and_nothing_is_removed() {
    let directory = directory();
    let log = Log::open(directory.path()).await;
    let request = CreateExecutionRequest { execution_id: "a".into(), ..Default::default() };
    log.appender.create(request).await.expect("it is created");
    let text = "x".repeat(1_000_000);
    let mut tail_seq = log.append("a", vec![message_with("")]).await;
    for _ in 0..17 {
        let grown = MessageTextAppended { index: 0, text: text.clone() };
        tail_seq = log.append("a", vec![Body::MessageTextAppended(grown)]).await;
    }
    let refused = log.appender.trim("a", tail_seq + 1).await.expect_err("it is too large");
    assert!(is_too_large(&refused), "{refused:?}");
    assert_eq!(log.store.head(&name("a")).await.expect("it is there").floor_seq, 1);
    assert_eq!(log.appender.trim("a", 10).await, Ok(10), "a lower floor has a smaller state");
}

fn message_with(content: &str) -> Body {
    let message =
        crate::proto::stigmer::agentexecution::AgentMessage { content: content.into(), ..Default::default() };
    Body::MessageAdded(MessageAdded { index: 0, message: Some(message) })
}

#[test]
fn a_state_that_grows_without_end_is_refused_on_the_way() {
    let excess = Excess { limit: 1, actual: 2 };
    let refused = unfoldable(&name("a"), FoldError::TooLarge(excess));
    assert!(is_too_large(&refused), "{refused:?}");
}

fn is_too_large(refused: &AppendError) -> bool {
    use crate::execution::invalid::Invalid;
    matches!(refused, AppendError::Invalid(Invalid::Field { field, excess: Some(_), .. }) if field == "floor_seq")
}

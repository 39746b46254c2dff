//! The seam between Tapeline and what keeps its logs: [`EventStore`]. No type of an engine appears
//! here, so that another engine, a distributed one too, can stand behind it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::limits::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX};
use crate::{
    AppendPlace, BatchSpan, ExecutionId, ExecutionRef, Head, NewEvent, Phase, Position, Producer, ReadError,
    Seq, StoreId, StoredEvent, WriteError,
};

/// A store of executions and their events.
///
/// A write that was answered with success is durable: it survives a crash and a power cut. A read
/// never returns what is not durable. Everything a caller may wait for is a future; none of them
/// blocks the thread that polls it.
pub trait EventStore: Send + Sync + 'static {
    /// The name of this store.
    fn store_id(&self) -> StoreId;

    /// Creates an execution with its first events.
    ///
    /// The same id with the same digest again returns the existing head. Fails with `Exists`,
    /// `Rejected`, `TooLarge` or any of the errors every write can meet.
    fn create(&self, request: CreateRequest) -> BoxFuture<'_, Result<CreateOutcome, WriteError>>;

    /// Puts an append into the writer's queue. Appends that were submitted one after the other are
    /// committed in that order. The ticket is the outcome.
    fn submit(&self, request: AppendRequest) -> BoxFuture<'_, Result<AppendTicket, WriteError>>;

    /// Appends and waits for the outcome.
    fn append(&self, request: AppendRequest) -> BoxFuture<'_, Result<AppendOutcome, WriteError>> {
        Box::pin(async move { self.submit(request).await?.await })
    }

    /// Removes all events below `request.floor_seq`. A floor at or below the present one changes
    /// nothing. Returns the floor in force.
    fn trim(&self, request: TrimRequest) -> BoxFuture<'_, Result<Seq, WriteError>>;

    /// Deletes an execution with all its events. Its id is never used again.
    fn delete(&self, execution: &ExecutionId) -> BoxFuture<'_, Result<(), WriteError>>;

    /// The head of an execution.
    fn head(&self, execution: &ExecutionId) -> BoxFuture<'_, Result<Arc<Head>, ReadError>>;

    /// One page of events after a cursor. A cursor at the tail gets an empty page; one below
    /// `floor_seq - 1` gets `Trimmed`, one above the tail `Ahead`.
    fn read(
        &self,
        execution: &ExecutionId,
        after: Seq,
        page: PageSize,
    ) -> BoxFuture<'_, Result<Page, ReadError>>;

    /// One page of the events of all executions after a position. Events that were trimmed or deleted
    /// are left out; a cursor among them is valid. A cursor above the tail gets `Ahead`.
    fn read_all(&self, after: Position, page: PageSize) -> BoxFuture<'_, Result<AllPage, ReadError>>;

    /// The cursor from which a reader gets the events with `record_time_ns >= since_ns`: the seq
    /// before the first of them, the tail if there is none, never below `floor_seq - 1`.
    fn cursor_at_time(&self, execution: &ExecutionId, since_ns: u64)
    -> BoxFuture<'_, Result<Seq, ReadError>>;

    /// One page of heads, newest execution first.
    fn list(&self, query: ListQuery) -> BoxFuture<'_, Result<ListPage, ReadError>>;

    /// The base that the last trim of this execution left, if there was one; see [`TrimRequest::base`].
    fn base(&self, execution: &ExecutionId) -> BoxFuture<'_, Result<Option<Bytes>, ReadError>>;

    /// The last position that is committed; 0 in an empty store.
    fn tail_position(&self) -> Position;

    /// The lowest position that is kept; `tail_position() + 1` if there is none.
    fn floor_position(&self) -> BoxFuture<'_, Result<Position, ReadError>>;

    /// Figures for people and monitoring; cheap enough to ask for every second.
    fn stats(&self) -> StoreStats;

    /// Resolves when the store has failed and the process must end; says why. Never otherwise.
    fn failed(&self) -> BoxFuture<'static, String>;

    /// Refuses new writes, finishes those in the queue, closes the files. Reads that need
    /// the files fail afterwards.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// A new execution.
#[derive(Clone, Debug)]
pub struct CreateRequest {
    /// Its id.
    pub execution: ExecutionId,
    /// Digest of the request, so that a retry is recognised. See [`digest_events`].
    pub digest: u128,
    /// Its labels: at most 32, key 1..=63 bytes, value at most 256.
    pub labels: BTreeMap<String, String>,
    /// Its first events, at least one.
    pub events: Vec<NewEvent>,
}

/// What a creation did.
#[derive(Clone, Debug)]
pub struct CreateOutcome {
    /// The head, after the creation or as it is now.
    pub head: Arc<Head>,
    /// Whether the execution was there already; then nothing was written.
    pub existed: bool,
}

/// One atomic append.
#[derive(Clone, Debug)]
pub struct AppendRequest {
    /// Where to.
    pub execution: ExecutionId,
    /// What, at least one event.
    pub events: Vec<NewEvent>,
    /// The tail the caller expects; a different one is `SeqMismatch`.
    pub expected_last_seq: Option<Seq>,
    /// Who sends it, with a digest of its events by [`digest_events`].
    pub producer: Option<(Producer, u128)>,
    /// Its place, if it is one of a stream: once an append before it has failed it is refused with
    /// `StreamFailed`, whatever the order in which anybody looks.
    pub stream: Option<AppendPlace>,
}

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendOutcome {
    /// Where its events stand. All zero except the time if it is a duplicate whose events have been
    /// trimmed away.
    pub span: BatchSpan,
    /// The tail after it; for a duplicate the tail now.
    pub tail_seq: Seq,
    /// Whether it was there already; then nothing was written.
    pub duplicate: bool,
}

/// The outcome of a submitted append, to be awaited. Dropping it does not undo the append.
#[derive(Debug)]
pub struct AppendTicket(TicketState);

enum TicketState {
    Waiting(oneshot::Receiver<Result<AppendOutcome, WriteError>>),
    Looking(BoxFuture<'static, Result<AppendOutcome, WriteError>>),
}

impl std::fmt::Debug for TicketState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Waiting(_) => "Waiting",
            Self::Looking(_) => "Looking",
        })
    }
}

impl AppendTicket {
    /// A ticket that is answered through a channel. A channel that is dropped without an answer means
    /// that the writer is gone: the outcome is unknown.
    pub fn waiting(reply: oneshot::Receiver<Result<AppendOutcome, WriteError>>) -> Self {
        Self(TicketState::Waiting(reply))
    }

    /// A ticket whose outcome takes some more work than a reply.
    pub fn looking(outcome: BoxFuture<'static, Result<AppendOutcome, WriteError>>) -> Self {
        Self(TicketState::Looking(outcome))
    }
}

impl Future for AppendTicket {
    type Output = Result<AppendOutcome, WriteError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            TicketState::Waiting(reply) => {
                Pin::new(reply).poll(cx).map(|reply| reply.unwrap_or(Err(WriteError::OutcomeUnknown)))
            }
            TicketState::Looking(outcome) => outcome.as_mut().poll(cx),
        }
    }
}

/// Removal of the oldest events of an execution.
#[derive(Clone, Debug)]
pub struct TrimRequest {
    /// Of which execution.
    pub execution: ExecutionId,
    /// The first seq to keep, at most `tail_seq + 1`; above it is `Rejected`.
    pub floor_seq: Seq,
    /// What must outlive the removed events, opaque to the engine. `None` leaves the present base.
    pub base: Option<Bytes>,
}

/// How much one read returns at most. It always returns at least one event if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize {
    /// Events.
    pub events_max: usize,
    /// Payload bytes; the event that passes it is still returned.
    pub bytes_max: usize,
}

impl Default for PageSize {
    fn default() -> Self {
        Self { events_max: PAGE_EVENTS_MAX, bytes_max: PAGE_BYTES_MAX }
    }
}

/// Events of one execution.
#[derive(Clone, Debug)]
pub struct Page {
    /// In order, contiguous, the first one right after the cursor. Empty only at the tail.
    pub events: Vec<StoredEvent>,
    /// The head at the time of the read: its tail tells whether more is there.
    pub head: Arc<Head>,
}

/// Events of all executions.
#[derive(Clone, Debug)]
pub struct AllPage {
    /// In order of position. A hole between two of them, or before the first, was trimmed or deleted.
    pub events: Vec<(Arc<ExecutionRef>, StoredEvent)>,
    /// Everything up to this position was looked at; the cursor for the next page.
    pub through: Position,
    /// The tail at the time of the read.
    pub tail_position: Position,
}

/// Which executions to list.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Most heads in the page.
    pub heads_max: usize,
    /// Only numbers below this one; `None` from the newest.
    pub before_number: Option<u64>,
    /// Only in this phase.
    pub phase: Option<Phase>,
    /// Only of this session.
    pub session_id: Option<String>,
    /// Only with all these labels.
    pub labels: BTreeMap<String, String>,
}

impl ListQuery {
    /// Whether a head matches the filter.
    pub fn matches(&self, head: &Head) -> bool {
        let labels = &head.execution.labels;
        self.phase.is_none_or(|phase| phase == head.phase)
            && self.session_id.as_deref().is_none_or(|session| session == &*head.session_id)
            && self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

/// One page of a list. Executions that matched throughout appear exactly once over all pages.
#[derive(Clone, Debug)]
pub struct ListPage {
    /// Newest first.
    pub heads: Vec<Arc<Head>>,
    /// `before_number` of the next page; `None` at the end. A page may be short and yet have one.
    pub next_before: Option<u64>,
}

/// Figures of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Executions that exist.
    pub executions: u64,
    /// The last position.
    pub tail_position: Position,
    /// Journal bytes that are not sealed yet.
    pub unsealed_bytes: u64,
    /// Bytes of the rows in the journal; rows that were sealed before the start do not count.
    pub journal_bytes: u64,
    /// Bytes of the archive file in use.
    pub archive_bytes: u64,
    /// Requests in the writer's queue.
    pub queued_requests: u64,
    /// Commits since the start.
    pub commits: u64,
    /// Whether appends are refused because the disk is full.
    pub disk_full: bool,
}

/// The digest of an append's events: 128 bits of XXH3 over each event's type, custom type and
/// payload, with lengths. Two appends with the same digest are taken to be the same.
pub fn digest_events(events: &[NewEvent]) -> u128 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    for event in events {
        let custom = event.custom_type.as_deref().unwrap_or("");
        hasher.update(&event.type_tag.to_le_bytes());
        hasher.update(&(custom.len() as u64).to_le_bytes());
        hasher.update(custom.as_bytes());
        hasher.update(&(event.payload.len() as u64).to_le_bytes());
        hasher.update(&event.payload);
    }
    hasher.digest128()
}

//! One watcher: the state machine.
//!
//! ```text
//! Awaited ──created──▶ Replaying ──at the tail──▶ Live ──overflow──▶ FellBehind
//!                          │                       │  ◀──at the tail──   │
//!                          └───────────▶ Ended ◀───┴─────────────────────┘
//! ```
//!
//! Live is entered only from a page that was read after the subscription was made and that reached the
//! tail: what is not in the page is then in the subscription. The cursor is the last event that was put
//! into the outbox or was not wanted; a frame that names it is put behind those events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tapeline_storage::{ExecutionId, ExecutionRef, Phase, Seq};
use tokio::task::coop::consume_budget;

use super::Shared;
use super::clock::{Silence, now_ns};
use super::cursor::{OnTrimmed, Start};
use super::error::WatchError;
use super::outbox::{Outbox, Outgoing};
use super::registry::{Entry, WatcherState};
use crate::broker::{Subscription, Topic};
use crate::execution::filter::TypeFilter;
use crate::execution::frame::{self, EventFrame};
use crate::proto::v1::end::Reason;

/// One watch, from its opening to its end.
pub(crate) struct Watcher {
    pub(super) shared: Arc<Shared>,
    pub(super) entry: Entry,
    pub(super) state: State,
    pub(super) log: Log,
    pub(super) filter: TypeFilter,
    /// The last event that was put into the outbox or was not wanted.
    pub(super) cursor: u64,
    /// The last event that is known to be committed; never below the cursor.
    pub(super) tail: u64,
    /// When the last known event was recorded; 0 if none is known.
    pub(super) recorded_ns: u64,
    /// Held near the tail. Far from it, what would wait in it is read from the store anyway.
    pub(super) subscription: Option<Subscription>,
    /// Frames that are to be taken, of one page or one slice at most, and what is said behind them.
    outbox: Outbox,
    pub(super) silence: Silence,
}

/// How it gets its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The execution does not exist yet.
    Awaited,
    /// From the store.
    Replaying,
    /// From the store, because it was too slow to be live.
    FellBehind,
    /// From the subscription.
    Live,
    /// No more.
    Ended,
}

/// What is watched.
pub(super) enum Log {
    /// One execution, by seq.
    One(One),
    /// All executions, by position.
    All(All),
}

/// A watch of one execution.
pub(super) struct One {
    pub(super) id: ExecutionId,
    pub(super) start: Start,
    pub(super) log_id: Option<String>,
    pub(super) on_trimmed: OnTrimmed,
    pub(super) stop_at_tail: bool,
    /// Where to stop, once the tail was seen.
    pub(super) stop_at: Option<Seq>,
    /// Where the execution stands at the cursor or later; `None` while it does not exist.
    pub(super) phase: Option<Phase>,
    /// Its error text.
    pub(super) error: Arc<str>,
}

/// A watch of all executions.
pub(super) struct All {
    pub(super) labels: BTreeMap<String, String>,
    /// The last position that was an event, wanted or not, or was announced as missing. What lies
    /// between it and the cursor is a hole that is announced when its end is known.
    pub(super) accounted: u64,
}

impl Watcher {
    /// A watch that has not begun. It subscribes at once, before anything of the log is read.
    pub(super) fn new(
        shared: Arc<Shared>,
        entry: Entry,
        log: Log,
        filter: TypeFilter,
        heartbeat: Duration,
    ) -> Box<Self> {
        let mut watcher = Box::new(Self {
            shared,
            entry,
            state: State::Replaying,
            log,
            filter,
            cursor: 0,
            tail: 0,
            recorded_ns: 0,
            subscription: None,
            outbox: Outbox::default(),
            silence: Silence::new(heartbeat),
        });
        watcher.subscribe();
        watcher
    }

    /// The next frame; `None` after the end. Everything that takes time or memory happens here.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, WatchError>> {
        loop {
            if let Some(cause) = self.shared.registry.ending().filter(|_| self.state != State::Ended) {
                return Some(Err(self.broken(cause.into())));
            }
            if let Some(outgoing) = self.outbox.take() {
                return Some(Ok(self.taken(outgoing)));
            }
            self.entry.has_reached(self.cursor);
            // A filter that wants little must not keep the thread to itself.
            consume_budget().await;
            if let Err(error) = self.step().await {
                return Some(Err(self.broken(error)));
            }
            if self.state == State::Ended && self.outbox.is_empty() {
                return None;
            }
        }
    }

    /// One step of the machine. The outbox is empty: everything up to the cursor was taken.
    async fn step(&mut self) -> Result<(), WatchError> {
        match self.state {
            State::Ended => Ok(()),
            _ if self.silence.too_long() => {
                self.beat();
                Ok(())
            }
            State::Awaited => self.await_creation().await,
            State::Replaying | State::FellBehind => self.replay().await,
            State::Live => self.follow().await,
        }
    }

    /// Says that everything up to the cursor was sent.
    pub(super) fn beat(&mut self) {
        let (seq, tail) = match &self.log {
            Log::All(all) => (all.accounted, self.shared.store.tail_position()),
            Log::One(one) => (self.cursor, self.shared.broker.tail_seq(&one.id)),
        };
        self.saw_tail(tail);
        let idle_for = Duration::from_nanos(now_ns().saturating_sub(self.recorded_ns));
        let idle_for = (self.recorded_ns != 0).then_some(idle_for);
        self.put(frame::heartbeat(seq, self.tail, idle_for));
    }

    /// Ends the watch as promised. What is in the outbox is still taken.
    pub(super) fn end(&mut self, reason: Reason) {
        let (phase, error) = match &self.log {
            Log::One(one) => (one.phase, Arc::clone(&one.error)),
            Log::All(_) => (None, Arc::from("")),
        };
        self.put(frame::end(reason, self.cursor, phase, &error));
        self.enter(State::Ended);
        self.subscription = None;
    }

    /// Ends the watch with an error, at once.
    fn broken(&mut self, error: WatchError) -> WatchError {
        self.enter(State::Ended);
        self.subscription = None;
        self.outbox = Outbox::default();
        error
    }

    /// A new subscription in place of the one before.
    pub(super) fn subscribe(&mut self) {
        self.subscription = None;
        let topic = match &self.log {
            Log::One(one) => Topic::Execution(one.id.clone()),
            Log::All(_) => Topic::All,
        };
        self.subscription = Some(self.shared.broker.subscribe(topic));
    }

    pub(super) fn enter(&mut self, state: State) {
        self.state = state;
        match state {
            State::Awaited | State::Replaying => self.entry.is_now(WatcherState::Replaying),
            State::FellBehind => self.entry.is_now(WatcherState::FellBehind),
            State::Live => self.entry.is_now(WatcherState::Live),
            State::Ended => {}
        }
    }

    /// Everything up to `cursor` is in the outbox or not wanted.
    pub(super) fn moved_to(&mut self, cursor: u64, tail: u64, recorded_ns: u64) {
        self.cursor = cursor;
        self.saw_tail(tail.max(cursor));
        self.recorded_ns = self.recorded_ns.max(recorded_ns);
    }

    pub(super) fn saw_tail(&mut self, tail: u64) {
        self.tail = self.tail.max(tail);
        self.entry.has_seen_tail(self.tail);
    }

    pub(super) fn put(&mut self, bytes: Bytes) {
        self.outbox.put(bytes);
    }

    pub(super) fn put_events(&mut self, frames: impl IntoIterator<Item = EventFrame>) {
        self.outbox.put_events(frames);
    }

    fn taken(&mut self, outgoing: Outgoing) -> Bytes {
        self.silence.broken();
        if outgoing.last != 0 {
            self.entry.was_given(outgoing.last);
        }
        outgoing.bytes
    }

    pub(super) fn wants_all(&self) -> bool {
        self.filter.wants_all() && !matches!(&self.log, Log::All(all) if !all.labels.is_empty())
    }

    pub(super) fn wants(&self, execution: &ExecutionRef, type_tag: u32, custom_type: Option<&str>) -> bool {
        let labelled = match &self.log {
            Log::One(_) => true,
            Log::All(all) => all.labels.iter().all(|(key, value)| execution.labels.get(key) == Some(value)),
        };
        labelled && self.filter.wants(type_tag, custom_type)
    }
}

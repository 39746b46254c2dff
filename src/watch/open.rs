//! The opening of a watch: which log, where in it, and whether that can be right. A cursor that cannot
//! be right is an error before anything is sent, never a wait.

use std::sync::Arc;

use tapeline_storage::{Head, Seq};

use super::Shared;
use super::cursor::{OnTrimmed, Start, WatchAllPlan, WatchPlan};
use super::error::WatchError;
use super::live::Heard;
use super::registry::Entry;
use super::watcher::{All, Log, One, State, Watcher};
use crate::broker::{Delivery, Slice};
use crate::execution::frame;
use crate::proto::v1::Hello;
use crate::proto::v1::end::Reason;

/// Opens a watch of one execution.
pub(super) async fn one(
    shared: Arc<Shared>,
    plan: WatchPlan,
    entry: Entry,
) -> Result<Box<Watcher>, WatchError> {
    check_store(&shared, plan.store_id.as_deref())?;
    let one = One {
        id: plan.execution.clone(),
        start: plan.start,
        log_id: plan.log_id,
        on_trimmed: plan.on_trimmed,
        stop_at_tail: plan.stop_at_tail,
        stop_at: None,
        phase: None,
        error: Arc::from(""),
    };
    let mut watcher = Watcher::new(shared, entry, Log::One(one), plan.filter, plan.heartbeat);
    match watcher.look().await {
        Err(WatchError::NotFound { deleted, .. }) if plan.wait_for_create => {
            watcher.wait_for_create();
            if deleted {
                watcher.end(Reason::Deleted);
            }
        }
        opened => opened?,
    }
    Ok(watcher)
}

/// Opens a watch of all executions.
pub(super) async fn all(
    shared: Arc<Shared>,
    plan: WatchAllPlan,
    entry: Entry,
) -> Result<Box<Watcher>, WatchError> {
    check_store(&shared, plan.store_id.as_deref())?;
    let log = Log::All(All { labels: plan.labels, accounted: 0 });
    let mut watcher = Watcher::new(shared, entry, log, plan.filter, plan.heartbeat);
    let store = &watcher.shared.store;
    let floor = store.floor_position().await.map_err(|error| WatchError::reading(error, 0))?;
    let tail = store.tail_position();
    let cursor = plan.after_position.unwrap_or(tail);
    if cursor > tail {
        return Err(WatchError::Ahead { floor_seq: floor, tail_seq: tail });
    }
    let store_id = store.store_id().to_string();
    watcher.put(frame::hello(Hello { store_id, floor_seq: floor, tail_seq: tail, ..Default::default() }));
    watcher.moved_to(cursor, tail, 0);
    if let Log::All(all) = &mut watcher.log {
        all.accounted = cursor;
    }
    Ok(watcher)
}

fn check_store(shared: &Shared, expected: Option<&str>) -> Result<(), WatchError> {
    let actual = shared.store.store_id().to_string();
    match expected {
        Some(expected) if expected != actual => {
            Err(WatchError::StoreReplaced { expected: expected.to_owned(), actual })
        }
        _ => Ok(()),
    }
}

impl Watcher {
    /// The execution exists: says where its log stands, and begins at the start that was asked for.
    async fn open(&mut self, head: &Head) -> Result<(), WatchError> {
        let cursor = self.start_in(head).await?;
        let Log::One(one) = &mut self.log else { return Ok(()) };
        one.phase = Some(head.phase);
        one.error = Arc::clone(&head.error);
        one.stop_at = one.stop_at_tail.then_some(head.tail_seq);
        self.put(frame::hello(Hello {
            store_id: self.shared.store.store_id().to_string(),
            log_id: head.execution.log_id.to_string(),
            floor_seq: head.floor_seq,
            tail_seq: head.tail_seq,
            phase: head.phase as i32,
        }));
        self.moved_to(cursor, head.tail_seq, head.update_time_ns);
        self.enter(State::Replaying);
        Ok(())
    }

    /// The cursor to start at, if it can be right.
    async fn start_in(&self, head: &Head) -> Result<Seq, WatchError> {
        let Log::One(one) = &self.log else { return Ok(0) };
        let actual = head.execution.log_id.to_string();
        if let Some(expected) = one.log_id.clone().filter(|expected| *expected != actual) {
            return Err(WatchError::LogReplaced { expected, actual });
        }
        let cursor = match (one.start, one.start.cursor(head)) {
            (Start::Since(since_ns), _) => {
                let found = self.shared.store.cursor_at_time(&one.id, since_ns).await;
                return found.map_err(|error| WatchError::reading(error, 0));
            }
            (_, cursor) => cursor.unwrap_or(0),
        };
        let (floor_seq, tail_seq) = (head.floor_seq, head.tail_seq);
        if cursor > tail_seq {
            return Err(WatchError::Ahead { floor_seq, tail_seq });
        }
        if cursor + 1 < floor_seq && one.on_trimmed == OnTrimmed::Error {
            return Err(WatchError::Trimmed { floor_seq, tail_seq });
        }
        Ok(cursor)
    }

    /// The execution does not exist: says so, and waits for it.
    fn wait_for_create(&mut self) {
        if let Log::One(one) = &mut self.log
            && matches!(one.start, Start::Live | Start::Last(_))
        {
            // All of a log that does not exist yet is committed from now on.
            one.start = Start::Floor;
        }
        let store_id = self.shared.store.store_id().to_string();
        self.put(frame::hello(Hello { store_id, ..Default::default() }));
        self.enter(State::Awaited);
    }

    /// Waits until the execution exists.
    pub(super) async fn await_creation(&mut self) -> Result<(), WatchError> {
        match self.listen().await {
            Heard::Delivery(Delivery::Slice(Slice::Deleted)) => {
                // It was created and deleted before this watcher could look.
                self.end(Reason::Deleted);
                Ok(())
            }
            Heard::Delivery(Delivery::Slice(_)) => self.look_for_creation().await,
            Heard::Delivery(Delivery::Lagged) => {
                self.subscribe();
                self.look_for_creation().await
            }
            Heard::Silence => {
                self.beat();
                Ok(())
            }
            Heard::Ending => Ok(()),
        }
    }

    /// Begins if the execution exists by now, ends if it was there and is gone: its id is never used again.
    async fn look_for_creation(&mut self) -> Result<(), WatchError> {
        match self.look().await {
            Err(WatchError::NotFound { deleted, .. }) => {
                if deleted {
                    self.end(Reason::Deleted);
                }
                Ok(())
            }
            opened => opened,
        }
    }

    /// Begins, if the execution exists. Nothing is said if it does not.
    async fn look(&mut self) -> Result<(), WatchError> {
        let Log::One(one) = &self.log else { return Ok(()) };
        let head = self.shared.store.head(&one.id).await;
        let head = head.map_err(|error| WatchError::reading(error, 0))?;
        self.open(&head).await
    }
}

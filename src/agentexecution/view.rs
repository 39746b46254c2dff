//! One execution as all its subscribers see it. A task follows the log and tells that there is a change;
//! the first subscriber that can take another state has it encoded, and all who ask for it share that. What
//! nobody can take is not encoded. The task subscribes at the broker before any subscriber reads the log, so
//! no change can be missed, and the last one never is. It ends with its last subscriber.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use prost::Message;
use tapeline_storage::{ExecutionId, ReadError, Seq};
use tokio::sync::watch;
use tokio::time::Instant;

use super::state::{State, States};
use super::{CallError, fit, resource};
use crate::broker::{Broker, Delivery, Subscription, Topic};
use crate::limits::{ENCODED_INLINE_BYTES_MAX, ENCODING_PAUSE_FACTOR};
use crate::shared::{Place, SharedByExecution};
use crate::watch::{WatchError, Watches};

/// A state in its wire form.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) bytes: Bytes,
    /// The seq of the last event that is in it.
    pub(super) seq: Seq,
    /// The seq of the last event that changed something in it.
    pub(super) changed_seq: Seq,
    /// Whether it is the last one.
    pub(super) ended: bool,
}

/// What a subscriber finds.
pub(super) enum Look {
    /// A state that it was not given yet.
    New(Arc<Encoded>),
    /// Nothing changed in the state up to this seq.
    Same(Seq),
}

/// All executions that have subscribers. Cheap to clone.
#[derive(Clone)]
pub(super) struct Views(Arc<Shared>);

struct Shared {
    states: States,
    broker: Broker,
    watches: Watches,
    views: SharedByExecution<View>,
}

/// A look at one execution, shared by its subscribers.
pub(super) struct View {
    execution: ExecutionId,
    states: States,
    changes: Changes,
    /// The newest state that somebody took. Held while another is encoded, so that one does it for all.
    newest: tokio::sync::Mutex<Option<Taken>>,
    follower: tokio::task::JoinHandle<()>,
}

/// Changes whenever the execution may have. Some error: nothing will be told any more.
pub(super) type Changes = watch::Receiver<Option<CallError>>;

/// A state, and when another may be made.
struct Taken {
    encoded: Arc<Encoded>,
    next: Instant,
}

impl Views {
    pub(super) fn new(states: States, broker: Broker, watches: Watches) -> Self {
        Self(Arc::new(Shared { states, broker, watches, views: SharedByExecution::default() }))
    }

    /// The view of an execution; the first who asks has it made.
    pub(super) fn of(&self, execution: &ExecutionId) -> Arc<Place<View>> {
        self.0.views.of(execution, || {
            let (sender, changes) = watch::channel(None);
            // Here and not in the task: what is read of the log from now on is read behind it.
            let subscription = self.0.broker.subscribe(Topic::Execution(execution.clone()));
            View {
                execution: execution.clone(),
                states: self.0.states.clone(),
                changes,
                newest: tokio::sync::Mutex::default(),
                follower: tokio::spawn(follow(self.0.clone(), execution.clone(), subscription, sender)),
            }
        })
    }
}

impl View {
    /// The changes from now on.
    pub(super) fn changes(&self) -> Changes {
        self.changes.clone()
    }

    /// The newest state, unless nothing changed in it since the one that was given last.
    pub(super) async fn newer_than(&self, given: Option<Seq>) -> Result<Look, CallError> {
        let state = self.states.current(&self.execution).await?;
        if given.is_some_and(|given| state.changed_seq <= given) {
            return Ok(Look::Same(state.folded.through_seq()));
        }
        let mut newest = self.newest.lock().await;
        if let Some(taken) = &*newest {
            if taken.encoded.changed_seq >= state.changed_seq {
                return Ok(Look::New(taken.encoded.clone()));
            }
            // Only so much of the time goes into encoding; there may be a newer state behind the pause.
            if !state.head.phase.is_terminal() {
                tokio::time::sleep_until(taken.next).await;
            }
        }
        drop(state);
        let state = self.states.current(&self.execution).await?;
        let begun = Instant::now();
        let encoded = Arc::new(encode(state).await?);
        let next = Instant::now() + begun.elapsed() * ENCODING_PAUSE_FACTOR;
        *newest = Some(Taken { encoded: encoded.clone(), next });
        Ok(Look::New(encoded))
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// Tells of each change until nothing can be told any more.
async fn follow(
    shared: Arc<Shared>,
    execution: ExecutionId,
    mut subscription: Subscription,
    changes: watch::Sender<Option<CallError>>,
) {
    loop {
        match next(&shared.watches, &subscription).await {
            // What else waits is in the log as well.
            Ok(Delivery::Slice(_)) => while let Some(Delivery::Slice(_)) = subscription.try_next() {},
            // Nothing will come any more of this subscription.
            Ok(Delivery::Lagged) => {
                subscription = shared.broker.subscribe(Topic::Execution(execution.clone()));
            }
            Err(error) => {
                changes.send_replace(Some(error));
                return;
            }
        }
        changes.send_replace(None);
    }
}

/// The next delivery, or why there will be none.
async fn next(watches: &Watches, subscription: &Subscription) -> Result<Delivery, CallError> {
    poll_fn(|cx| match subscription.poll_next(cx) {
        Poll::Ready(delivery) => Poll::Ready(Ok(delivery)),
        // Whoever ends all watches says so first and wakes everybody then.
        Poll::Pending => match watches.ending() {
            Some(cause) => Poll::Ready(Err(WatchError::from(cause).into())),
            None => Poll::Pending,
        },
    })
    .await
}

/// A long state is encoded where nobody waits for the thread.
async fn encode(state: Arc<State>) -> Result<Encoded, CallError> {
    if state.bytes() <= ENCODED_INLINE_BYTES_MAX {
        return Ok(Encoded::of(&state));
    }
    let encoded = tokio::task::spawn_blocking(move || Encoded::of(&state)).await;
    // It is not cancelled, so it has panicked.
    encoded.map_err(|_| ReadError::Failed.into())
}

impl Encoded {
    fn of(state: &State) -> Self {
        Self {
            bytes: fit::one(resource::shown(state)).reply.encode_to_vec().into(),
            seq: state.folded.through_seq(),
            changed_seq: state.changed_seq,
            ended: state.head.phase.is_terminal(),
        }
    }
}

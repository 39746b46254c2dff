//! One execution as all its subscribers see it: a task follows the log and encodes the state once for
//! each change; subscribers look at the newest. It subscribes at the broker before it reads the log, and
//! reads the log again after whatever the broker says, so no change can be missed, and the last one never
//! is. It ends with its last subscriber.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;

use bytes::Bytes;
use prost::Message;
use tapeline_storage::{ExecutionId, Seq};
use tokio::sync::watch;

use super::state::{State, States};
use super::{CallError, fit, resource};
use crate::broker::{Broker, Delivery, Subscription, Topic};
use crate::watch::{WatchError, Watches};

/// What subscribers look at.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    /// The state is being loaded.
    Nothing,
    State(Arc<Encoded>),
    /// There will be no other state.
    Failed(CallError),
}

/// A state in its wire form.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) bytes: Bytes,
    /// The seq of the last event that is in it.
    pub(super) seq: Seq,
    /// Whether it is the last one.
    pub(super) ended: bool,
}

/// All executions that have subscribers. Cheap to clone.
#[derive(Clone)]
pub(super) struct Views(Arc<Shared>);

struct Shared {
    states: States,
    broker: Broker,
    watches: Watches,
    /// Guards the list only; no other lock is taken under it.
    views: Mutex<HashMap<ExecutionId, Weak<View>>>,
}

/// A look at one execution, shared by its subscribers.
pub(super) struct View {
    execution: ExecutionId,
    seen: watch::Receiver<Seen>,
    follower: tokio::task::JoinHandle<()>,
    views: Weak<Shared>,
}

impl Views {
    pub(super) fn new(states: States, broker: Broker, watches: Watches) -> Self {
        Self(Arc::new(Shared { states, broker, watches, views: Mutex::default() }))
    }

    /// The view of an execution; the first who asks has it made. One that failed is made anew.
    pub(super) fn of(&self, execution: &ExecutionId) -> Arc<View> {
        let mut views = self.0.views();
        if let Some(view) = views.get(execution).and_then(Weak::upgrade)
            && !matches!(&*view.seen.borrow(), Seen::Failed(_))
        {
            return view;
        }
        let (sender, seen) = watch::channel(Seen::Nothing);
        let follower = tokio::spawn(follow(self.0.clone(), execution.clone(), sender));
        let view =
            Arc::new(View { execution: execution.clone(), seen, follower, views: Arc::downgrade(&self.0) });
        views.insert(execution.clone(), Arc::downgrade(&view));
        view
    }
}

impl Shared {
    fn views(&self) -> MutexGuard<'_, HashMap<ExecutionId, Weak<View>>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    /// What is seen from now on.
    pub(super) fn seen(&self) -> watch::Receiver<Seen> {
        self.seen.clone()
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.follower.abort();
        let Some(shared) = self.views.upgrade() else { return };
        let mut views = shared.views();
        // A newer one may stand in its place.
        if views.get(&self.execution).is_some_and(|view| view.strong_count() == 0) {
            views.remove(&self.execution);
        }
    }
}

/// Shows each change until the execution ends or cannot be followed.
async fn follow(shared: Arc<Shared>, execution: ExecutionId, seen: watch::Sender<Seen>) {
    let mut subscription = shared.broker.subscribe(Topic::Execution(execution.clone()));
    let mut shown_seq = 0;
    loop {
        match shared.states.current(&execution).await {
            Ok(state) => {
                let ended = state.head.phase.is_terminal();
                if shown_seq < state.changed_seq || ended {
                    shown_seq = state.changed_seq;
                    seen.send_replace(Seen::State(Arc::new(Encoded::of(&state))));
                }
                if ended {
                    return;
                }
            }
            Err(error) => {
                seen.send_replace(Seen::Failed(error.into()));
                return;
            }
        }
        match next(&shared.watches, &subscription).await {
            Ok(Delivery::Slice(_)) => {
                // What else waits is in the log as well.
                while let Some(Delivery::Slice(_)) = subscription.try_next() {}
            }
            // Nothing will come any more of this subscription.
            Ok(Delivery::Lagged) => {
                subscription = shared.broker.subscribe(Topic::Execution(execution.clone()));
            }
            Err(error) => {
                seen.send_replace(Seen::Failed(error));
                return;
            }
        }
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

impl Encoded {
    fn of(state: &State) -> Self {
        Self {
            bytes: fit::one(resource::shown(state)).reply.encode_to_vec().into(),
            seq: state.folded.through_seq(),
            ended: state.head.phase.is_terminal(),
        }
    }
}

//! `subscribe`: the present state first, then the state after each change, to the last one. A subscriber
//! that is slower than the changes gets the newest state and misses those in between; the last one it
//! always gets. Secrets are included.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use tapeline_storage::{ReadError, Seq};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::view::{Changes, Encoded, Look, View};
use super::{CallError, Controller};
use crate::append::parse_id;
use crate::limits::{SUBSCRIBED_BYTES_MAX, SUBSCRIBED_WAIT_MAX};
use crate::proto::stigmer::agentexecution::AgentExecutionId;
use crate::shared::Place;
use crate::watch::{WatchError, Watcher};

/// The states of one execution, each an encoded `AgentExecution`. Ends after the terminal one, or with an
/// error.
pub type StateStream = BoxStream<'static, Result<Bytes, CallError>>;

/// The bytes of states that were handed to the transport, until it takes them over: whoever writes a state to
/// the client takes what stands here and keeps it until the bytes are gone.
#[derive(Clone, Debug, Default)]
pub struct Handed(Arc<Mutex<Vec<OwnedSemaphorePermit>>>);

impl Handed {
    /// Everything that was handed since this was called last; it gives room to others when it is dropped.
    pub fn take(&self) -> Vec<OwnedSemaphorePermit> {
        std::mem::take(&mut self.handed())
    }

    fn handed(&self) -> MutexGuard<'_, Vec<OwnedSemaphorePermit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One subscriber.
struct Subscriber {
    view: Arc<Place<View>>,
    changes: Changes,
    watcher: Watcher,
    /// The last change that is in a state it was given.
    given: Option<Seq>,
    /// The bytes of all subscribers.
    places: Arc<Semaphore>,
    handed: Handed,
}

impl Controller {
    /// Subscribes to an execution. The states count as not taken as long as what is handed with them is kept.
    /// Fails before the first state if there is no such execution, or there are too many watchers.
    pub async fn subscribe(
        &self,
        id: AgentExecutionId,
        peer: Option<SocketAddr>,
    ) -> Result<(StateStream, Handed), CallError> {
        let execution = parse_id("value", &id.value)?;
        let watcher = self.watches.register(&execution, peer)?;
        // Before anything is promised: an unknown id is an error of the call, not of the stream.
        self.store.head(&execution).await?;
        let view = self.views.of(&execution);
        let mut changes = view.changes();
        changes.mark_changed();
        let places = self.subscribed.clone();
        let handed = Handed::default();
        let subscriber = Subscriber { view, changes, watcher, given: None, places, handed: handed.clone() };
        let states = unfold(Some(subscriber), |subscriber| async move {
            let mut subscriber = subscriber?;
            match subscriber.next().await {
                Ok(state) => Some((Ok(state.bytes.clone()), (!state.ended).then_some(subscriber))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed();
        Ok((states, handed))
    }
}

impl Subscriber {
    /// The newest state that was not given yet.
    async fn next(&mut self) -> Result<Arc<Encoded>, CallError> {
        loop {
            // The view's task says how it ended, so this only happens if it could not even do that.
            if self.changes.changed().await.is_err() {
                return Err(ReadError::Failed.into());
            }
            let failed = self.changes.borrow_and_update().clone();
            if let Some(error) = failed {
                return Err(error);
            }
            match self.view.newer_than(self.given).await? {
                Look::Same(seq) => self.watcher.was_given(seq),
                Look::New(encoded) => {
                    self.hold(encoded.bytes.len()).await?;
                    self.given = Some(encoded.changed_seq);
                    self.watcher.was_given(encoded.seq);
                    return Ok(encoded);
                }
            }
        }
    }

    /// Waits for room for a state among those that other subscribers have not taken yet.
    async fn hold(&mut self, bytes: usize) -> Result<(), WatchError> {
        let bytes = u32::try_from(bytes.min(SUBSCRIBED_BYTES_MAX)).unwrap_or(u32::MAX);
        let room = self.places.clone().acquire_many_owned(bytes);
        // The semaphore is never closed.
        match timeout(SUBSCRIBED_WAIT_MAX, room).await {
            Ok(held) => self.handed.handed().extend(held.ok()),
            Err(_) => return Err(WatchError::TooMuchWaits { limit: SUBSCRIBED_BYTES_MAX }),
        }
        Ok(())
    }
}

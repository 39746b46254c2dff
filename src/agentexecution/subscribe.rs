//! `subscribe`: the present state first, then the state after each change, to the last one. A subscriber
//! that is slower than the changes gets the newest state and misses those in between; the last one it
//! always gets. Secrets are included.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use tapeline_storage::ReadError;
use tokio::sync::watch;

use super::view::{Encoded, Seen, View};
use super::{CallError, Controller};
use crate::append::parse_id;
use crate::proto::stigmer::agentexecution::AgentExecutionId;
use crate::watch::Watcher;

/// The states of one execution, each an encoded `AgentExecution`. Ends after the terminal one, or with an
/// error.
pub type StateStream = BoxStream<'static, Result<Bytes, CallError>>;

/// One subscriber.
struct Subscriber {
    seen: watch::Receiver<Seen>,
    /// Keeps the view going.
    _view: Arc<View>,
    watcher: Watcher,
}

impl Controller {
    /// Subscribes to an execution. Fails before the first state if there is none, or there are too many
    /// watchers.
    pub async fn subscribe(
        &self,
        id: AgentExecutionId,
        peer: Option<SocketAddr>,
    ) -> Result<StateStream, CallError> {
        let execution = parse_id("value", &id.value)?;
        let watcher = self.watches.register(&execution, peer)?;
        // Before anything is promised: an unknown id is an error of the call, not of the stream.
        self.store.head(&execution).await?;
        let view = self.views.of(&execution);
        let mut seen = view.seen();
        seen.mark_changed();
        let subscriber = Subscriber { seen, _view: view, watcher };
        Ok(unfold(Some(subscriber), |subscriber| async move {
            let mut subscriber = subscriber?;
            match subscriber.next().await {
                Ok(state) => Some((Ok(state.bytes.clone()), (!state.ended).then_some(subscriber))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed())
    }
}

impl Subscriber {
    /// The newest state that was not given yet.
    async fn next(&mut self) -> Result<Arc<Encoded>, CallError> {
        loop {
            // The view's task says how it ended, so this only happens if it could not even do that.
            if self.seen.changed().await.is_err() {
                return Err(ReadError::Failed.into());
            }
            let seen = self.seen.borrow_and_update().clone();
            match seen {
                Seen::Nothing => {}
                Seen::Failed(error) => return Err(error),
                Seen::State(encoded) => {
                    self.watcher.was_given(encoded.seq);
                    return Ok(encoded);
                }
            }
        }
    }
}

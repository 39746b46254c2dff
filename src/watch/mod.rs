//! The read path: one state machine from replay to live for each watcher.
//!
//! A watcher subscribes at the broker first, replays pages of the store up to the tail, then follows its
//! subscription; what it was given already it drops by its cursor. When the subscription overflows it
//! has fallen behind, and replays again. A watch is pulled: the next page is read, the next slice taken,
//! when the client has taken the frames before, so a slow client costs a page and a subscription of
//! bounded size, and nobody waits for it. It must never hold a read or a lock while a frame is waiting
//! to be taken.
//!
//! What is wrong with a request is said before the first frame: an error then comes in place of Hello.

mod error;
mod cursor;
mod registry;
mod clock;
mod open;
mod watcher;
mod outbox;
mod replay;
mod live;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;

use tapeline_storage::{EventStore, ExecutionId};

pub use error::{EndCause, WatchError};
pub use registry::{Watcher, WatcherInfo, WatcherState};
pub use stream::WatchStream;

use crate::broker::Broker;
use crate::limits::WATCHERS_MAX;
use crate::proto::v1::{WatchAllRequest, WatchRequest};
use cursor::{WatchAllPlan, WatchPlan};
use registry::Registry;

/// All watches of a daemon. Cheap to clone.
#[derive(Clone)]
pub struct Watches(Arc<Shared>);

/// What every watcher needs.
pub(crate) struct Shared {
    store: Arc<dyn EventStore>,
    broker: Broker,
    registry: Arc<Registry>,
}

impl Watches {
    /// Watches of `store`, which must have been opened with the hook of `broker`.
    pub fn new(store: Arc<dyn EventStore>, broker: Broker) -> Self {
        Self::limited_to(WATCHERS_MAX, store, broker)
    }

    /// As [`Watches::new`], with at most `watchers_max` watchers at once.
    pub fn limited_to(watchers_max: usize, store: Arc<dyn EventStore>, broker: Broker) -> Self {
        let registry = Arc::new(Registry::new(watchers_max));
        Self(Arc::new(Shared { store, broker, registry }))
    }

    /// Watches one execution. Fails with every error a watch can have but [`WatchError::Corrupt`] and
    /// the two causes of [`EndCause`] before anything is sent; those, and a trim, may also come later.
    pub async fn watch(
        &self,
        request: WatchRequest,
        peer: Option<SocketAddr>,
    ) -> Result<WatchStream, WatchError> {
        let plan = WatchPlan::try_from(request)?;
        let entry = Registry::register(&self.0.registry, Some(plan.execution.clone()), peer)?;
        Ok(WatchStream::new(open::one(Arc::clone(&self.0), plan, entry).await?))
    }

    /// Watches all executions, by position. Fails as [`Watches::watch`] does.
    pub async fn watch_all(
        &self,
        request: WatchAllRequest,
        peer: Option<SocketAddr>,
    ) -> Result<WatchStream, WatchError> {
        let plan = WatchAllPlan::try_from(request)?;
        let entry = Registry::register(&self.0.registry, None, peer)?;
        Ok(WatchStream::new(open::all(Arc::clone(&self.0), plan, entry).await?))
    }

    /// Takes up a watcher that follows an execution by other means than a [`WatchStream`]. Fails when
    /// there are too many, or all are being ended.
    pub fn register(&self, execution: &ExecutionId, peer: Option<SocketAddr>) -> Result<Watcher, WatchError> {
        Registry::register(&self.0.registry, Some(execution.clone()), peer).map(Watcher::from)
    }

    /// Why all watches are being ended, if they are. Whoever waits for a subscription is woken after
    /// this is set.
    pub fn ending(&self) -> Option<EndCause> {
        self.0.registry.ending()
    }

    /// The watchers of one execution, or all, in the order in which they came: at most `watchers_max` of
    /// those with a higher number than `after`.
    pub fn list(&self, execution: Option<&ExecutionId>, after: u64, watchers_max: usize) -> Vec<WatcherInfo> {
        let tail_of = |watched: Option<&ExecutionId>| match watched {
            Some(id) => self.0.broker.tail_seq(id),
            None => self.0.store.tail_position(),
        };
        self.0.registry.list(execution, after, watchers_max, tail_of)
    }

    /// How many watchers there are.
    pub fn count(&self) -> usize {
        self.0.registry.count()
    }

    /// Ends every watch at once with this error, and every later one. The first cause stays.
    pub fn end_all(&self, why: EndCause) {
        self.0.registry.end_all(why);
        self.0.broker.wake_all();
    }
}

#[cfg(test)]
mod tests;

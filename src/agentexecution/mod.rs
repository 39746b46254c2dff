//! The Stigmer AgentExecution contract: one file for each of its calls, over the same logs as the native
//! API. A status that a runner sends becomes the events that lead to it (`diff`), and what a client is
//! shown is what all events add up to. It must never write but through the write path, and never keep
//! anything that could not be had again from the log.

pub mod merge;
pub mod diff;
pub mod state;
mod resource;
mod fit;
mod view;
mod create;
mod loaded;
mod change;
mod update;
mod update_status;
mod delete;
mod get;
mod list;
mod list_by_session;
mod subscribe;

use std::sync::Arc;

use tapeline_storage::{EventStore, ReadError};
use tokio::sync::Semaphore;

use crate::append::{AppendError, Appender};
use crate::broker::Broker;
use crate::execution::invalid::Invalid;
use crate::execution::redact;
use crate::limits::SUBSCRIBED_BYTES_MAX;
use crate::proto::stigmer::agentexecution::AgentExecution;
use crate::watch::{WatchError, Watches};
use state::{State, StateError, States};
use view::Views;

pub use fit::{Fitted, TRUNCATED};
pub use list::ExecutionPage;
pub use subscribe::{Handed, StateStream};

/// Both controllers of the contract. Cheap to clone.
#[derive(Clone)]
pub struct Controller {
    store: Arc<dyn EventStore>,
    appender: Appender,
    watches: Watches,
    states: States,
    views: Views,
    /// The bytes of the states that subscribers were given and have not taken.
    subscribed: Arc<Semaphore>,
}

/// Why a call was not answered. What writes has written nothing, except where the outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The request breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The write path refuses.
    #[error(transparent)]
    Append(AppendError),
    /// The state cannot be had.
    #[error(transparent)]
    State(#[from] StateError),
    /// There are too many watchers, or all of them are being ended.
    #[error(transparent)]
    Watch(#[from] WatchError),
}

impl std::fmt::Debug for Controller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Controller").finish_non_exhaustive()
    }
}

impl Controller {
    /// The controllers over the two walks. `states` must be of the same store, which must have been opened
    /// with the hook of `broker`.
    pub fn new(
        store: Arc<dyn EventStore>,
        appender: Appender,
        broker: Broker,
        watches: Watches,
        states: States,
    ) -> Self {
        let views = Views::new(states.clone(), broker, watches.clone());
        let subscribed = Arc::new(Semaphore::new(SUBSCRIBED_BYTES_MAX));
        Self { store, appender, watches, states, views, subscribed }
    }
}

impl From<AppendError> for CallError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Invalid(invalid) => Self::Invalid(invalid),
            error => Self::Append(error),
        }
    }
}

impl From<ReadError> for CallError {
    fn from(error: ReadError) -> Self {
        Self::State(error.into())
    }
}

/// An execution as it is shown without its secrets, for every reply but those of `get` and `subscribe`.
fn without_secrets(state: &State) -> AgentExecution {
    let mut execution = resource::shown(state);
    redact::execution(&mut execution);
    execution
}

//! The write path: validates what a caller wants to append and hands it to the store. The only way to
//! write; it must never answer before the store has.

mod create;
mod stream;
mod turn;
mod trim;

use std::sync::Arc;

use tapeline_storage::limits::{EXECUTION_ID_BYTES_MAX, PRODUCER_ID_BYTES_MAX};
use tapeline_storage::{
    AppendOutcome, AppendPlace, AppendRequest, AppendTicket, EventStore, ExecutionId, Head, Limit, Producer,
    Seq, WriteError, digest_events,
};

use tokio::sync::{Semaphore, watch};

use crate::execution::event::{client_batch, internal_batch};
use crate::execution::invalid::{Excess, Invalid};
use crate::limits::TRIMS_MAX;
use crate::proto::v1 as wire;
use crate::proto::v1::event::Body;

use turn::Turns;

pub(crate) use create::generate_id;
pub use stream::AppendStream;

/// Why something was not written, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The request breaks a rule. Nothing was written.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The daemon is stopping. Nothing was written.
    #[error("the daemon is shutting down")]
    ShuttingDown,
    /// The store's answer.
    #[error(transparent)]
    Store(WriteError),
}

impl From<WriteError> for AppendError {
    /// What is too large for the store is told with the field of the request that it came from.
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::TooLarge { what, limit, actual } => {
                let description = format!("{what}: {actual}, the limit is {limit}");
                Invalid::beyond(field_of(what), description, Excess { limit, actual }).into()
            }
            error => Self::Store(error),
        }
    }
}

/// Which field makes the store say that this is too large. Most is checked before the store sees it; it
/// alone knows how many producers an execution has, and a base is all that lies below the floor.
fn field_of(what: Limit) -> &'static str {
    match what {
        Limit::Producers => "producer.id",
        Limit::BaseBytes => "floor_seq",
        Limit::Labels | Limit::LabelKeyBytes | Limit::LabelValueBytes => "labels",
        Limit::AppendEvents
        | Limit::AppendBytes
        | Limit::CustomTypeBytes
        | Limit::HeadTextBytes
        | Limit::LeaseOwnerBytes
        | Limit::ErrorBytes
        | Limit::RuleStateBytes => "events",
    }
}

/// Writes to the store. Cheap to clone.
#[derive(Clone)]
pub struct Appender {
    store: Arc<dyn EventStore>,
    stopping: Arc<watch::Sender<bool>>,
    /// Places of trims that read and write: a state may be large.
    trims: Arc<Semaphore>,
    turns: Turns,
}

impl std::fmt::Debug for Appender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Appender").field("stopping", &self.stopping).finish_non_exhaustive()
    }
}

impl Appender {
    /// An appender to a store.
    pub fn new(store: Arc<dyn EventStore>) -> Self {
        let trims = Arc::new(Semaphore::new(TRIMS_MAX));
        Self { store, stopping: Arc::new(watch::Sender::new(false)), trims, turns: Turns::default() }
    }

    /// Refuses everything from now on, and ends the streams; what the store has been given is still
    /// finished and answered.
    pub fn begin_shutdown(&self) {
        self.stopping.send_replace(true);
    }

    /// Resolves when nothing is taken any more.
    fn stopped(&self) -> impl Future<Output = ()> + use<> {
        let mut stopping = self.stopping.subscribe();
        async move {
            // The sender lives as long as any appender; without one nothing is taken either.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        }
    }

    /// Creates an execution with its `created` event, or returns the one that was created by the same
    /// request before.
    pub async fn create(&self, request: wire::CreateExecutionRequest) -> Result<Arc<Head>, AppendError> {
        self.check_open()?;
        let request = create::parse(request)?;
        Ok(self.store.create(request).await?.head)
    }

    /// Appends one batch and waits until it is durable.
    pub async fn append(&self, request: wire::AppendRequest) -> Result<AppendOutcome, AppendError> {
        self.check_open()?;
        let request = parse(request, None)?;
        self.turns.pass(&request.execution).await;
        Ok(self.store.append(request).await?)
    }

    /// Appends events that the daemon made itself, behind a certain seq or not at all (`SeqMismatch`).
    pub async fn append_bodies(
        &self,
        execution: &ExecutionId,
        bodies: Vec<Body>,
        expected_last_seq: Seq,
    ) -> Result<AppendOutcome, AppendError> {
        self.check_open()?;
        let events = internal_batch(bodies)?;
        let expected_last_seq = Some(expected_last_seq);
        let request = AppendRequest {
            execution: execution.clone(),
            events,
            expected_last_seq,
            producer: None,
            stream: None,
        };
        Ok(self.store.append(request).await?)
    }

    /// Creates an execution with these events, of which the first is `created`.
    pub async fn create_from(
        &self,
        execution: &ExecutionId,
        bodies: Vec<Body>,
    ) -> Result<Arc<Head>, AppendError> {
        self.check_open()?;
        let request = create::from_bodies(execution.clone(), bodies)?;
        Ok(self.store.create(request).await?.head)
    }

    /// Puts a batch of a stream into the store's queue.
    async fn submit(
        &self,
        request: wire::AppendRequest,
        place: AppendPlace,
    ) -> Result<AppendTicket, AppendError> {
        self.check_open()?;
        let request = parse(request, Some(place))?;
        self.turns.pass(&request.execution).await;
        Ok(self.store.submit(request).await?)
    }

    /// Deletes an execution for good.
    pub async fn delete(&self, execution_id: &str) -> Result<(), AppendError> {
        self.check_open()?;
        Ok(self.store.delete(&parse_id("execution_id", execution_id)?).await?)
    }

    fn check_open(&self) -> Result<(), AppendError> {
        if *self.stopping.borrow() { Err(AppendError::ShuttingDown) } else { Ok(()) }
    }
}

/// The id of an execution as a field of a request has it.
pub(crate) fn parse_id(field: &str, id: &str) -> Result<ExecutionId, Invalid> {
    Invalid::check_length(field, id, 1, EXECUTION_ID_BYTES_MAX)?;
    ExecutionId::parse(id).map_err(|error| Invalid::field(field, error.to_string()))
}

fn parse(request: wire::AppendRequest, stream: Option<AppendPlace>) -> Result<AppendRequest, AppendError> {
    let wire::AppendRequest { execution_id, events, expected_last_seq, producer } = request;
    let execution = parse_id("execution_id", &execution_id)?;
    let events = client_batch(events)?;
    if let Some(producer) = &producer {
        Invalid::check_length("producer.id", &producer.id, 1, PRODUCER_ID_BYTES_MAX)?;
    }
    let producer = producer.map(|producer| {
        let wire::Producer { id, epoch, seq } = producer;
        (Producer { id: id.into(), epoch, seq }, digest_events(&events))
    });
    Ok(AppendRequest { execution, events, expected_last_seq, producer, stream })
}

#[cfg(test)]
mod tests;

//! Requests that write, and an append that is repeated until it is acknowledged.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tapeline::proto::v1::{
    AppendRequest, AppendResponse, CreateExecutionRequest, CustomEvent, Event, Phase, PhaseChanged, Producer,
    event,
};
use tonic::Code;

use super::daemon::{Client, PATIENCE};

/// An event of a custom type.
pub(crate) fn custom(data: impl Into<Bytes>) -> Event {
    let custom = CustomEvent { r#type: "test".into(), data: data.into(), ..CustomEvent::default() };
    Event { body: Some(event::Body::Custom(custom)), ..Event::default() }
}

/// A phase as an event.
pub(crate) fn phase(phase: Phase) -> Event {
    let changed = PhaseChanged { phase: phase.into(), ..PhaseChanged::default() };
    Event { body: Some(event::Body::PhaseChanged(changed)), ..Event::default() }
}

/// A request for a new execution that says nothing but its id.
pub(crate) fn creation(execution: &str) -> CreateExecutionRequest {
    CreateExecutionRequest { execution_id: execution.to_owned(), ..CreateExecutionRequest::default() }
}

/// A batch without a producer.
pub(crate) fn batch(execution: &str, events: Vec<Event>) -> AppendRequest {
    AppendRequest { execution_id: execution.to_owned(), events, ..AppendRequest::default() }
}

/// Sends an append again and again until it is acknowledged; only a daemon that is away, is stopping
/// or does not know the outcome may refuse it.
pub(crate) async fn until_acknowledged(client: &Client, request: &AppendRequest) -> AppendResponse {
    let begun = Instant::now();
    loop {
        match client.clone().append(request.clone()).await {
            Ok(reply) => return reply.into_inner(),
            Err(status) if is_passing(&status) => {}
            Err(status) => panic!("refused: {status:?}"),
        }
        assert!(begun.elapsed() < PATIENCE, "never acknowledged");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether an error says no more than that the daemon is away at the moment. A connection that breaks
/// in the midst of a reply shows as `Unknown`, `Internal` or `Cancelled`.
pub(crate) fn is_passing(status: &tonic::Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled)
}

/// A batch of a producer.
pub(crate) fn produced(
    execution: &str,
    (id, epoch, seq): (&str, u64, u64),
    events: Vec<Event>,
) -> AppendRequest {
    AppendRequest { producer: Some(Producer { id: id.to_owned(), epoch, seq }), ..batch(execution, events) }
}

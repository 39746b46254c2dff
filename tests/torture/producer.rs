//! A producer that repeats each batch with the same triple until it is acknowledged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tapeline::proto::v1::{AppendRequest, AppendResponse, CustomEvent, Event, Producer, event};
use tonic::Code;

use super::daemon::{Client, PATIENCE};

/// What was acknowledged: what an event says, and its seq.
pub type Acked = Vec<(Bytes, u64)>;

/// An event of a custom type.
pub fn custom(data: impl Into<Bytes>) -> Event {
    let custom = CustomEvent { r#type: "torture".into(), data: data.into(), ..CustomEvent::default() };
    Event { body: Some(event::Body::Custom(custom)), ..Event::default() }
}

/// Appends batches of 1 to 7 events until it is told to stop; returns all that was acknowledged.
pub async fn produce(client: Client, execution: String, name: String, stop: &AtomicBool) -> Acked {
    let mut acked = Vec::new();
    for batch in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let data: Vec<Bytes> =
            (0..=batch % 7).map(|index| Bytes::from(format!("{name} {batch} {index}"))).collect();
        let request = AppendRequest {
            execution_id: execution.clone(),
            events: data.iter().cloned().map(custom).collect(),
            producer: Some(Producer { id: name.clone(), epoch: 1, seq: batch }),
            ..AppendRequest::default()
        };
        let reply = until_acknowledged(&client, &request).await;
        assert_eq!(reply.last_seq - reply.first_seq + 1, data.len() as u64);
        acked.extend(data.into_iter().zip(reply.first_seq..));
    }
    acked
}

/// Sends an append again and again until it is acknowledged; only a daemon that is away, is stopping
/// or does not know the outcome may refuse it.
pub async fn until_acknowledged(client: &Client, request: &AppendRequest) -> AppendResponse {
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
pub fn is_passing(status: &tonic::Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled)
}

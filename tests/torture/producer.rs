//! A producer that repeats each batch with the same triple until it is acknowledged.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tapeline::proto::v1::{AppendRequest, Producer};

use super::support::append::{custom, until_acknowledged};
use super::support::daemon::Client;

/// What was acknowledged: what an event says, and its seq.
pub(crate) type Acked = Vec<(Bytes, u64)>;

/// Appends batches of 1 to 7 events until it is told to stop; returns all that was acknowledged.
pub(crate) async fn produce(client: Client, execution: String, name: String, stop: &AtomicBool) -> Acked {
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

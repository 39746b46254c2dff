//! Between the store's words and the wire's. Pure.

use prost_types::Timestamp;
use tapeline_storage::{AppendOutcome, Head};

use crate::execution::phase;
use crate::proto::v1 as wire;

const NS_PER_S: u64 = 1_000_000_000;

/// A time of the store on the wire.
pub(super) fn timestamp(ns: u64) -> Timestamp {
    let seconds = i64::try_from(ns / NS_PER_S).unwrap_or(i64::MAX);
    Timestamp { seconds, nanos: (ns % NS_PER_S) as i32 }
}

/// An execution on the wire.
pub(super) fn execution(head: &Head) -> wire::Execution {
    wire::Execution {
        id: head.execution.id.to_string(),
        log_id: head.execution.log_id.to_string(),
        phase: phase::to_wire(head.phase).into(),
        floor_seq: head.floor_seq,
        tail_seq: head.tail_seq,
        create_time: Some(timestamp(head.create_time_ns)),
        update_time: Some(timestamp(head.update_time_ns)),
        end_time: head.end_time_ns.map(timestamp),
        session_id: head.session_id.to_string(),
        agent_id: head.agent_id.to_string(),
        display_name: head.display_name.to_string(),
        labels: head.execution.labels.clone(),
        error: head.error.to_string(),
        stored_bytes: head.stored_bytes,
    }
}

/// What an append did, on the wire.
pub(super) fn append_response(outcome: &AppendOutcome) -> wire::AppendResponse {
    wire::AppendResponse {
        first_seq: outcome.span.first_seq,
        last_seq: outcome.span.last_seq,
        tail_seq: outcome.tail_seq,
        record_time: Some(timestamp(outcome.span.record_time_ns)),
        duplicate: outcome.duplicate,
        last_position: outcome.span.last_position,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_nanoseconds() {
        assert_eq!(timestamp(0), Timestamp { seconds: 0, nanos: 0 });
        assert_eq!(timestamp(1_999_999_999), Timestamp { seconds: 1, nanos: 999_999_999 });
        assert_eq!(timestamp(u64::MAX).seconds, 18_446_744_073);
    }
}

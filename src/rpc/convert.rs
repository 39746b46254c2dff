//! Between the store's words and the wire's. Pure.

use tapeline_storage::{AppendOutcome, Head};

use crate::execution::phase;
use crate::execution::time::timestamp;
use crate::proto::v1 as wire;

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

//! The broadcast, with its real thread and under a model checker.

mod model;
mod races;
mod queues;
mod handing_out;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tapeline_storage::{
    Commit, CommitSlice, ExecutionId, ExecutionRef, LogId, Phase, SliceChange, StoredEvent,
};

fn execution(id: &str) -> Arc<ExecutionRef> {
    let id = ExecutionId::parse(id).expect("the id is fine");
    Arc::new(ExecutionRef { id, log_id: LogId(1), labels: BTreeMap::new() })
}

/// Events `first..=last` of an execution that owns the whole store: seqs equal positions.
fn appended(execution: &Arc<ExecutionRef>, first: u64, last: u64, phase: Phase) -> CommitSlice {
    appended_at(execution, first, first, last, phase)
}

/// Events `first..=last`, the first one at `position`.
fn appended_at(
    execution: &Arc<ExecutionRef>,
    position: u64,
    first: u64,
    last: u64,
    phase: Phase,
) -> CommitSlice {
    let event = |seq| StoredEvent {
        seq,
        position: position + seq - first,
        record_time_ns: seq,
        type_tag: 21,
        custom_type: None,
        payload: Bytes::from_static(&[0xaa, 0x01, 0x00]),
    };
    let events = (first..=last).map(event).collect();
    let change = SliceChange::Events { events, phase, error: Arc::from("") };
    CommitSlice { execution: Arc::clone(execution), change }
}

fn commit(slices: Vec<CommitSlice>) -> Arc<Commit> {
    Arc::new(Commit { slices, tail_position: 0 })
}

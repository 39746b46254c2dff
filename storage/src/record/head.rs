//! The body that stands in the archive for each execution: its head at the last sealed event.

use std::collections::BTreeMap;
use std::sync::Arc;

use bincode::{BorrowDecode, Encode};

use super::body::{LeaseBody, StampBody, parse_phase};
use super::{Kind, RecordError, decode_value, encode_frame};
use crate::limits::NUMBERING_MAX;
use crate::{BatchSpan, ExecutionId, ExecutionRef, Head, LogId, ProducerState};

#[derive(Encode, BorrowDecode)]
struct HeadBody<'a> {
    number: u64,
    id: &'a str,
    log_id: [u8; 16],
    labels: BTreeMap<&'a str, &'a str>,
    create_digest: [u8; 16],
    phase: u8,
    floor_seq: u64,
    tail_seq: u64,
    tail_position: u64,
    create_time_ns: u64,
    update_time_ns: u64,
    end_time_ns: Option<u64>,
    session_id: &'a str,
    agent_id: &'a str,
    display_name: &'a str,
    error: &'a str,
    stored_bytes: u64,
    rule_state: &'a [u8],
    producers: Vec<ProducerBody<'a>>,
    lease: Option<LeaseBody<'a>>,
}

#[derive(Encode, BorrowDecode)]
struct ProducerBody<'a> {
    stamp: StampBody<'a>,
    first_seq: u64,
    last_seq: u64,
    last_position: u64,
    record_time_ns: u64,
}

/// Appends the frame of a head to `out`.
pub fn encode_head(out: &mut Vec<u8>, head: &Head) {
    let execution = &head.execution;
    let body = HeadBody {
        number: head.number,
        id: execution.id.as_str(),
        log_id: execution.log_id.0.to_le_bytes(),
        labels: execution.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
        create_digest: head.create_digest.to_le_bytes(),
        phase: head.phase as u8,
        floor_seq: head.floor_seq,
        tail_seq: head.tail_seq,
        tail_position: head.tail_position,
        create_time_ns: head.create_time_ns,
        update_time_ns: head.update_time_ns,
        end_time_ns: head.end_time_ns,
        session_id: &head.session_id,
        agent_id: &head.agent_id,
        display_name: &head.display_name,
        error: &head.error,
        stored_bytes: head.stored_bytes,
        rule_state: &head.rule_state,
        producers: head.producers.iter().map(ProducerBody::new).collect(),
        lease: head.lease.as_ref().map(LeaseBody::new),
    };
    encode_frame(out, Kind::Head, &body);
}

/// Decodes the frame of a head, which must be all of `bytes`.
pub fn decode_head(bytes: &[u8]) -> Result<Head, RecordError> {
    decode_value::<HeadBody<'_>>(Kind::Head, bytes)?.parse()
}

impl HeadBody<'_> {
    fn parse(self) -> Result<Head, RecordError> {
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let execution = ExecutionRef {
            id: ExecutionId::parse(self.id).map_err(|error| RecordError::Body(error.to_string()))?,
            log_id: LogId(u128::from_le_bytes(self.log_id)),
            labels: self.labels.into_iter().map(own).collect(),
        };
        let head = Head {
            number: self.number,
            execution: Arc::new(execution),
            create_digest: u128::from_le_bytes(self.create_digest),
            phase: parse_phase(self.phase)?,
            floor_seq: self.floor_seq,
            tail_seq: self.tail_seq,
            tail_position: self.tail_position,
            create_time_ns: self.create_time_ns,
            update_time_ns: self.update_time_ns,
            end_time_ns: self.end_time_ns,
            session_id: Arc::from(self.session_id),
            agent_id: Arc::from(self.agent_id),
            display_name: Arc::from(self.display_name),
            error: Arc::from(self.error),
            stored_bytes: self.stored_bytes,
            rule_state: self.rule_state.to_vec(),
            producers: self.producers.into_iter().map(ProducerBody::parse).collect(),
            lease: self.lease.map(LeaseBody::parse),
        };
        if numbers_can_be(&head) {
            Ok(head)
        } else {
            Err(RecordError::Body("the numbers of a head cannot be right".to_owned()))
        }
    }
}

/// Whether a writer can have left these numbers, so that whoever counts on from them stays in range.
fn numbers_can_be(head: &Head) -> bool {
    let Head { number, floor_seq, tail_seq, tail_position, stored_bytes, .. } = *head;
    let highest = number.max(tail_seq).max(tail_position).max(stored_bytes);
    let sent = |span: &BatchSpan| {
        (1..=span.last_seq).contains(&span.first_seq)
            && span.last_seq <= tail_seq
            && span.last_position <= tail_position
    };
    highest < NUMBERING_MAX
        && number > 0
        && (1..=tail_seq + 1).contains(&floor_seq)
        && head.producers.iter().all(|state| sent(&state.span))
}

impl<'a> ProducerBody<'a> {
    fn new(state: &'a ProducerState) -> Self {
        Self {
            stamp: StampBody::new(&state.producer, state.digest),
            first_seq: state.span.first_seq,
            last_seq: state.span.last_seq,
            last_position: state.span.last_position,
            record_time_ns: state.span.record_time_ns,
        }
    }

    fn parse(self) -> ProducerState {
        let (producer, digest) = self.stamp.parse();
        let span = BatchSpan {
            first_seq: self.first_seq,
            last_seq: self.last_seq,
            last_position: self.last_position,
            record_time_ns: self.record_time_ns,
        };
        ProducerState { producer, digest, span }
    }
}

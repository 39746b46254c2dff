//! The head of an execution: everything that is known of it without reading its events.
//! A head is folded from records by [`Head::apply`] and by nothing else: the writer, the sealer and
//! the recovery after a crash all call it, so that they cannot disagree.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{ExecutionId, ExecutionRef, HeadChange, Lease, LogId, Phase, Position, Producer, Seq};

/// What is known of an execution at a certain seq. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its number in the store, from 1, in order of creation.
    pub number: u64,
    /// Id, log and labels.
    pub execution: Arc<ExecutionRef>,
    /// Digest of the creation request, so that the same creation again is recognised.
    pub create_digest: u128,
    /// Where it stands.
    pub phase: Phase,
    /// The first seq that is kept.
    pub floor_seq: Seq,
    /// The last seq that is committed.
    pub tail_seq: Seq,
    /// The position of the event at the tail.
    pub tail_position: Position,
    /// The time of its first event, in nanoseconds since 1970-01-01 UTC.
    pub create_time_ns: u64,
    /// The time of its last event.
    pub update_time_ns: u64,
    /// The time of its terminal event, if it has ended.
    pub end_time_ns: Option<u64>,
    /// The session it belongs to, or empty.
    pub session_id: Arc<str>,
    /// The agent that runs, or empty.
    pub agent_id: Arc<str>,
    /// A name for people, or empty.
    pub display_name: Arc<str>,
    /// Why it failed, or empty.
    pub error: Arc<str>,
    /// Payload bytes of the events that are kept.
    pub stored_bytes: u64,
    /// What [`crate::Rules`] remember.
    pub rule_state: Vec<u8>,
    /// The last append of each producer, in order of first appearance.
    pub producers: Vec<ProducerState>,
    /// Its lease, if it has one.
    pub lease: Option<Lease>,
}

/// The last append of one producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// Its epoch and the number of that append.
    pub producer: Producer,
    /// Digest of that append's events.
    pub digest: u128,
    /// The events of that append.
    pub span: BatchSpan,
}

/// Where the events of one append stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSpan {
    /// The seq of its first event.
    pub first_seq: Seq,
    /// The seq of its last event.
    pub last_seq: Seq,
    /// The position of its last event.
    pub last_position: Position,
    /// The time the writer took it, in nanoseconds since 1970-01-01 UTC.
    pub record_time_ns: u64,
}

/// What identifies a new execution, written before its first event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creation {
    /// Its number in the store.
    pub number: u64,
    /// Its id.
    pub id: ExecutionId,
    /// Its log.
    pub log_id: LogId,
    /// Digest of the creation request.
    pub digest: u128,
    /// Its labels, which never change.
    pub labels: BTreeMap<String, String>,
}

/// The part of an event record that a head is folded from.
#[derive(Clone, Copy, Debug)]
pub struct Applied<'a> {
    /// Seq of the event: one more than the head's tail.
    pub seq: Seq,
    /// Its position.
    pub position: Position,
    /// Its time.
    pub record_time_ns: u64,
    /// Length of its payload, in bytes.
    pub payload_bytes: usize,
    /// What it changes.
    pub change: Option<&'a HeadChange>,
    /// On the first event of an append: what is remembered of the append.
    pub batch: Option<BatchApplied<'a>>,
}

/// What the first record of an append says of the whole append.
#[derive(Clone, Copy, Debug)]
pub struct BatchApplied<'a> {
    /// How many events it has.
    pub events: u32,
    /// Its producer and digest.
    pub producer: Option<(&'a Producer, u128)>,
    /// The rule state after it, if it changed.
    pub rule_state: Option<&'a [u8]>,
}

impl Head {
    /// The head of an execution that has no event yet.
    pub fn new(creation: &Creation) -> Self {
        let execution = ExecutionRef {
            id: creation.id.clone(),
            log_id: creation.log_id,
            labels: creation.labels.clone(),
        };
        let empty: Arc<str> = Arc::from("");
        Self {
            number: creation.number,
            execution: Arc::new(execution),
            create_digest: creation.digest,
            phase: Phase::Pending,
            floor_seq: 1,
            tail_seq: 0,
            tail_position: 0,
            create_time_ns: 0,
            update_time_ns: 0,
            end_time_ns: None,
            session_id: empty.clone(),
            agent_id: empty.clone(),
            display_name: empty.clone(),
            error: empty,
            stored_bytes: 0,
            rule_state: Vec::new(),
            producers: Vec::new(),
            lease: None,
        }
    }

    /// Moves the head over the next event. The caller has checked that `event.seq` is the next one.
    pub fn apply(&mut self, event: &Applied<'_>) {
        debug_assert_eq!(event.seq, self.tail_seq + 1, "events are applied in order");
        if self.tail_seq == 0 {
            self.create_time_ns = event.record_time_ns;
        }
        self.tail_seq = event.seq;
        self.tail_position = event.position;
        self.update_time_ns = event.record_time_ns;
        self.stored_bytes += event.payload_bytes as u64;
        if let Some(batch) = &event.batch {
            self.apply_batch(event, batch);
        }
        if let Some(change) = event.change {
            self.apply_change(change, event.record_time_ns);
        }
    }

    fn apply_batch(&mut self, event: &Applied<'_>, batch: &BatchApplied<'_>) {
        if let Some(state) = batch.rule_state {
            self.rule_state = state.to_vec();
        }
        let Some((producer, digest)) = batch.producer else { return };
        let more = u64::from(batch.events.saturating_sub(1));
        let state = ProducerState {
            producer: producer.clone(),
            digest,
            span: BatchSpan {
                first_seq: event.seq,
                last_seq: event.seq + more,
                last_position: event.position + more,
                record_time_ns: event.record_time_ns,
            },
        };
        match self.producers.iter_mut().find(|known| known.producer.id == producer.id) {
            Some(known) => *known = state,
            None => self.producers.push(state),
        }
    }

    fn apply_change(&mut self, change: &HeadChange, record_time_ns: u64) {
        if let Some(phase) = change.phase {
            self.phase = phase;
            self.end_time_ns = phase.is_terminal().then_some(record_time_ns);
        }
        let texts = [
            (&change.error, &mut self.error),
            (&change.session_id, &mut self.session_id),
            (&change.agent_id, &mut self.agent_id),
            (&change.display_name, &mut self.display_name),
        ];
        for (new, old) in texts {
            if let Some(text) = new {
                *old = Arc::from(text.as_str());
            }
        }
        if let Some(lease) = &change.lease {
            self.lease = Some(lease.clone());
        }
    }

    /// Raises the floor. `freed_bytes` is the payload of the events that are no longer kept.
    pub fn trim(&mut self, floor_seq: Seq, freed_bytes: u64) {
        debug_assert!(floor_seq >= self.floor_seq, "a floor never goes down");
        self.floor_seq = floor_seq;
        self.stored_bytes = self.stored_bytes.saturating_sub(freed_bytes);
    }

    /// What is remembered of this producer.
    pub fn producer(&self, id: &str) -> Option<&ProducerState> {
        self.producers.iter().find(|known| &*known.producer.id == id)
    }
}

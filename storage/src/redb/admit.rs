//! Admission: decides, purely, whether something may be written. The order of its checks is a promise:
//! exists → fenced (older epoch) → duplicate or conflict → ended → producer gap → expected seq → limits
//! and rules. So the retry of an append that ended an execution is a duplicate, not an error.

use std::sync::Arc;

use super::slots::State;
use crate::limits::{
    APPEND_BYTES_MAX, APPEND_EVENTS_MAX, CUSTOM_TYPE_BYTES_MAX, HEAD_ERROR_BYTES_MAX, HEAD_TEXT_BYTES_MAX,
    LABEL_KEY_BYTES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_MAX, PRODUCER_ID_BYTES_MAX, PRODUCERS_MAX,
    RULE_STATE_BYTES_MAX,
};
use crate::{
    AppendOutcome, AppendRequest, CreateRequest, Head, HeadChange, Limit, NewEvent, Producer, Reject, Rules,
    TrimRequest, WriteError,
};

/// What becomes of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is to be written.
    Write {
        /// What the rules remember from now on, if it changes.
        rule_state: Option<Vec<u8>>,
    },
    /// It is the last append of its producer once more.
    Duplicate(AppendOutcome),
    /// It is older than the last append of its producer: a duplicate or a conflict, never written. Which
    /// of the two takes reading, which is not done here.
    Older,
}

/// What becomes of a creation.
#[derive(Clone, Debug)]
pub(super) enum CreateAdmission {
    /// It is to be written.
    Write {
        /// What the rules remember from now on, if anything.
        rule_state: Option<Vec<u8>>,
    },
    /// The same creation was written before.
    Existed(Arc<Head>),
}

/// Decides on an append to an execution that is there.
pub(super) fn admit(
    head: &Head,
    request: &AppendRequest,
    rules: &dyn Rules,
) -> Result<Admission, WriteError> {
    if let Some((producer, digest)) = &request.producer
        && let Some(repeated) = admit_repeated(head, producer, *digest)?
    {
        return Ok(repeated);
    }
    if head.phase.is_terminal() {
        return Err(WriteError::Ended { final_seq: head.tail_seq, phase: head.phase });
    }
    if let Some((producer, _)) = &request.producer {
        check_next(head, producer)?;
    }
    if let Some(expected) = request.expected_last_seq
        && expected != head.tail_seq
    {
        return Err(WriteError::SeqMismatch { expected, tail_seq: head.tail_seq });
    }
    check_events(&request.events)?;
    Ok(Admission::Write { rule_state: ask(rules, &head.rule_state, &request.events)? })
}

/// What is known of a producer's triple; `None` if it is a new one.
fn admit_repeated(head: &Head, producer: &Producer, digest: u128) -> Result<Option<Admission>, WriteError> {
    let Some(last) = head.producer(&producer.id) else { return Ok(None) };
    let (expected_seq, current_epoch) = (last.producer.seq.saturating_add(1), last.producer.epoch);
    if producer.epoch < current_epoch {
        return Err(WriteError::ProducerFenced { expected_seq, current_epoch });
    }
    if producer.epoch > current_epoch || producer.seq > last.producer.seq {
        return Ok(None);
    }
    if producer.seq < last.producer.seq {
        return Ok(Some(Admission::Older));
    }
    if digest != last.digest {
        return Err(WriteError::ProducerConflict { expected_seq, current_epoch });
    }
    let outcome = AppendOutcome { span: last.span, tail_seq: head.tail_seq, duplicate: true };
    Ok(Some(Admission::Duplicate(outcome)))
}

/// Checks that a producer's triple is the next one: 0 in a new epoch, or one more than the last.
fn check_next(head: &Head, producer: &Producer) -> Result<(), WriteError> {
    let length = producer.id.len();
    if length == 0 || length > PRODUCER_ID_BYTES_MAX {
        let description =
            format!("a producer id has 1 to {PRODUCER_ID_BYTES_MAX} bytes, this one has {length}");
        return Err(rejected("producer.id", description));
    }
    let last = head.producer(&producer.id);
    if last.is_none() && head.producers.len() >= PRODUCERS_MAX {
        return Err(too_large(Limit::Producers, PRODUCERS_MAX, head.producers.len() + 1));
    }
    let known = last.filter(|last| last.producer.epoch == producer.epoch);
    let expected_seq = known.map_or(0, |last| last.producer.seq.saturating_add(1));
    if producer.seq != expected_seq {
        return Err(WriteError::ProducerGap { expected_seq, current_epoch: producer.epoch });
    }
    Ok(())
}

/// Decides on a creation.
pub(super) fn admit_create(
    state: &State,
    request: &CreateRequest,
    rules: &dyn Rules,
) -> Result<CreateAdmission, WriteError> {
    let exists = |deleted| WriteError::Exists { execution: request.execution.clone(), deleted };
    match state {
        State::Present(head) if head.create_digest == request.digest => {
            return Ok(CreateAdmission::Existed(head.clone()));
        }
        State::Present(_) => return Err(exists(false)),
        State::Deleted { .. } => return Err(exists(true)),
        State::Damaged { .. } => return Err(state.no_head(&request.execution).into()),
        State::Absent => {}
    }
    check_labels(request)?;
    check_events(&request.events)?;
    Ok(CreateAdmission::Write { rule_state: ask(rules, &[], &request.events)? })
}

/// Decides on a trim. Returns whether it changes anything.
pub(super) fn check_trim(head: &Head, request: &TrimRequest) -> Result<bool, WriteError> {
    let highest = head.tail_seq + 1;
    if request.floor_seq == 0 || request.floor_seq > highest {
        let description = format!("a floor is from 1 to {highest}, not {}", request.floor_seq);
        return Err(rejected("floor_seq", description));
    }
    if let Some(base) = &request.base
        && base.len() > APPEND_BYTES_MAX
    {
        return Err(too_large(Limit::BaseBytes, APPEND_BYTES_MAX, base.len()));
    }
    Ok(request.floor_seq > head.floor_seq)
}

fn ask(rules: &dyn Rules, state: &[u8], events: &[NewEvent]) -> Result<Option<Vec<u8>>, WriteError> {
    let after = rules.admit(state, events).map_err(WriteError::Rejected)?;
    check_length(Limit::RuleStateBytes, after.len(), RULE_STATE_BYTES_MAX)?;
    Ok((after != state).then_some(after))
}

fn check_events(events: &[NewEvent]) -> Result<(), WriteError> {
    if events.is_empty() {
        return Err(rejected("events", "an append has at least one event".to_owned()));
    }
    check_length(Limit::AppendEvents, events.len(), APPEND_EVENTS_MAX)?;
    check_length(Limit::AppendBytes, events.iter().map(record_bytes).sum(), APPEND_BYTES_MAX)?;
    let (last, before) = events.split_last().expect("not empty");
    let ends = |event: &NewEvent| {
        event.head_change.as_ref().is_some_and(|change| change.phase.is_some_and(|phase| phase.is_terminal()))
    };
    if let Some(index) = before.iter().position(ends) {
        let description = "a terminal phase ends the log: it must be in the last event".to_owned();
        return Err(rejected(&format!("events[{index}]"), description));
    }
    before.iter().chain([last]).try_for_each(check_event)
}

/// Bytes that an event brings into its record. Not only the payload counts, so that a hundred thousand
/// events with long texts are not let through as empty ones.
pub(super) fn record_bytes(event: &NewEvent) -> usize {
    let change = event.head_change.as_deref().map_or(0, |change| {
        let texts = [&change.error, &change.session_id, &change.agent_id, &change.display_name];
        texts.into_iter().flatten().map(String::len).sum()
    });
    event.payload.len() + event.custom_type.as_deref().map_or(0, str::len) + change
}

fn check_event(event: &NewEvent) -> Result<(), WriteError> {
    let custom_type = event.custom_type.as_deref().map_or(0, str::len);
    check_length(Limit::CustomTypeBytes, custom_type, CUSTOM_TYPE_BYTES_MAX)?;
    event.head_change.as_deref().map_or(Ok(()), check_change)
}

fn check_change(change: &HeadChange) -> Result<(), WriteError> {
    let texts = [&change.session_id, &change.agent_id, &change.display_name];
    for text in texts.into_iter().flatten() {
        check_length(Limit::HeadTextBytes, text.len(), HEAD_TEXT_BYTES_MAX)?;
    }
    if let Some(lease) = &change.lease {
        check_length(Limit::LeaseOwnerBytes, lease.owner.len(), PRODUCER_ID_BYTES_MAX)?;
    }
    check_length(Limit::ErrorBytes, change.error.as_deref().map_or(0, str::len), HEAD_ERROR_BYTES_MAX)
}

fn check_labels(request: &CreateRequest) -> Result<(), WriteError> {
    check_length(Limit::Labels, request.labels.len(), LABELS_MAX)?;
    for (key, value) in &request.labels {
        if key.is_empty() {
            return Err(rejected("labels", "a label has a key".to_owned()));
        }
        check_length(Limit::LabelKeyBytes, key.len(), LABEL_KEY_BYTES_MAX)?;
        check_length(Limit::LabelValueBytes, value.len(), LABEL_VALUE_BYTES_MAX)?;
    }
    Ok(())
}

fn check_length(what: Limit, actual: usize, limit: usize) -> Result<(), WriteError> {
    if actual <= limit { Ok(()) } else { Err(too_large(what, limit, actual)) }
}

fn too_large(what: Limit, limit: usize, actual: usize) -> WriteError {
    WriteError::TooLarge { what, limit: limit as u64, actual: actual as u64 }
}

fn rejected(field: &str, description: String) -> WriteError {
    WriteError::Rejected(Reject { field: field.to_owned(), description })
}

#[cfg(test)]
mod tests;

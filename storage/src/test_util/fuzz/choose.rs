//! Turns choices of an input into requests: mostly sound ones, often retries, sometimes wrong ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::input::Input;
use super::model::Model;
use crate::{
    AppendRequest, CreateRequest, ExecutionId, HeadChange, NewEvent, Phase, Producer, Seq, digest_events,
};

/// Ids in play. Few, so that operations meet.
const EXECUTIONS: usize = 6;
/// Producers in play.
const PRODUCERS: usize = 2;
/// Type tag of events that change the phase, and of all others.
const TAGS: [u32; 2] = [11, 30];

pub(super) fn execution(input: &mut Input<'_>) -> Option<ExecutionId> {
    let id = format!("ex-{}", input.below(EXECUTIONS)?);
    Some(ExecutionId::parse(&id).expect("the id has allowed characters"))
}

pub(super) fn create(input: &mut Input<'_>) -> Option<CreateRequest> {
    let execution = execution(input)?;
    let kind = input.below(3)?;
    let labels: BTreeMap<_, _> = [("kind".to_owned(), kind.to_string())].into_iter().take(kind).collect();
    let events = vec![NewEvent { type_tag: 10, payload: payload(input)?, ..NewEvent::default() }];
    let digest = digest_events(&events) ^ kind as u128;
    Some(CreateRequest { execution, digest, labels, events })
}

/// A new append. `sent` are the appends of producers so far, for retries.
pub(super) fn append(input: &mut Input<'_>, model: &Model, sent: &[AppendRequest]) -> Option<AppendRequest> {
    if input.chance(4)? && !sent.is_empty() {
        return retry(input, sent);
    }
    let execution = execution(input)?;
    let log = model.logs.get(&execution);
    let tail = log.map_or(0, |log| log.tail());
    let expected_last_seq = [None, None, None, Some(tail), Some(tail + 1)][input.below(5)?];
    let events = events(input, log.map_or(Phase::Pending, |log| log.phase))?;
    let producer = match input.below(PRODUCERS + 1)? {
        0 => None,
        number => {
            let id: Arc<str> = Arc::from(format!("p{number}"));
            let (epoch, seq) = log.map_or((0, 0), |log| log.next_of(&id));
            let (epoch, seq) = triple(input, epoch, seq)?;
            Some((Producer { id, epoch, seq }, digest_events(&events)))
        }
    };
    Some(AppendRequest { execution, events, expected_last_seq, producer, stream: None })
}

/// Mostly the triple that comes next; else a new epoch, a gap, an old epoch or an old seq.
fn triple(input: &mut Input<'_>, epoch: u64, seq: u64) -> Option<(u64, u64)> {
    Some(match input.below(12)? {
        0 => (epoch + 1, 0),
        1 => (epoch + 2, 1),
        2 => (epoch, seq + 1),
        3 => (epoch.saturating_sub(1), 0),
        4 => (epoch, seq.saturating_sub(2)),
        _ => (epoch, seq),
    })
}

fn retry(input: &mut Input<'_>, sent: &[AppendRequest]) -> Option<AppendRequest> {
    let mut request = sent[input.below(sent.len())?].clone();
    request.expected_last_seq = None;
    if input.chance(6)? {
        request.events =
            vec![NewEvent { type_tag: TAGS[1], payload: payload(input)?, ..NewEvent::default() }];
        let digest = digest_events(&request.events);
        request.producer = request.producer.map(|(producer, _)| (producer, digest));
    }
    Some(request)
}

fn events(input: &mut Input<'_>, phase: Phase) -> Option<Vec<NewEvent>> {
    let count = 1 + input.below(4)?;
    let mut events = Vec::with_capacity(count);
    for _ in 0..count {
        let custom_type = input.chance(3)?.then(|| Arc::from("note"));
        events.push(NewEvent { type_tag: TAGS[1], custom_type, head_change: None, payload: payload(input)? });
    }
    let next = match input.below(16)? {
        0 => Some(Phase::Completed),
        1 => Some(Phase::Failed),
        2 => Some(Phase::InProgress.max(phase)),
        _ => None,
    };
    if let (Some(next), Some(last)) = (next, events.last_mut()) {
        last.type_tag = TAGS[0];
        last.head_change = Some(Box::new(HeadChange { phase: Some(next), ..HeadChange::default() }));
    }
    Some(events)
}

/// From nothing to several pages of bytes.
fn payload(input: &mut Input<'_>) -> Option<Bytes> {
    let byte = input.byte()?;
    let length = usize::from(byte) * [0, 1, 1, 16, 256][input.below(5)?];
    Some(Bytes::from(vec![byte; length]))
}

/// A floor to trim to: mostly one that is allowed.
pub(super) fn floor(input: &mut Input<'_>, model: &Model, execution: &ExecutionId) -> Option<Seq> {
    let tail = model.logs.get(execution).map_or(0, |log| log.tail());
    Some(u64::from(input.byte()?) % (tail + 3))
}

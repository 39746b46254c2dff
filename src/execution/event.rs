//! From what a caller sends to what the store keeps: a wire event becomes a `NewEvent` with our own
//! encoding of its body, so that the same event again is the same bytes whoever encoded it.
//!
//! It must never keep a field that is not part of the contract, and never anything but the body.

use bytes::{Bytes, BytesMut};
use prost::Message;
use tapeline_storage::limits::{CUSTOM_TYPE_BYTES_MAX, HEAD_ERROR_BYTES_MAX, HEAD_TEXT_BYTES_MAX};
use tapeline_storage::{HeadChange, NewEvent, Phase};

use crate::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX, EVENT_BYTES_MAX};
use crate::proto::v1::{self as wire, event::Body};

/// The number of `created`, the first event of every execution.
pub const CREATED: u32 = 10;
/// The number of `spec_replaced`.
pub const SPEC_REPLACED: u32 = 20;

/// Why events cannot be appended. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvents {
    /// A field says something it must not.
    #[error("{field}: {description}")]
    Field {
        /// Which one, for example `events[2].phase_changed.phase`.
        field: String,
        /// What is wrong with it, a sentence without a full stop.
        description: String,
    },
    /// An event is longer than 1 MiB.
    #[error("events[{index}] has {actual} bytes, the limit is {EVENT_BYTES_MAX}")]
    EventTooLarge {
        /// Which one, from 0.
        index: usize,
        /// How long it is, in bytes.
        actual: usize,
    },
    /// There are more than 1,000 events, or they have more than 4 MiB.
    #[error("the batch has {actual} {unit}, the limit is {limit}")]
    BatchTooLarge {
        /// What was counted.
        unit: &'static str,
        /// How many there may be.
        limit: usize,
        /// How many there are.
        actual: usize,
    },
}

/// The events of one append, in order. Only their bodies are read.
pub fn parse_batch(events: Vec<wire::Event>) -> Result<Vec<NewEvent>, InvalidEvents> {
    check_count(events.len())?;
    let last = events.len() - 1;
    let mut heads = Vec::with_capacity(events.len());
    let mut bodies = Vec::with_capacity(events.len());
    for (index, event) in events.into_iter().enumerate() {
        let field = |what: &str, description: &str| InvalidEvents::Field {
            field: format!("events[{index}]{what}"),
            description: description.to_owned(),
        };
        let body = event.body.ok_or_else(|| field(".body", "an event has a body"))?;
        if let Body::Created(_) = body {
            return Err(field(".created", "only the daemon writes it, when an execution is created"));
        }
        let head = parse_body(&body).map_err(|(what, description)| field(what, &description))?;
        let ends = head.change.as_ref().and_then(|change| change.phase).is_some_and(Phase::is_terminal);
        if ends && index != last {
            return Err(field(".phase_changed.phase", "a terminal phase ends the log: it must be the last event"));
        }
        heads.push(head);
        bodies.push(wire::Event { body: Some(body), ..wire::Event::default() });
    }
    let payloads = encode_all(&bodies)?;
    Ok(heads.into_iter().zip(payloads).map(|(head, payload)| head.with_payload(payload)).collect())
}

/// The first event of an execution.
pub fn created(created: wire::ExecutionCreated) -> Result<NewEvent, InvalidEvents> {
    let body = Body::Created(created);
    let head = parse_body(&body).map_err(|(what, description)| InvalidEvents::Field {
        field: what.trim_start_matches('.').to_owned(),
        description,
    })?;
    let event = wire::Event { body: Some(body), ..wire::Event::default() };
    let payload = encode_all(std::slice::from_ref(&event))?.next().unwrap_or_default();
    Ok(head.with_payload(payload))
}

fn check_count(events: usize) -> Result<(), InvalidEvents> {
    match events {
        0 => Err(InvalidEvents::Field {
            field: "events".into(),
            description: "an append has at least one event".into(),
        }),
        actual if actual > BATCH_EVENTS_MAX => {
            Err(InvalidEvents::BatchTooLarge { unit: "events", limit: BATCH_EVENTS_MAX, actual })
        }
        _ => Ok(()),
    }
}

/// Encodes all bodies into one buffer, which the payloads share.
fn encode_all(events: &[wire::Event]) -> Result<impl Iterator<Item = Bytes> + use<>, InvalidEvents> {
    let lengths: Vec<usize> = events.iter().map(Message::encoded_len).collect();
    if let Some((index, actual)) = lengths.iter().enumerate().find(|(_, length)| **length > EVENT_BYTES_MAX) {
        return Err(InvalidEvents::EventTooLarge { index, actual: *actual });
    }
    let actual: usize = lengths.iter().sum();
    if actual > BATCH_BYTES_MAX {
        return Err(InvalidEvents::BatchTooLarge { unit: "bytes", limit: BATCH_BYTES_MAX, actual });
    }
    let mut buffer = BytesMut::with_capacity(actual);
    for event in events {
        event.encode(&mut buffer).expect("the buffer grows");
    }
    let mut rest = buffer.freeze();
    Ok(lengths.into_iter().map(move |length| rest.split_to(length)))
}

/// What the store needs to know of a body.
struct Parsed {
    type_tag: u32,
    custom_type: Option<std::sync::Arc<str>>,
    change: Option<HeadChange>,
}

impl Parsed {
    fn with_payload(self, payload: Bytes) -> NewEvent {
        let Self { type_tag, custom_type, change } = self;
        NewEvent { type_tag, custom_type, head_change: change.map(Box::new), payload }
    }
}

/// The field behind the event, and what is wrong with it.
type Wrong = (&'static str, String);

fn parse_body(body: &Body) -> Result<Parsed, Wrong> {
    let (mut custom_type, mut change) = (None, None);
    match body {
        Body::Created(created) => change = Some(change_of_created(created)?),
        Body::PhaseChanged(changed) => change = Some(change_of_phase(changed)?),
        Body::SpecReplaced(replaced) => change = Some(change_of_spec(replaced)?),
        Body::Output(output) if output.stream() == wire::output::Stream::Unspecified => {
            return Err((".output.stream", "it is neither STDOUT nor STDERR".to_owned()));
        }
        Body::TextAppended(text) if text.target() == wire::text_appended::Target::Unspecified => {
            return Err((".text_appended.target", "it names no target".to_owned()));
        }
        Body::ListTruncated(list) if list.list() == wire::list_truncated::List::Unspecified => {
            return Err((".list_truncated.list", "it names no list".to_owned()));
        }
        Body::Custom(custom) => custom_type = Some(type_of_custom(custom)?),
        _ => {}
    }
    Ok(Parsed { type_tag: type_tag(body), custom_type, change })
}

fn type_of_custom(custom: &wire::CustomEvent) -> Result<std::sync::Arc<str>, Wrong> {
    match custom.r#type.len() {
        0 => Err((".custom.type", "a custom event has a type".to_owned())),
        length if length > CUSTOM_TYPE_BYTES_MAX => {
            Err((".custom.type", format!("it has {length} bytes, the limit is {CUSTOM_TYPE_BYTES_MAX}")))
        }
        _ => Ok(custom.r#type.as_str().into()),
    }
}

fn change_of_created(created: &wire::ExecutionCreated) -> Result<HeadChange, Wrong> {
    let spec = created.spec.as_ref();
    Ok(HeadChange {
        phase: Some(Phase::Pending),
        session_id: head_text("session_id", spec.map(|spec| spec.session_id.as_str()))?,
        agent_id: head_text("agent_id", spec.map(|spec| spec.agent_id.as_str()))?,
        display_name: head_text("display_name", Some(&created.display_name))?,
        ..HeadChange::default()
    })
}

fn change_of_spec(replaced: &wire::SpecReplaced) -> Result<HeadChange, Wrong> {
    let execution = replaced.execution.as_ref();
    let spec = execution.and_then(|execution| execution.spec.as_ref());
    let metadata = execution.and_then(|execution| execution.metadata.as_ref());
    Ok(HeadChange {
        session_id: head_text(".spec_replaced.session_id", spec.map(|spec| spec.session_id.as_str()))?,
        agent_id: head_text(".spec_replaced.agent_id", spec.map(|spec| spec.agent_id.as_str()))?,
        display_name: head_text(".spec_replaced.name", metadata.map(|metadata| metadata.name.as_str()))?,
        ..HeadChange::default()
    })
}

fn head_text(field: &'static str, text: Option<&str>) -> Result<Option<String>, Wrong> {
    match text {
        Some(text) if text.len() > HEAD_TEXT_BYTES_MAX => {
            Err((field, format!("it has {} bytes, the limit is {HEAD_TEXT_BYTES_MAX}", text.len())))
        }
        text => Ok(text.filter(|text| !text.is_empty()).map(str::to_owned)),
    }
}

fn change_of_phase(changed: &wire::PhaseChanged) -> Result<HeadChange, Wrong> {
    let phase = u8::try_from(changed.phase).ok().and_then(Phase::from_number);
    let Some(phase) = phase else {
        return Err((".phase_changed.phase", format!("{} is not a phase", changed.phase)));
    };
    let error = Some(shortened(&changed.error, HEAD_ERROR_BYTES_MAX)).filter(|error| !error.is_empty());
    Ok(HeadChange { phase: Some(phase), error: error.map(str::to_owned), ..HeadChange::default() })
}

/// The beginning of a text that fits so many bytes, cut between characters.
fn shortened(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// The number of a body's field in `Event`.
fn type_tag(body: &Body) -> u32 {
    match body {
        Body::Created(_) => CREATED,
        Body::PhaseChanged(_) => 11,
        Body::MessageAdded(_) => 12,
        Body::MessageTextAppended(_) => 13,
        Body::MessageReplaced(_) => 14,
        Body::ToolCallSet(_) => 15,
        Body::SubAgentSet(_) => 16,
        Body::TodoSet(_) => 17,
        Body::TodoRemoved(_) => 18,
        Body::ListTruncated(_) => 19,
        Body::SpecReplaced(_) => SPEC_REPLACED,
        Body::Output(_) => 21,
        Body::TextAppended(_) => 22,
        Body::MessageToolCallSet(_) => 23,
        Body::Custom(_) => 30,
    }
}

#[cfg(test)]
mod tests;

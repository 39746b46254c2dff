//! From the wire to the engine: an event's body becomes canonical bytes with a type tag and the change
//! it makes in the head. Only our own re-encoding is stored, so that a retry with another order of map
//! entries or with unknown fields is the same event. It must never trust a number from the wire.

use bytes::BytesMut;
use prost::Message;
use tapeline_storage::NewEvent;
use tapeline_storage::limits::{APPEND_BYTES_MAX, APPEND_EVENTS_MAX, CUSTOM_TYPE_BYTES_MAX};

use super::head_change;
use super::invalid::{Excess, Invalid};
use super::kind;
use super::nesting;
use super::phase;
use crate::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX, EVENT_BYTES_MAX};
use crate::proto::stigmer::agentexecution::AgentExecution;
use crate::proto::v1::event::Body;
use crate::proto::v1::{
    Event, ExecutionCreated, MessageAdded, MessageReplaced, MessageTextAppended, MessageToolCallSet,
    list_truncated, output, text_appended,
};

/// The batch of a client, checked and encoded: 1..=1,000 events, 1 MiB an event, 4 MiB in all; no
/// `created`; a terminal phase only at the end.
pub fn client_batch(events: Vec<Event>) -> Result<Vec<NewEvent>, Invalid> {
    if events.is_empty() {
        return Err(Invalid::field("events", "a batch has at least one event"));
    }
    if let Some(excess) = Excess::over(BATCH_EVENTS_MAX, events.len()) {
        return Err(Invalid::BatchTooLarge { what: "events", excess });
    }
    let last = events.len() - 1;
    let mut bodies = Vec::with_capacity(events.len());
    for (index, event) in events.into_iter().enumerate() {
        let body = event.body.ok_or_else(|| Invalid::field(at(index), "an event needs a body"))?;
        check_body(index, &body, index == last)?;
        bodies.push(body);
    }
    encode(bodies, BATCH_BYTES_MAX, |index, _| at(index))
}

/// A batch that the daemon made itself: as many events and bytes as the engine takes in one append, and
/// 1 MiB an event. Whoever caused it knows of no events, so what is refused is named by what an event is
/// about.
pub fn internal_batch(bodies: Vec<Body>) -> Result<Vec<NewEvent>, Invalid> {
    if let Some(excess) = Excess::over(APPEND_EVENTS_MAX, bodies.len()) {
        return Err(Invalid::BatchTooLarge { what: "events", excess });
    }
    encode(bodies, APPEND_BYTES_MAX, |_, body| place(body))
}

/// The first event of an execution. All else in it is bounded, so one that is too large has such a spec.
pub fn created(created: ExecutionCreated) -> Result<NewEvent, Invalid> {
    let mut events = encode(vec![Body::Created(created)], BATCH_BYTES_MAX, |_, body| place(body))?;
    Ok(events.pop().expect("one body makes one event"))
}

/// Encodes a batch into one buffer and gives each event its slice of it. `place_of` names an event in an
/// error.
fn encode(
    bodies: Vec<Body>,
    bytes_max: usize,
    place_of: impl Fn(usize, &Body) -> String,
) -> Result<Vec<NewEvent>, Invalid> {
    let bare: Vec<Event> =
        bodies.into_iter().map(|body| Event { body: Some(body), ..Default::default() }).collect();
    let lengths: Vec<usize> = bare.iter().map(Event::encoded_len).collect();
    for (index, (event, length)) in bare.iter().zip(&lengths).enumerate() {
        if let (Some(excess), Some(body)) = (Excess::over(EVENT_BYTES_MAX, *length), &event.body) {
            return Err(Invalid::EventTooLarge { field: place_of(index, body), excess });
        }
    }
    let total = lengths.iter().sum();
    if let Some(excess) = Excess::over(bytes_max, total) {
        return Err(Invalid::BatchTooLarge { what: "bytes", excess });
    }
    let mut buffer = BytesMut::with_capacity(total);
    let mut events = Vec::with_capacity(bare.len());
    for (index, event) in bare.into_iter().enumerate() {
        event.encode_raw(&mut buffer);
        let body = event.body.as_ref().expect("each has a body");
        let payload = buffer.split().freeze();
        nesting::check(|| place_of(index, body), body, &payload)?;
        events.push(NewEvent {
            type_tag: kind::of(body),
            custom_type: custom_type(body),
            head_change: head_change::of(index, body)?.map(Box::new),
            payload,
        });
    }
    Ok(events)
}

fn custom_type(body: &Body) -> Option<std::sync::Arc<str>> {
    match body {
        Body::Custom(custom) => Some(custom.r#type.as_str().into()),
        _ => None,
    }
}

/// What can be said of a body without knowing the execution; [`super::rules`] says the rest.
fn check_body(index: usize, body: &Body, is_last: bool) -> Result<(), Invalid> {
    let unspecified =
        |field: &str| Err(Invalid::field(format!("{}.{field}", at(index)), "must be specified"));
    match body {
        Body::Created(_) => {
            let field = format!("{}.created", at(index));
            Err(Invalid::field(field, "only the daemon writes this event, at the creation"))
        }
        Body::PhaseChanged(changed) => match phase::from_wire(changed.phase) {
            None => unspecified("phase_changed.phase"),
            Some(phase) if phase.is_terminal() && !is_last => {
                let field = format!("{}.phase_changed.phase", at(index));
                Err(Invalid::field(field, "a terminal phase must be the last event of its batch"))
            }
            Some(_) => Ok(()),
        },
        Body::ListTruncated(cut) if !is_list(cut.list) => unspecified("list_truncated.list"),
        Body::Output(output) if !is_stream(output.stream) => unspecified("output.stream"),
        Body::TextAppended(text) if !is_target(text.target) => unspecified("text_appended.target"),
        Body::Custom(custom) => {
            let field = format!("{}.custom.type", at(index));
            Invalid::check_length(&field, &custom.r#type, 1, CUSTOM_TYPE_BYTES_MAX)
        }
        _ => Ok(()),
    }
}

fn is_list(number: i32) -> bool {
    list_truncated::List::try_from(number).is_ok_and(|list| list != list_truncated::List::Unspecified)
}

fn is_stream(number: i32) -> bool {
    output::Stream::try_from(number).is_ok_and(|stream| stream != output::Stream::Unspecified)
}

fn is_target(number: i32) -> bool {
    text_appended::Target::try_from(number).is_ok_and(|target| target != text_appended::Target::Unspecified)
}

fn at(index: usize) -> String {
    format!("events[{index}]")
}

fn larger_part(execution: Option<&AgentExecution>) -> &'static str {
    let (metadata, spec) = execution.map_or((0, 0), |execution| {
        let metadata = execution.metadata.as_ref().map_or(0, Message::encoded_len);
        (metadata, execution.spec.as_ref().map_or(0, Message::encoded_len))
    });
    if spec > metadata { "spec" } else { "metadata" }
}

/// The part of an execution that a body says something of.
fn place(body: &Body) -> String {
    match body {
        Body::Created(_) => "spec".to_owned(),
        Body::SpecReplaced(replaced) => larger_part(replaced.execution.as_ref()).to_owned(),
        Body::PhaseChanged(_) => "status.error".to_owned(),
        Body::MessageAdded(MessageAdded { index, .. })
        | Body::MessageReplaced(MessageReplaced { index, .. })
        | Body::MessageTextAppended(MessageTextAppended { index, .. }) => format!("status.messages[{index}]"),
        Body::MessageToolCallSet(MessageToolCallSet { index, tool_call_index, .. }) => {
            format!("status.messages[{index}].tool_calls[{tool_call_index}]")
        }
        Body::ToolCallSet(call) => format!("status.tool_calls[{}]", call.index),
        Body::SubAgentSet(agent) => format!("status.sub_agent_executions[{}]", agent.index),
        Body::TodoSet(_) | Body::TodoRemoved(_) => "status.todos".to_owned(),
        Body::ListTruncated(_) | Body::TextAppended(_) | Body::Output(_) | Body::Custom(_) => {
            "status".to_owned()
        }
    }
}

#[cfg(test)]
mod tests;

//! Messages as JSON and back, by the descriptors that the daemon's reflection serves too, so that a
//! field cannot be forgotten. Names are those of the `.proto` files, 64-bit numbers are numbers, times
//! are RFC 3339, durations end in `s`, enum values have their full names. Fields at their default are
//! shown, so that a script finds them; a message that is not set is left out.
//!
//! Two things differ from protobuf's JSON: the `data` of an output or custom event is text where it is
//! valid UTF-8, else the field is called `data_base64`; and what is no number in free-form data, which
//! that JSON has no form for, is the text `NaN`, `inf` or `-inf`.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, ReflectMessage, SerializeOptions, Value as Field,
};
use serde_json::{Map, Value};

use super::exit::CliError;
use crate::proto::descriptors;
use crate::proto::v1::Event;
use crate::proto::v1::event::Body;

static POOL: LazyLock<DescriptorPool> = LazyLock::new(descriptors);

/// A message as JSON, by its full name, or by its name in the package `tapeline.v1`.
pub(crate) fn value_of(name: &str, message: &impl Message) -> Value {
    let Some(mut dynamic) = dynamic(name, &message.encode_to_vec()) else { return Value::Null };
    serialized(&dynamic)
        .or_else(|_| {
            name_what_is_no_number(&mut dynamic);
            serialized(&dynamic)
        })
        // The one message that has no JSON is a time beyond the year 9999; its line says so and no more.
        .unwrap_or_else(|error| Value::String(format!("{name} has no JSON: {error}")))
}

fn serialized(message: &DynamicMessage) -> Result<Value, serde_json::Error> {
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .stringify_64_bit_integers(false)
        .skip_default_fields(false);
    message.serialize_with_options(serde_json::value::Serializer, &options)
}

/// Turns what is no number into its name, wherever free-form data has it. Messages are nested as deep as
/// their decoder allows.
fn name_what_is_no_number(message: &mut DynamicMessage) {
    if message.descriptor().full_name() == "google.protobuf.Value" {
        let number = message.get_field_by_name("number_value").and_then(|number| number.as_f64());
        if let Some(number) = number.filter(|number| !number.is_finite()) {
            message.set_field_by_name("string_value", Field::String(number.to_string()));
        }
    }
    for (_, field) in message.fields_mut() {
        match field {
            Field::Message(inner) => name_what_is_no_number(inner),
            Field::List(list) => {
                list.iter_mut().filter_map(Field::as_message_mut).for_each(name_what_is_no_number)
            }
            Field::Map(map) => {
                map.values_mut().filter_map(Field::as_message_mut).for_each(name_what_is_no_number)
            }
            _ => {}
        }
    }
}

/// An event as JSON, with the execution it belongs to.
pub(crate) fn event_value(event: &Event, execution_id: &str) -> Value {
    let mut value = value_of("Event", event);
    let Some(fields) = value.as_object_mut() else { return value };
    fields.insert("execution_id".to_owned(), Value::String(execution_id.to_owned()));
    match &event.body {
        Some(Body::Output(output)) => show_data(fields, "output", &output.data),
        Some(Body::Custom(custom)) => show_data(fields, "custom", &custom.data),
        _ => {}
    }
    value
}

/// The event that a JSON object describes; only its body is read. What [`event_value`] writes can be
/// read again.
///
/// # Errors
/// [`CliError::Usage`], saying what is wrong.
pub(crate) fn event_of(text: &str) -> Result<Event, CliError> {
    let mut value: Value = serde_json::from_str(text).map_err(|error| usage(&error))?;
    let fields =
        value.as_object_mut().ok_or_else(|| CliError::Usage("an event is a JSON object".to_owned()))?;
    for given_by_the_daemon in ["seq", "record_time", "recordTime", "position", "execution_id", "executionId"]
    {
        fields.remove(given_by_the_daemon);
    }
    for kind in ["output", "custom"] {
        read_data(fields, kind)?;
    }
    let event = event_from(value)?;
    if event.body.is_none() {
        return Err(CliError::Usage(format!("an event needs one of: {}", body_names().join(", "))));
    }
    Ok(event)
}

/// The names of the kinds of events: the fields of `Event.body`.
pub(crate) fn body_names() -> Vec<String> {
    let event = POOL.get_message_by_name("tapeline.v1.Event");
    let body = event.and_then(|event| event.oneofs().find(|oneof| oneof.name() == "body"));
    body.map(|body| body.fields().map(|field| field.name().to_owned()).collect()).unwrap_or_default()
}

fn event_from(value: Value) -> Result<Event, CliError> {
    let descriptor = POOL.get_message_by_name("tapeline.v1.Event").expect("the event is in the descriptors");
    let options = DeserializeOptions::new();
    let dynamic = DynamicMessage::deserialize_with_options(descriptor, value, &options)
        .map_err(|error| usage(&error))?;
    Event::decode(dynamic.encode_to_vec().as_slice()).map_err(|error| usage(&error))
}

fn dynamic(name: &str, bytes: &[u8]) -> Option<DynamicMessage> {
    let native = || POOL.get_message_by_name(&format!("tapeline.v1.{name}"));
    let descriptor = if name.contains('.') { POOL.get_message_by_name(name) } else { native() }?;
    DynamicMessage::decode(descriptor, bytes).ok()
}

/// Shows bytes as text if they are, under another name if not. The field keeps its place.
fn show_data(fields: &mut Map<String, Value>, kind: &str, data: &Bytes) {
    let Some(body) = fields.get_mut(kind).and_then(Value::as_object_mut) else { return };
    let shown =
        std::mem::take(body).into_iter().map(|(name, value)| match (name.as_str(), str::from_utf8(data)) {
            ("data", Ok(text)) => (name, Value::String(text.to_owned())),
            ("data", Err(_)) => ("data_base64".to_owned(), value),
            _ => (name, value),
        });
    *body = shown.collect();
}

/// The other way round: what protobuf's JSON wants to read.
fn read_data(fields: &mut Map<String, Value>, kind: &str) -> Result<(), CliError> {
    let Some(body) = fields.get_mut(kind).and_then(Value::as_object_mut) else { return Ok(()) };
    let encoded = body.remove("data_base64");
    let text = body.get("data").and_then(Value::as_str).map(|text| BASE64.encode(text));
    match (encoded, text) {
        (Some(_), Some(_)) => Err(CliError::Usage(format!("{kind} has both data and data_base64"))),
        (Some(value), None) => {
            body.insert("data".to_owned(), value);
            Ok(())
        }
        (None, Some(text)) => {
            body.insert("data".to_owned(), Value::String(text));
            Ok(())
        }
        (None, None) => Ok(()),
    }
}

fn usage(error: &dyn std::fmt::Display) -> CliError {
    CliError::Usage(format!("not an event: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use prost_types::value::Kind;
    use prost_types::{ListValue, Struct};

    use super::*;
    use crate::proto::stigmer::agentexecution::{AgentExecutionStatus, ToolCall};
    use crate::proto::v1::output::Stream;
    use crate::proto::v1::{CustomEvent, MessageTextAppended, Output, Phase, PhaseChanged};

    fn event(body: Body) -> Event {
        Event { seq: 7, position: 1 << 60, body: Some(body), ..Event::default() }
    }

    fn output(data: &'static [u8]) -> Event {
        let data = Bytes::from_static(data);
        event(Body::Output(Output { stream: Stream::Stdout as i32, data, truncated: false }))
    }

    #[test]
    fn names_numbers_and_order_are_stable() {
        let text = event_value(&output(b"hi\n"), "e1").to_string();
        assert_eq!(
            text,
            r#"{"seq":7,"position":1152921504606846976,"execution_id":"e1","output":{"stream":"STREAM_STDOUT","data":"hi\n","truncated":false}}"#
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_base64_under_another_name() {
        let value = event_value(&output(b"\xff\x00"), "e1");
        assert_eq!(value["output"]["data_base64"], "/wA=");
        assert!(value["output"].get("data").is_none());
    }

    #[test]
    fn fields_at_their_default_are_shown_and_unset_messages_are_not() {
        let phase = PhaseChanged { phase: Phase::InProgress as i32, ..PhaseChanged::default() };
        let value = event_value(&event(Body::PhaseChanged(phase)), "e1");
        assert_eq!(value["phase_changed"]["phase"], "PHASE_IN_PROGRESS");
        assert_eq!(value["phase_changed"]["error"], "");
        assert!(value["phase_changed"].get("exit").is_none());
    }

    #[test]
    fn what_is_wrong_with_an_event_is_said() {
        for (text, said) in [
            ("[]", "object"),
            ("{", "not an event"),
            ("{}", "phase_changed"),
            (r#"{"nothing":{}}"#, "nothing"),
            (r#"{"todo_removed":{"id":1}}"#, "not an event"),
            (r#"{"output":{"data":"a","data_base64":"YQ=="}}"#, "both"),
            (r#"{"output":{"data_base64":"%"}}"#, "not an event"),
            (r#"{"todo_removed":{"id":"a"},"output":{"data":"a"}}"#, "not an event"),
        ] {
            let error = event_of(text).expect_err(text).to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn every_kind_of_event_can_be_written_and_read() {
        for name in body_names() {
            let read = event_of(&format!(r#"{{"{name}":{{}}}}"#)).expect("an empty body");
            let value = event_value(&read, "e1");
            assert!(value.get(&name).is_some(), "{name} is missing in {value}");
            assert_eq!(event_of(&value.to_string()).expect("what was written").body, read.body);
        }
        assert_eq!(body_names().len(), 15);
    }

    #[test]
    fn structured_metadata_is_plain_json() {
        let text = r#"{"tool_call_set":{"index":2,"tool_call":{"name":"grep","args":{"n":1.5,"deep":[null,true,{"a":"b"}]}}}}"#;
        let value = event_value(&event_of(text).expect("an event"), "e1");
        assert_eq!(value["tool_call_set"]["tool_call"]["args"]["deep"][2]["a"], "b");
        assert_eq!(value["tool_call_set"]["tool_call"]["status"], "TOOL_CALL_STATUS_UNSPECIFIED");
    }

    #[test]
    fn what_is_no_number_does_not_take_the_rest_with_it() {
        let number = |number| prost_types::Value { kind: Some(Kind::NumberValue(number)) };
        let list = ListValue { values: vec![number(f64::NEG_INFINITY), number(2.0)] };
        let list = prost_types::Value { kind: Some(Kind::ListValue(list)) };
        let fields = [("a".to_owned(), number(f64::NAN)), ("b".to_owned(), list)].into();
        let tool_call = ToolCall { name: "t".into(), args: Some(Struct { fields }), ..Default::default() };
        let status = AgentExecutionStatus { tool_calls: vec![tool_call], ..Default::default() };
        let value = value_of("ai.stigmer.agentic.agentexecution.v1.AgentExecutionStatus", &status);
        let call = &value["tool_calls"][0];
        assert_eq!(call["name"], "t");
        assert_eq!(call["args"], serde_json::json!({ "a": "NaN", "b": ["-inf", 2.0] }));
    }

    proptest! {
        #[test]
        fn an_event_that_is_written_is_read_again(
            data in proptest::collection::vec(any::<u8>(), 0..40),
            text in any::<String>(),
            index in any::<u32>(),
        ) {
            let custom = CustomEvent {
                r#type: text.clone(), content_type: text.clone(), data: data.into(),
                attributes: [(text.clone(), text.clone())].into(),
            };
            for body in [Body::Custom(custom), Body::MessageTextAppended(MessageTextAppended { index, text })] {
                let written = event_value(&event(body.clone()), "e1").to_string();
                prop_assert_eq!(event_of(&written).expect("what was written").body, Some(body));
            }
        }
    }
}

//! The words and marks of a transcript: who speaks, where things stand, how long they took, what a tool
//! was given. Pure.

use std::borrow::Cow;

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};
use prost_types::value::Kind;
use prost_types::{Struct, Value};

use crate::cli::output::Paint;
use crate::cli::printable::printable_short;
use crate::proto::stigmer::agentexecution::{MessageType, SubAgentStatus, TodoStatus, ToolCallStatus};

/// Letters of a tool's result, an error or another aside that are shown on a line.
pub(super) const ASIDE_LETTERS_MAX: usize = 160;
/// Letters of a name that are remembered.
pub(super) const NAME_LETTERS_MAX: usize = 40;
/// Letters of a tool's arguments that are shown.
const ARGS_LETTERS_MAX: usize = 120;

pub(super) fn speaker(of: MessageType) -> &'static str {
    match of {
        MessageType::MessageHuman => "human",
        MessageType::MessageAi => "ai",
        MessageType::MessageTool => "tool",
        MessageType::MessageSystem => "system",
        MessageType::Unspecified => "message",
    }
}

/// The head of a message in the colour of who speaks.
pub(super) fn paint_speaker(paint: Paint, speaker: &str, head: &str) -> String {
    match speaker {
        "human" => paint.person(head),
        "ai" => paint.model(head),
        _ => paint.aside(head),
    }
}

pub(super) fn tool_status(status: ToolCallStatus) -> &'static str {
    match status {
        ToolCallStatus::ToolCallPending => "pending",
        ToolCallStatus::ToolCallRunning => "running",
        ToolCallStatus::ToolCallCompleted => "completed",
        ToolCallStatus::ToolCallFailed => "failed",
        ToolCallStatus::Unspecified => "",
    }
}

pub(super) fn sub_agent_status(status: SubAgentStatus) -> &'static str {
    match status {
        SubAgentStatus::SubAgentPending => "pending",
        SubAgentStatus::SubAgentInProgress => "in progress",
        SubAgentStatus::SubAgentCompleted => "completed",
        SubAgentStatus::SubAgentFailed => "failed",
        SubAgentStatus::Unspecified => "",
    }
}

pub(super) fn mark(status: TodoStatus) -> &'static str {
    match status {
        TodoStatus::TodoCompleted => "[x]",
        TodoStatus::TodoInProgress => "[>]",
        TodoStatus::TodoCancelled => "[-]",
        TodoStatus::TodoPending | TodoStatus::Unspecified => "[ ]",
    }
}

/// Whether something in this status has ended.
pub(super) fn is_over(status: &str) -> bool {
    matches!(status, "completed" | "failed")
}

/// From one status to the next, or the one there is, with a blank before it; empty if there is none.
pub(super) fn status_change(paint: Paint, before: &str, after: &str) -> String {
    let painted = match after {
        "completed" => paint.good(after),
        "failed" => paint.bad(after),
        _ => after.to_owned(),
    };
    match (before, after) {
        ("", "") => String::new(),
        _ if before.is_empty() || before == after => format!(" {painted}"),
        _ => format!(" {before} → {painted}"),
    }
}

/// How long something took: by its own times if both are there, else by when its events were recorded.
pub(super) fn lasted(started: &str, completed: &str, recorded: Option<SignedDuration>) -> Option<String> {
    let took = between(started, completed).or(recorded)?;
    (!took.is_negative()).then(|| format!(" in {}", duration_short(took)))
}

/// The time between two ISO 8601 times, both with a zone or both without.
fn between(started: &str, completed: &str) -> Option<SignedDuration> {
    if let (Ok(started), Ok(completed)) = (started.parse::<Timestamp>(), completed.parse::<Timestamp>()) {
        return Some(completed.duration_since(started));
    }
    let started: DateTime = started.parse().ok()?;
    let completed: DateTime = completed.parse().ok()?;
    Some(completed.duration_since(started))
}

fn duration_short(took: SignedDuration) -> String {
    let (seconds, tenths) = (took.as_secs(), took.subsec_nanos() / 100_000_000);
    match seconds {
        0..60 => format!("{seconds}.{tenths} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// What a tool was given, as `key=value`; as much of it as a line takes.
pub(super) fn args_short(args: &Struct) -> String {
    let mut text = String::new();
    for (key, value) in &args.fields {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(begin_of(key));
        text.push('=');
        push_value(&mut text, value);
        if is_long(&text) {
            break;
        }
    }
    printable_short(&text, ARGS_LETTERS_MAX)
}

/// Adds a value as JSON, and stops somewhere behind what is shown.
fn push_value(text: &mut String, value: &Value) {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => text.push_str("null"),
        Some(Kind::NumberValue(number)) => text.push_str(&number.to_string()),
        Some(Kind::BoolValue(is)) => text.push_str(if *is { "true" } else { "false" }),
        Some(Kind::StringValue(string)) => {
            text.push('"');
            text.push_str(&begin_of(string).replace('"', "\\\""));
            text.push('"');
        }
        Some(Kind::ListValue(list)) => {
            push_all(text, ('[', ']'), list.values.iter().map(|value| (Cow::Borrowed(""), value)));
        }
        Some(Kind::StructValue(fields)) => {
            let fields = fields.fields.iter();
            push_all(
                text,
                ('{', '}'),
                fields.map(|(key, value)| (format!("{}: ", begin_of(key)).into(), value)),
            );
        }
    }
}

fn push_all<'a>(
    text: &mut String,
    (open, close): (char, char),
    values: impl Iterator<Item = (Cow<'a, str>, &'a Value)>,
) {
    text.push(open);
    for (at, (key, value)) in values.enumerate() {
        if is_long(text) {
            break;
        }
        if at > 0 {
            text.push_str(", ");
        }
        text.push_str(&key);
        push_value(text, value);
    }
    text.push(close);
}

fn is_long(text: &str) -> bool {
    text.len() > 4 * ARGS_LETTERS_MAX
}

/// As much of a text as can be shown, and a letter more, so that it is seen to be cut.
fn begin_of(text: &str) -> &str {
    text.char_indices().nth(ARGS_LETTERS_MAX + 1).map_or(text, |(end, _)| &text[..end])
}

//! Events as a transcript for people. What programs wrote stands as they wrote it; everything else has a
//! line that begins with its time and kind, and a text that grows is shown growing. All of it is made
//! printable. It knows no terminal but for colours: what it returns is text.

use std::collections::BTreeMap;

use super::output::Paint;
use super::printable::{PrintableBytes, printable, printable_line, printable_short};
use super::values::{phase_name, shown_clock};
use crate::proto::stigmer::agentexecution::{
    AgentMessage, MessageType, SubAgentExecution, SubAgentStatus, TodoItem, TodoStatus, ToolCall,
    ToolCallStatus,
};
use crate::proto::v1::event::Body;
use crate::proto::v1::exit_status::Status;
use crate::proto::v1::list_truncated::List;
use crate::proto::v1::output::Stream;
use crate::proto::v1::text_appended::Target;
use crate::proto::v1::{CustomEvent, Event, Output, PhaseChanged};

/// Letters of a tool's arguments, result or other aside that are shown on a line.
const ASIDE_LETTERS_MAX: usize = 160;
/// Where the text of a line begins: after `12:34:56 ` and the kind.
const INDENT: &str = "                    ";

/// Turns events into text, one after the other.
pub(crate) struct Pretty {
    paint: Paint,
    /// The text that the last line belongs to and that may grow.
    open: Option<Open>,
    at_line_start: bool,
    stdout: PrintableBytes,
    stderr: PrintableBytes,
    /// Who speaks in which message, as far as it was seen.
    speakers: BTreeMap<u32, &'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Output(Stream),
    Message(u32),
    ToolResult(u32),
    SubAgent(u32),
}

impl Pretty {
    /// A transcript that has not begun.
    pub(crate) fn new(paint: Paint) -> Self {
        let (stdout, stderr) = (PrintableBytes::default(), PrintableBytes::default());
        Self { paint, open: None, at_line_start: true, stdout, stderr, speakers: BTreeMap::new() }
    }

    /// What is to be shown for the next event; may be empty, and may end inside a line.
    pub(crate) fn event(&mut self, event: &Event) -> String {
        let mut text = String::new();
        if let Some(body) = &event.body {
            self.body(&mut text, &clock(event), body);
        }
        text
    }

    /// A remark of our own, on a line of its own.
    pub(crate) fn remark(&mut self, remark: &str) -> String {
        let mut text = String::new();
        self.close(&mut text);
        text.push_str(&self.paint.dim(&format!("-- {remark}")));
        text.push('\n');
        text
    }

    /// What is still held back, at the end.
    pub(crate) fn finish(&mut self) -> String {
        let mut text = String::new();
        self.close(&mut text);
        text
    }

    fn body(&mut self, text: &mut String, clock: &str, body: &Body) {
        match body {
            Body::Created(created) => {
                let name = printable_line(&created.display_name);
                let asked =
                    created.spec.as_ref().map(|spec| printable_short(&spec.message, ASIDE_LETTERS_MAX));
                self.line(
                    text,
                    clock,
                    "created",
                    [name.as_ref(), &asked.unwrap_or_default()].join(" ").trim(),
                );
            }
            Body::PhaseChanged(changed) => self.line(text, clock, "phase", &self.phase(changed)),
            Body::MessageAdded(added) => self.message(text, clock, added.index, added.message.as_ref()),
            Body::MessageReplaced(replaced) => {
                self.message(text, clock, replaced.index, replaced.message.as_ref())
            }
            Body::MessageTextAppended(more) => {
                let speaker = self.speakers.get(&more.index).copied().unwrap_or("message");
                self.grow(text, clock, Open::Message(more.index), speaker, &more.text);
            }
            Body::TextAppended(more) => match more.target() {
                Target::SubAgentOutput => {
                    self.grow(text, clock, Open::SubAgent(more.index), "sub-agent", &more.text);
                }
                _ => self.grow(text, clock, Open::ToolResult(more.index), "result", &more.text),
            },
            Body::ToolCallSet(set) => self.tool_call(text, clock, set.tool_call.as_ref()),
            Body::MessageToolCallSet(set) => self.tool_call(text, clock, set.tool_call.as_ref()),
            Body::SubAgentSet(set) => self.line(text, clock, "sub-agent", &sub_agent(set.sub_agent.as_ref())),
            Body::TodoSet(set) => self.line(text, clock, "todo", &todo(&set.id, set.item.as_ref())),
            Body::TodoRemoved(removed) => {
                self.line(text, clock, "todo", &format!("removed {}", printable_line(&removed.id)));
            }
            Body::ListTruncated(cut) => {
                let list = match cut.list() {
                    List::Messages => "messages",
                    List::ToolCalls => "tool calls",
                    List::SubAgents => "sub-agents",
                    List::Unspecified => "entries",
                };
                self.line(text, clock, "cut", &format!("{} {list} are left", cut.length));
            }
            Body::SpecReplaced(_) => self.line(text, clock, "spec", "what was asked for was replaced"),
            Body::Output(output) => self.output(text, output),
            Body::Custom(custom) => self.line(text, clock, "custom", &custom_text(custom)),
        }
    }

    fn line(&mut self, text: &mut String, clock: &str, kind: &str, what: &str) {
        self.close(text);
        self.head(text, clock, kind);
        text.push_str(what);
        text.truncate(text.trim_end().len());
        text.push('\n');
    }

    fn head(&self, text: &mut String, clock: &str, kind: &str) {
        text.push_str(&self.paint.dim(clock));
        text.push(' ');
        text.push_str(&self.paint.bold(kind));
        let width = clock.len() + 1 + kind.len();
        text.extend(std::iter::repeat_n(' ', INDENT.len().saturating_sub(width).max(1)));
    }

    /// Ends the line that may have grown.
    fn close(&mut self, text: &mut String) {
        match self.open.take() {
            Some(Open::Output(Stream::Stderr)) => text.push_str(&self.stderr.finish()),
            Some(Open::Output(_)) => text.push_str(&self.stdout.finish()),
            _ => {}
        }
        if !(if text.is_empty() { self.at_line_start } else { text.ends_with('\n') }) {
            text.push('\n');
        }
        self.at_line_start = true;
    }

    fn message(&mut self, text: &mut String, clock: &str, index: u32, message: Option<&AgentMessage>) {
        let speaker = match message.map_or(MessageType::Unspecified, AgentMessage::r#type) {
            MessageType::MessageHuman => "human",
            MessageType::MessageAi => "ai",
            MessageType::MessageTool => "tool",
            MessageType::MessageSystem => "system",
            MessageType::Unspecified => "message",
        };
        self.speakers.insert(index, speaker);
        self.close(text);
        self.grow(text, clock, Open::Message(index), speaker, message.map_or("", |message| &message.content));
        for call in message.map(|message| message.tool_calls.as_slice()).unwrap_or_default() {
            self.tool_call(text, clock, Some(call));
        }
    }

    /// More of a text: at the end of its line if that is still the last one, else on a line of its own.
    fn grow(&mut self, text: &mut String, clock: &str, what: Open, kind: &str, more: &str) {
        if self.open != Some(what) {
            self.close(text);
            self.head(text, clock, kind);
            self.open = Some(what);
        }
        text.push_str(&printable(more).replace('\n', &format!("\n{INDENT}")));
        self.at_line_start = false;
    }

    fn output(&mut self, text: &mut String, output: &Output) {
        let stream = output.stream();
        if self.open != Some(Open::Output(stream)) {
            self.close(text);
        }
        self.open = Some(Open::Output(stream));
        let shown = match stream {
            Stream::Stderr => self.paint.bad(&self.stderr.push(&output.data)),
            _ => self.stdout.push(&output.data),
        };
        text.push_str(&shown);
        if !shown.is_empty() {
            self.at_line_start = output.data.ends_with(b"\n");
        }
        if output.truncated {
            text.push_str(&self.remark("some of the output was given up here"));
        }
    }

    fn phase(&self, changed: &PhaseChanged) -> String {
        let name = phase_name(changed.phase());
        let painted = match name {
            "COMPLETED" => self.paint.good(name),
            "FAILED" | "CANCELLED" => self.paint.bad(name),
            _ => name.to_owned(),
        };
        let exit = match changed.exit.as_ref().and_then(|exit| exit.status) {
            Some(Status::Code(code)) => format!("exit code {code}"),
            Some(Status::Signal(signal)) => format!("signal {signal}"),
            None => String::new(),
        };
        // A run says its exit code as its error too; once is enough.
        let error =
            Some(printable_line(&changed.error)).filter(|error| !error.ends_with(&exit) || exit.is_empty());
        [painted, exit, error.unwrap_or_default().into_owned()].join(" ")
    }

    fn tool_call(&mut self, text: &mut String, clock: &str, call: Option<&ToolCall>) {
        let Some(call) = call else { return };
        let status = match call.status() {
            ToolCallStatus::ToolCallPending => "pending",
            ToolCallStatus::ToolCallRunning => "running",
            ToolCallStatus::ToolCallCompleted => "completed",
            ToolCallStatus::ToolCallFailed => "failed",
            ToolCallStatus::Unspecified => "",
        };
        let aside = [&call.error, &call.result].into_iter().find(|text| !text.is_empty());
        let aside = aside.map(|text| printable_short(text, ASIDE_LETTERS_MAX)).unwrap_or_default();
        self.line(text, clock, "tool", &format!("{} {status} {aside}", printable_line(&call.name)));
    }
}

/// The bytes an event adds to `-o raw`: what programs wrote, the texts of messages, custom data.
pub(crate) fn raw(event: &Event) -> &[u8] {
    match &event.body {
        Some(Body::Output(output)) => &output.data,
        Some(Body::Custom(custom)) => &custom.data,
        Some(Body::MessageTextAppended(more)) => more.text.as_bytes(),
        Some(Body::TextAppended(more)) => more.text.as_bytes(),
        Some(Body::MessageAdded(added)) => {
            added.message.as_ref().map_or(&[], |message| message.content.as_bytes())
        }
        _ => &[],
    }
}

fn clock(event: &Event) -> String {
    shown_clock(event.record_time.as_ref())
}

fn sub_agent(agent: Option<&SubAgentExecution>) -> String {
    let Some(agent) = agent else { return String::new() };
    let status = match agent.status() {
        SubAgentStatus::SubAgentPending => "pending",
        SubAgentStatus::SubAgentInProgress => "in progress",
        SubAgentStatus::SubAgentCompleted => "completed",
        SubAgentStatus::SubAgentFailed => "failed",
        SubAgentStatus::Unspecified => "",
    };
    let aside = [&agent.error, &agent.output, &agent.input].into_iter().find(|text| !text.is_empty());
    let aside = aside.map(|text| printable_short(text, ASIDE_LETTERS_MAX)).unwrap_or_default();
    format!("{} {status} {aside}", printable_line(&agent.name))
}

fn todo(id: &str, item: Option<&TodoItem>) -> String {
    let Some(item) = item else { return printable_line(id).into_owned() };
    let mark = match item.status() {
        TodoStatus::TodoCompleted => "[x]",
        TodoStatus::TodoInProgress => "[>]",
        TodoStatus::TodoCancelled => "[-]",
        TodoStatus::TodoPending | TodoStatus::Unspecified => "[ ]",
    };
    format!("{mark} {}", printable_short(&item.content, ASIDE_LETTERS_MAX))
}

fn custom_text(custom: &CustomEvent) -> String {
    let kind = printable_line(&custom.r#type);
    match str::from_utf8(&custom.data) {
        Ok(data) => format!("{kind} {}", printable_short(data, ASIDE_LETTERS_MAX)),
        Err(_) => format!("{kind} {} bytes", custom.data.len()),
    }
}

#[cfg(test)]
mod tests;

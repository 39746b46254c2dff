//! Events as a transcript for people. What programs wrote stands as they wrote it; everything else has a
//! line that begins with its time, its kind and its number. A text that grows is shown as it grows, and
//! every part of it once; when something else was said in between, the line of its continuation says
//! which text goes on. All of it is made printable. It knows no terminal but for colours: what it returns
//! is text. It must never keep what it has shown, only what tells whether it was shown.

mod page;
mod seen;
mod messages;
mod tool_calls;
mod sub_agents;
mod todos;
mod state;
mod words;

use jiff::Timestamp;

use super::output::Paint;
use super::printable::{printable, printable_line, printable_short};
use super::values::{local_time, phase_name, shown_clock};
use crate::proto::v1::event::Body;
use crate::proto::v1::exit_status::Status;
use crate::proto::v1::list_truncated::List;
use crate::proto::v1::text_appended::Target;
use crate::proto::v1::{
    CustomEvent, Event, ExecutionCreated, ListTruncated, PhaseChanged, SpecReplaced, TextAppended,
};

use page::Page;
use seen::{Key, Seen};
use words::ASIDE_LETTERS_MAX;

pub(crate) use state::state;

/// Turns events into text, one after the other. It outlives connections: what was shown before one was
/// lost is known after it.
pub(crate) struct Pretty {
    paint: Paint,
    page: Page,
    seen: Seen,
    /// When the event that is being shown was recorded.
    now: Option<Timestamp>,
}

impl Pretty {
    /// A transcript that has not begun.
    pub(crate) fn new(paint: Paint) -> Self {
        Self { paint, page: Page::timed(paint), seen: Seen::default(), now: None }
    }

    /// What is to be shown for the next event; may be empty, and may end inside a line.
    pub(crate) fn event(&mut self, event: &Event) -> String {
        self.now = local_time(event.record_time.as_ref());
        self.page.set_clock(shown_clock(event.record_time.as_ref()));
        if let Some(body) = &event.body {
            self.body(body);
        }
        self.page.take()
    }

    /// A remark of our own, on a line of its own.
    pub(crate) fn remark(&mut self, remark: &str) -> String {
        self.page.remark(remark);
        self.page.take()
    }

    /// What is still held back, at the end or before something that is not said here.
    pub(crate) fn finish(&mut self) -> String {
        self.page.close();
        self.page.take()
    }

    fn body(&mut self, body: &Body) {
        match body {
            Body::Created(created) => self.created(created),
            Body::PhaseChanged(changed) => self.phase(changed),
            Body::MessageAdded(added) => self.message_added(added.index, added.message.as_ref()),
            Body::MessageTextAppended(more) => self.message_grew(more.index, &more.text),
            Body::MessageReplaced(replaced) => {
                self.message_replaced(replaced.index, replaced.message.as_ref());
            }
            Body::ToolCallSet(set) => {
                self.tool_call(Key::ToolCall(set.index), set.tool_call.as_ref());
            }
            Body::MessageToolCallSet(set) => {
                let at = self.place_in_message(set.index, set.tool_call_index);
                self.tool_call(at, set.tool_call.as_ref());
            }
            Body::SubAgentSet(set) => {
                self.sub_agent(set.index, set.sub_agent.as_ref());
            }
            Body::TextAppended(more) => self.text_appended(more),
            Body::TodoSet(set) => self.todo(&set.id, set.item.as_ref()),
            Body::TodoRemoved(removed) => self.todo_removed(&removed.id),
            Body::ListTruncated(cut) => self.list_truncated(cut),
            Body::SpecReplaced(replaced) => self.spec_replaced(replaced),
            Body::Output(output) => self.page.output(output),
            Body::Custom(custom) => self.page.line("custom", &custom_text(custom)),
        }
    }

    fn created(&mut self, created: &ExecutionCreated) {
        let name = printable_line(&created.display_name);
        let asked = created.spec.as_ref().map(|spec| printable_short(&spec.message, ASIDE_LETTERS_MAX));
        self.page.line("created", [name.as_ref(), &asked.unwrap_or_default()].join(" ").trim());
    }

    fn spec_replaced(&mut self, replaced: &SpecReplaced) {
        let execution = replaced.execution.as_ref();
        let name = execution.and_then(|execution| execution.metadata.as_ref()).map(|data| &data.name);
        let asked = execution.and_then(|execution| execution.spec.as_ref()).map(|spec| &spec.message);
        let told: Vec<_> = [name, asked].into_iter().flatten().filter(|text| !text.is_empty()).collect();
        let told = told.into_iter().map(|text| printable_short(text, ASIDE_LETTERS_MAX)).collect::<Vec<_>>();
        self.page.line("spec", &format!("replaced: {}", told.join(" ")));
    }

    fn phase(&mut self, changed: &PhaseChanged) {
        let name = phase_name(changed.phase());
        let painted = match name {
            "COMPLETED" => self.paint.good(name),
            "FAILED" | "CANCELLED" => self.paint.bad(name),
            _ => name.to_owned(),
        };
        let exit = match changed.exit.as_ref().and_then(|exit| exit.status) {
            Some(Status::Code(code)) => format!(" exit code {code}"),
            Some(Status::Signal(signal)) => format!(" signal {signal}"),
            None => String::new(),
        };
        let times = [("began", &changed.started_at), ("ended", &changed.completed_at)]
            .map(|(what, time)| (what, printable_short(time, ASIDE_LETTERS_MAX)))
            .map(|(what, time)| if time.is_empty() { time } else { format!(", {what} {time}") });
        self.page.line("phase", &[painted, exit.clone(), times.concat()].concat());
        // A run says its exit code as its error too; once is enough.
        let error = printable(&changed.error);
        if !error.is_empty() && (exit.is_empty() || !error.ends_with(exit.trim_start())) {
            self.page.lines("error", &error);
        }
    }

    fn text_appended(&mut self, more: &TextAppended) {
        match more.target() {
            Target::ToolCallResult => self.result_grew(Key::ToolCall(more.index), &more.text),
            Target::MessageToolCallResult => {
                self.result_grew(Key::MessageToolCall(more.index, more.tool_call_index), &more.text);
            }
            Target::SubAgentOutput => self.sub_agent_grew(more.index, &more.text),
            // A newer daemon knows more that can grow.
            Target::Unspecified => self.page.line("text", &printable_short(&more.text, ASIDE_LETTERS_MAX)),
        }
    }

    fn list_truncated(&mut self, cut: &ListTruncated) {
        let list = match cut.list() {
            List::Messages => "messages",
            List::ToolCalls => "tool calls",
            List::SubAgents => "sub-agents",
            List::Unspecified => "entries",
        };
        self.seen.cut(cut.list(), cut.length);
        self.page.line("cut", &format!("{list}: {} left", cut.length));
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

fn custom_text(custom: &CustomEvent) -> String {
    let kind = printable_line(&custom.r#type);
    match str::from_utf8(&custom.data) {
        Ok(data) => format!("{kind} {}", printable_short(data, ASIDE_LETTERS_MAX)),
        Err(_) => format!("{kind} {} bytes", custom.data.len()),
    }
}

#[cfg(test)]
mod tests;

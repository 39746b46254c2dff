//! Tool calls, of the execution and of its messages: a line for each change of what a reader can see of
//! one, told apart by where it stands and not by what it says. Results are shortened.

use super::Pretty;
use super::seen::{Change, Entry, Key};
use super::words::{ASIDE_LETTERS_MAX, args_short, is_over, lasted, status_change, tool_status};
use crate::cli::limits::SHOWN_RESULT_LETTERS_MAX;
use crate::cli::printable::printable_short;
use crate::cli::values::bytes;
use crate::proto::stigmer::agentexecution::ToolCall;

impl Pretty {
    pub(super) fn tool_call(&mut self, at: Key, call: Option<&ToolCall>) {
        let nothing = ToolCall::default();
        let call = call.unwrap_or(&nothing);
        let before = self.seen.take(at).unwrap_or_default();
        let mut after = self.tool_call_entry(call);
        after.running_since = before.running_since;
        if after.word == "running" && before.word != "running" {
            after.running_since = self.now;
        }
        let result = self.seen.change(&before.text, &call.result);
        let same = before.word == after.word && before.frame == after.frame && before.error == after.error;
        if same && result == Change::Goes("") {
            (after.letters_left, after.told_bytes) = (before.letters_left, before.told_bytes);
        } else {
            let what = self.tool_call_line(call, &before, &after, result);
            self.page.line(&format!("call {}", number(at)), &what);
        }
        self.seen.put(at, after);
    }

    /// More of a result, up to a number of letters; after them, how much it has become.
    pub(super) fn result_grew(&mut self, at: Key, more: &str) {
        let unknown = || Entry { letters_left: SHOWN_RESULT_LETTERS_MAX, ..Entry::default() };
        let entry = self.seen.get_or_put(at, unknown);
        let is_first = entry.text.is_whole() && entry.text.bytes == 0;
        entry.text.add(more);
        let shown = more.char_indices().nth(entry.letters_left).map_or(more, |(end, _)| &more[..end]);
        let is_full = entry.letters_left == 0;
        entry.letters_left = entry.letters_left.saturating_sub(more.chars().count());
        let is_cut = shown.len() < more.len();
        let total = entry.text.bytes;
        if is_full && total < entry.told_bytes.saturating_mul(2) {
            return;
        }
        if is_cut {
            entry.told_bytes = total;
        }
        let kind = format!("result {}{}", number(at), if is_first { "" } else { " …" });
        if is_full {
            return self.page.line(&kind, &format!("{} so far", bytes(total)));
        }
        if !self.page.is_open(at) {
            self.page.begin(at, &kind, &self.paint.bold(&kind));
        }
        self.page.more(shown);
        if is_cut {
            self.page.aside(&format!("… ({} so far)", bytes(total)));
            self.page.close();
        }
    }

    fn tool_call_entry(&self, call: &ToolCall) -> Entry {
        let args = call.args.as_ref().map(prost::Message::encode_to_vec).unwrap_or_default();
        let letters = call.result.chars().take(ASIDE_LETTERS_MAX + 1).count();
        Entry {
            word: tool_status(call.status()),
            frame: self.seen.checksum(&[call.name.as_bytes(), &args]),
            error: self.seen.checksum(&[call.error.as_bytes()]),
            text: self.seen.text(&call.result),
            // Of a result that was cut, nothing further is shown.
            letters_left: if letters > ASIDE_LETTERS_MAX { 0 } else { SHOWN_RESULT_LETTERS_MAX - letters },
            told_bytes: call.result.len() as u64,
            ..Entry::default()
        }
    }

    fn tool_call_line(&self, call: &ToolCall, before: &Entry, after: &Entry, result: Change<'_>) -> String {
        let mut what = format!(
            "{}{}",
            printable_short(&call.name, ASIDE_LETTERS_MAX),
            status_change(self.paint, before.word, after.word)
        );
        if is_over(after.word) && before.word != after.word {
            let recorded = self.now.zip(before.running_since).map(|(now, since)| now.duration_since(since));
            what.extend(lasted(&call.started_at, &call.completed_at, recorded));
        }
        let args = call.args.as_ref().filter(|_| before.frame != after.frame);
        what.extend(args.map(args_short).filter(|args| !args.is_empty()).map(|args| format!(" {args}")));
        what.push_str(&shown_result(call, before, result));
        if before.error != after.error && !call.error.is_empty() {
            let error = printable_short(&call.error, ASIDE_LETTERS_MAX);
            what.push_str(&format!(": {}", self.paint.bad(&error)));
        }
        what
    }
}

/// The part of a result that was not shown, shortened, and how long the result is if that cannot be seen.
fn shown_result(call: &ToolCall, before: &Entry, change: Change<'_>) -> String {
    let (how, new) = match change {
        Change::Goes(more) if before.text.bytes == 0 => ("", more),
        Change::Goes(more) => ("…", more),
        Change::Other => ("replaced by ", call.result.as_str()),
        Change::Unknown => ("", call.result.as_str()),
    };
    let mut shown = String::new();
    if !new.is_empty() {
        shown = format!(": {how}{}", printable_short(new, ASIDE_LETTERS_MAX));
    } else if change == Change::Other {
        shown.push_str(": the result is empty now");
    }
    if new.len() < call.result.len() || new.chars().nth(ASIDE_LETTERS_MAX).is_some() {
        shown.push_str(&format!(" ({})", bytes(call.result.len() as u64)));
    }
    shown
}

/// The number of a tool call, as it is shown.
fn number(at: Key) -> String {
    match at {
        Key::MessageToolCall(message, call) => format!("#{message}.{call}"),
        Key::ToolCall(call) => format!("#{call}"),
        Key::Message(_) | Key::SubAgent(_) | Key::Todo(_) => String::new(),
    }
}

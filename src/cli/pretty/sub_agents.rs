//! Sub-agents: a line for each change of one, and its output as it grows.

use super::Pretty;
use super::seen::{Change, Entry, Key};
use super::words::{ASIDE_LETTERS_MAX, is_over, lasted, status_change, sub_agent_status};
use crate::cli::printable::printable_short;
use crate::proto::stigmer::agentexecution::SubAgentExecution;

impl Pretty {
    pub(super) fn sub_agent(&mut self, index: u32, agent: Option<&SubAgentExecution>) {
        let nothing = SubAgentExecution::default();
        let agent = agent.unwrap_or(&nothing);
        let key = Key::SubAgent(index);
        let known = self.seen.take(key);
        let before = known.clone().unwrap_or_default();
        let mut after = self.sub_agent_entry(agent);
        after.running_since = before.running_since;
        if after.word == "in progress" && before.word != "in progress" {
            after.running_since = self.now;
        }
        let same = before.word == after.word && before.frame == after.frame && before.error == after.error;
        if !same || known.is_none() {
            let what = self.sub_agent_line(agent, &before, &after);
            self.page.line(&format!("sub-agent #{index}"), &what);
        }
        let output = self.seen.change(&before.text, &agent.output);
        self.seen.put(key, after);
        match output {
            Change::Goes("") => {}
            Change::Goes(more) => self.says(index, before.text.bytes == 0, more),
            Change::Unknown if agent.output.is_empty() => {}
            Change::Unknown if known.is_none() => self.says(index, true, &agent.output),
            Change::Unknown | Change::Other => {
                self.begin_output(index, "replaced");
                self.page.more(&agent.output);
            }
        }
    }

    pub(super) fn sub_agent_grew(&mut self, index: u32, more: &str) {
        let entry = self.seen.get_or_put(Key::SubAgent(index), Entry::default);
        let is_first = entry.text.is_whole() && entry.text.bytes == 0;
        entry.text.add(more);
        self.says(index, is_first, more);
    }

    fn says(&mut self, index: u32, is_first: bool, more: &str) {
        if !self.page.is_open(Key::SubAgent(index)) {
            self.begin_output(index, if is_first { "says" } else { "…" });
        }
        self.page.more(more);
    }

    fn begin_output(&mut self, index: u32, how: &str) {
        let kind = format!("sub-agent #{index} {how}");
        self.page.begin(Key::SubAgent(index), &kind, &self.paint.model(&kind));
    }

    fn sub_agent_entry(&self, agent: &SubAgentExecution) -> Entry {
        Entry {
            word: sub_agent_status(agent.status()),
            frame: self.seen.checksum(&[agent.name.as_bytes(), agent.input.as_bytes()]),
            error: self.seen.checksum(&[agent.error.as_bytes()]),
            text: self.seen.text(&agent.output),
            ..Entry::default()
        }
    }

    fn sub_agent_line(&self, agent: &SubAgentExecution, before: &Entry, after: &Entry) -> String {
        let name = printable_short(&agent.name, ASIDE_LETTERS_MAX);
        let mut what = format!("{name}{}", status_change(self.paint, before.word, after.word));
        if is_over(after.word) && before.word != after.word {
            let recorded = self.now.zip(before.running_since).map(|(now, since)| now.duration_since(since));
            what.extend(lasted(&agent.started_at, &agent.completed_at, recorded));
        }
        if before.frame != after.frame && !agent.input.is_empty() {
            what.push_str(&format!(": {}", printable_short(&agent.input, ASIDE_LETTERS_MAX)));
        }
        if before.error != after.error && !agent.error.is_empty() {
            let error = printable_short(&agent.error, ASIDE_LETTERS_MAX);
            what.push_str(&format!(": {}", self.paint.bad(&error)));
        }
        what
    }
}

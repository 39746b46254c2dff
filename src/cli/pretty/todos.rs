//! The to-do list: a line with a mark for each entry that is new, changed or removed.

use super::Pretty;
use super::seen::{Entry, Key};
use super::words::{ASIDE_LETTERS_MAX, NAME_LETTERS_MAX, mark};
use crate::cli::printable::printable_short;
use crate::proto::stigmer::agentexecution::TodoItem;

impl Pretty {
    pub(super) fn todo(&mut self, id: &str, item: Option<&TodoItem>) {
        let nothing = TodoItem::default();
        let item = item.unwrap_or(&nothing);
        let key = self.todo_key(id);
        let said = if item.content.is_empty() { id } else { &item.content };
        let after = Entry {
            word: mark(item.status()),
            name: printable_short(said, NAME_LETTERS_MAX),
            frame: self.seen.checksum(&[said.as_bytes()]),
            ..Entry::default()
        };
        let before = self.seen.take(key);
        if before.is_none_or(|before| before.word != after.word || before.frame != after.frame) {
            let what = format!("{} {}", after.word, printable_short(said, ASIDE_LETTERS_MAX));
            self.page.line("todo", &what);
        }
        self.seen.put(key, after);
    }

    pub(super) fn todo_removed(&mut self, id: &str) {
        let key = self.todo_key(id);
        let name = match self.seen.take(key) {
            Some(before) => before.name,
            None => printable_short(id, NAME_LETTERS_MAX),
        };
        self.page.line("todo", &format!("removed: {name}"));
    }

    fn todo_key(&self, id: &str) -> Key {
        Key::Todo(self.seen.checksum(&[id.as_bytes()]))
    }
}

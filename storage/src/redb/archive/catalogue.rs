//! What a sealing changes besides chunks: heads, ids, indexes, bases. Collected first, written last.

use super::bases::push_base;
use super::change::Change;
use super::fold::Folded;
use super::schema::label_key;
use super::units::{SealError, Units};
use super::value::{BeforeRow, IdRow};
use crate::Head;
use crate::record::encode_head;

/// Room for what closes a sealing besides the catalogue: the generation's row and the state.
const CLOSING_BYTES: usize = 64 << 10;

/// The changes of a sealing besides its chunks.
#[derive(Default)]
pub(super) struct Catalogue {
    changes: Vec<Change>,
    /// The heads before, needed only if the changes do not fit one durable unit.
    before: Vec<(u64, String, Option<Head>)>,
    pub(super) created: u64,
    pub(super) deleted: u64,
    /// Whether something that older sealings stored was trimmed or deleted.
    pub(super) removed: bool,
}

impl Catalogue {
    /// Takes what became of one execution in a sealing that ends at a row. Call in ascending numbers.
    pub(super) fn add(&mut self, number: u64, row: u64, before: Option<Head>, folded: Folded) {
        let Folded { after, deleted, base, created } = folded;
        let Some(known) = after.as_ref().or(deleted.as_ref()) else { return };
        let id = known.execution.id.as_str().to_owned();
        self.created += u64::from(created);
        self.deleted += u64::from(deleted.is_some());
        if created || deleted.is_some() {
            let value = IdRow { number, deleted: deleted.is_some() }.encode();
            self.changes.push(Change::Id { id: id.clone(), value: Some(value) });
        }
        if before.is_some() || after.is_some() {
            let value = after.as_ref().map(head_value);
            self.changes.push(Change::Head { number, value });
        }
        push_index_changes(&mut self.changes, before.as_ref(), after.as_ref());
        let floor_moved =
            before.as_ref().map(|head| head.floor_seq) != after.as_ref().map(|head| head.floor_seq);
        if before.is_some() && (floor_moved || base.is_some()) {
            self.changes.push(Change::Garbage { number, present: true });
            self.removed |= floor_moved;
        }
        if let Some(base) = base.filter(|_| after.is_some()) {
            push_base(&mut self.changes, number, row, &base);
        }
        self.before.push((number, id, before));
    }

    /// Writes everything. All but the last unit is durable afterwards; if there is more than one, the
    /// heads before became durable first.
    pub(super) fn write(mut self, units: &mut Units<'_>) -> Result<(), SealError> {
        self.changes.sort_unstable();
        let neighbours = std::iter::once(None).chain(self.changes.iter().map(Some));
        let cost: usize =
            self.changes.iter().zip(neighbours).map(|(change, previous)| change.cost(previous)).sum();
        let cost = cost + CLOSING_BYTES;
        if cost > units.left() {
            units.flush()?;
        }
        if cost > units.budget.unit_bytes {
            for (number, id, head) in self.before {
                let value = BeforeRow::encode(number, &id, head.as_ref());
                units.push(Change::Before { number, value })?;
            }
            units.flush()?;
        } else {
            units.keep_together();
        }
        self.changes.into_iter().try_for_each(|change| units.push(change))
    }
}

/// The value of a head in `heads`.
pub(super) fn head_value(head: &Head) -> Vec<u8> {
    let mut value = Vec::new();
    encode_head(&mut value, head);
    value
}

/// The changes that list an execution under the fields of one head and no longer under those of
/// another.
pub(super) fn push_index_changes(changes: &mut Vec<Change>, old: Option<&Head>, new: Option<&Head>) {
    let (old, new) = (entries(old), entries(new));
    changes.extend(old.iter().filter(|entry| !new.contains(entry)).map(|entry| entry.change(false)));
    changes.extend(new.iter().filter(|entry| !old.contains(entry)).map(|entry| entry.change(true)));
}

#[derive(PartialEq, Eq)]
enum Entry {
    Session(String, u64),
    Phase(u8, u64),
    Label(String, u64),
}

fn entries(head: Option<&Head>) -> Vec<Entry> {
    let Some(head) = head else { return Vec::new() };
    let number = head.number;
    let mut entries = vec![Entry::Phase(head.phase as u8, number)];
    if !head.session_id.is_empty() {
        entries.push(Entry::Session(head.session_id.to_string(), number));
    }
    let labels = head.execution.labels.iter();
    entries.extend(labels.map(|(key, value)| Entry::Label(label_key(key, value), number)));
    entries
}

impl Entry {
    fn change(&self, listed: bool) -> Change {
        match self {
            Self::Session(session, number) => {
                Change::Session { session: session.clone(), number: *number, listed }
            }
            Self::Phase(phase, number) => Change::Phase { phase: *phase, number: *number, listed },
            Self::Label(label, number) => Change::Label { label: label.clone(), number: *number, listed },
        }
    }
}

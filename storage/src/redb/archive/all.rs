//! Reading the archived events of all executions, in order of position, one generation at a time.

use std::collections::HashMap;
use std::sync::Arc;

use redb::ReadableDatabase;

use super::super::error::EngineError;
use super::generation::{Generation, GenerationSpan, Placed, generation_at};
use super::read::PageFill;
use super::{Archive, meta_in};
use crate::{ExecutionRef, PageSize, Position, Seq, StoredEvent};

/// What is known in memory of an execution and not yet in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visibility {
    /// Nothing that would hide events.
    AsArchived,
    /// It was deleted.
    Deleted,
    /// Events below this seq were trimmed.
    Floor(Seq),
    /// What is stored of it is damaged: what there is of it, nobody can say.
    Unknown,
}

impl Visibility {
    /// Whether it hides the event with this seq.
    pub(crate) fn hides(self, seq: Seq) -> bool {
        match self {
            Self::AsArchived | Self::Unknown => false,
            Self::Deleted => true,
            Self::Floor(floor_seq) => seq < floor_seq,
        }
    }
}

/// Tells the [`Visibility`] of an execution by its number.
pub(crate) type Overlay<'a> = &'a dyn Fn(u64) -> Visibility;

/// One page of archived events of all executions.
#[derive(Clone, Debug)]
pub(crate) struct AllArchived {
    /// In order of position.
    pub(crate) events: Vec<(Arc<ExecutionRef>, StoredEvent)>,
    /// Everything up to this position was looked at; the last sealed position at the end.
    pub(crate) through: Position,
}

/// Hides what the overlay hides, asking once for each execution.
struct Veil<'a> {
    overlay: Overlay<'a>,
    known: HashMap<u64, Visibility>,
}

impl<'a> Veil<'a> {
    fn new(overlay: Overlay<'a>) -> Self {
        Self { overlay, known: HashMap::new() }
    }

    fn hides(&mut self, placed: &Placed) -> bool {
        let overlay = self.overlay;
        let visibility = self.known.entry(placed.number).or_insert_with_key(|number| overlay(*number));
        visibility.hides(placed.event.seq)
    }
}

impl Archive {
    /// One page of events after a position. Short pages are not the end: that is `through` at the last
    /// sealed position. `overlay` is asked after the archive was read.
    pub(crate) fn read_all(
        &self,
        after: Position,
        size: PageSize,
        overlay: Overlay<'_>,
    ) -> Result<AllArchived, EngineError> {
        let mut through = after;
        loop {
            let removals = self.removals();
            let span = match self.generation_after(through)? {
                After::Events(span) => span,
                After::Nothing { last_position } => {
                    through = last_position;
                    continue;
                }
                After::End { sealed_position } => {
                    return Ok(AllArchived { events: Vec::new(), through: through.max(sealed_position) });
                }
            };
            let load = || Generation::load(&self.db, span);
            let shared = self.generations.get(span.first_position, removals, load)?;
            let page = page_of(&shared, through, size, overlay)?;
            // A removal that moved from memory into the archive meanwhile is in neither of what was
            // looked at: look again.
            if self.removals() != removals {
                continue;
            }
            if !page.events.is_empty() {
                return Ok(page);
            }
            through = page.through;
        }
    }

    fn generation_after(&self, after: Position) -> Result<After, EngineError> {
        let txn = self.db.begin_read()?;
        Ok(match generation_at(&txn, after.saturating_add(1))? {
            Some((span, row)) if row.raw_bytes == 0 => After::Nothing { last_position: span.last_position },
            Some((span, _)) => After::Events(span),
            None => After::End { sealed_position: meta_in(&txn)?.sealed_position },
        })
    }
}

/// What comes after a position.
enum After {
    /// A generation that holds events.
    Events(GenerationSpan),
    /// A generation of whose events none is left.
    Nothing {
        last_position: Position,
    },
    End {
        sealed_position: Position,
    },
}

fn page_of(
    generation: &Generation,
    after: Position,
    size: PageSize,
    overlay: Overlay<'_>,
) -> Result<AllArchived, EngineError> {
    let mut veil = Veil::new(overlay);
    let mut page = PageFill::new(size);
    let mut events = Vec::new();
    for placed in generation.after(after) {
        let placed = placed?;
        if veil.hides(&placed) {
            continue;
        }
        let (position, payload_bytes) = (placed.event.position, placed.event.payload.len());
        events.push((placed.execution, placed.event));
        if page.took(payload_bytes, events.len()) {
            return Ok(AllArchived { events, through: position });
        }
    }
    Ok(AllArchived { events, through: generation.span.last_position })
}

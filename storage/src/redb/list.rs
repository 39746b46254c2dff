//! Listing: the archived heads that match, merged with those that changed since they were sealed.
//!
//! The changed ones are taken first and the archive second: an execution that is sealed in between is
//! in both, one that matched throughout is at least in one, and each number is returned once.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::archive::Candidates;
use super::error::EngineError;
use super::shared::{OpenFiles, Shared, on_blocking_thread};
use super::slots::Slot;
use crate::limits::LIST_EXAMINED_MAX;
use crate::{Head, ListPage, ListQuery, ReadError};

/// One page of heads, newest execution first.
pub(super) async fn list(shared: &Arc<Shared>, query: ListQuery) -> Result<ListPage, ReadError> {
    let shared = shared.clone();
    // A page of nothing would never come to an end.
    let query = ListQuery { heads_max: query.heads_max.max(1), ..query };
    let page = on_blocking_thread(move || shared.read_files(|files| page(&shared, files, &query)));
    page.await.map_err(|error| error.into_read_error(None))
}

fn page(shared: &Shared, files: &OpenFiles, query: &ListQuery) -> Result<ListPage, EngineError> {
    let changed = Changed::take(shared, query);
    let archived = files.archive.list_candidates(query)?;
    Ok(merge(shared, query, changed, archived))
}

/// The slots that changed since they were sealed.
pub(super) struct Changed {
    slots: Vec<(u64, Arc<Slot>)>,
    /// Below this number not all of them are in here.
    through: u64,
}

impl Changed {
    pub(super) fn take(shared: &Shared, query: &ListQuery) -> Self {
        let before = query.before_number.unwrap_or(u64::MAX);
        let slots = shared.slots.newest_dirty(before, LIST_EXAMINED_MAX);
        let through = match slots.last() {
            Some((number, _)) if slots.len() == LIST_EXAMINED_MAX => *number,
            _ => 0,
        };
        Self { slots, through }
    }
}

/// A page of both.
pub(super) fn merge(shared: &Shared, query: &ListQuery, changed: Changed, archived: Candidates) -> ListPage {
    // Below this number not everything was looked at.
    let through = changed.through.max(archived.examined_through);
    let mut found: BTreeMap<u64, Arc<Head>> = BTreeMap::new();
    for head in archived.heads {
        let live = match shared.slots.dirty(head.number) {
            Some(slot) => slot.head(),
            None => Some(Arc::new(head)),
        };
        found.extend(live.map(|head| (head.number, head)));
    }
    for (number, slot) in changed.slots {
        match slot.head() {
            Some(head) => found.insert(number, head),
            // The archive may have been read before its deletion was sealed, and the slot be clean since.
            None => found.remove(&number),
        };
    }
    found.retain(|number, head| *number >= through && query.matches(head));
    cut(found, through, query.heads_max)
}

/// The newest of what was found, and where the next page begins.
fn cut(found: BTreeMap<u64, Arc<Head>>, through: u64, heads_max: usize) -> ListPage {
    let more = found.len() > heads_max;
    let heads: Vec<Arc<Head>> = found.into_values().rev().take(heads_max).collect();
    let next_before = match heads.last() {
        Some(head) if more => Some(head.number),
        _ => (through > 1).then_some(through),
    };
    ListPage { heads, next_before }
}

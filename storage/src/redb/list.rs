//! Listing: the archived heads that match, merged with those that changed since they were sealed.
//!
//! The changed ones are taken first and the archive second: an execution that is sealed in between is
//! in both, one that matched throughout is at least in one, and each number is returned once.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::archive::Candidates;
use super::error::EngineError;
use super::shared::{OpenFiles, Shared, on_blocking_thread};
use crate::limits::LIST_EXAMINED_MAX;
use crate::{Head, ListPage, ListQuery, ReadError};

/// One page of heads, newest execution first.
pub(super) async fn list(shared: &Arc<Shared>, query: ListQuery) -> Result<ListPage, ReadError> {
    let shared = shared.clone();
    // A page of nothing would never come to an end.
    let query = ListQuery { heads_max: query.heads_max.max(1), ..query };
    let page = on_blocking_thread(move || shared.with_files(|files| page(&shared, files, &query)));
    page.await.map_err(|error| error.into_read_error(None))
}

fn page(shared: &Shared, files: &OpenFiles, query: &ListQuery) -> Result<ListPage, EngineError> {
    let before = query.before_number.unwrap_or(u64::MAX);
    let dirty = shared.slots.newest_dirty(before, LIST_EXAMINED_MAX);
    let dirty_through = match dirty.last() {
        Some((number, _)) if dirty.len() == LIST_EXAMINED_MAX => *number,
        _ => 0,
    };
    let Candidates { heads, examined_through } = files.archive.list_candidates(query)?;
    // Below this number not everything was looked at.
    let through = dirty_through.max(examined_through);
    let mut found: BTreeMap<u64, Arc<Head>> = BTreeMap::new();
    for head in heads {
        let live = match shared.slots.dirty(head.number) {
            Some(slot) => slot.head(),
            None => Some(Arc::new(head)),
        };
        found.extend(live.map(|head| (head.number, head)));
    }
    for (_, slot) in dirty {
        found.extend(slot.head().map(|head| (head.number, head)));
    }
    found.retain(|number, head| *number >= through && query.matches(head));
    Ok(cut(found, through, query.heads_max))
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

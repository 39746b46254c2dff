//! Listing: the archived heads that match a query, newest first. Each filter has an index in
//! descending numbers; they are walked together, each leaping to where the others are.

use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase};

use super::super::error::EngineError;
use super::heads::HeadTables;
use super::schema::{BY_LABEL, BY_PHASE, BY_SESSION, label_key};
use crate::limits::LIST_EXAMINED_MAX;
use crate::{Head, ListQuery};

/// Some archived heads that match a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidates {
    /// Newest first, at most as many as asked for.
    pub(crate) heads: Vec<Head>,
    /// Every archived execution with this number or a higher one, below the query's, was looked at.
    /// 0 at the end.
    pub(crate) examined_through: u64,
}

/// One index, restricted to one value of its field.
enum Index<'t> {
    Heads(&'t HeadTables),
    Session(ReadOnlyTable<(&'static str, u64), ()>, &'t str),
    Phase(ReadOnlyTable<(u8, u64), ()>, u8),
    Label(ReadOnlyTable<(&'static str, u64), ()>, String),
}

impl Index<'_> {
    /// The highest number up to this one in the index.
    fn at_or_below(&self, number: u64) -> Result<Option<u64>, EngineError> {
        match self {
            Self::Heads(heads) => heads.at_or_below(number),
            Self::Session(table, session) => last_text(table, session, number),
            Self::Label(table, label) => last_text(table, label, number),
            Self::Phase(table, phase) => {
                let last = table.range((*phase, 0)..=(*phase, number))?.next_back().transpose()?;
                Ok(last.map(|(key, _)| key.value().1))
            }
        }
    }
}

fn last_text(
    table: &ReadOnlyTable<(&'static str, u64), ()>,
    text: &str,
    number: u64,
) -> Result<Option<u64>, EngineError> {
    let last = table.range((text, 0)..=(text, number))?.next_back().transpose()?;
    Ok(last.map(|(key, _)| key.value().1))
}

/// The indexes of a query, the most selective kind first.
fn indexes<'t>(
    txn: &ReadTransaction,
    heads: &'t HeadTables,
    query: &'t ListQuery,
) -> Result<Vec<Index<'t>>, EngineError> {
    let mut indexes = Vec::new();
    if let Some(session) = query.session_id.as_deref().filter(|session| !session.is_empty()) {
        indexes.push(Index::Session(txn.open_table(BY_SESSION)?, session));
    }
    for (key, value) in &query.labels {
        indexes.push(Index::Label(txn.open_table(BY_LABEL)?, label_key(key, value)));
    }
    if let Some(phase) = query.phase {
        indexes.push(Index::Phase(txn.open_table(BY_PHASE)?, phase as u8));
    }
    if indexes.is_empty() {
        indexes.push(Index::Heads(heads));
    }
    Ok(indexes)
}

/// The newest archived heads that match `query`, at most `query.heads_max`; see [`Candidates`].
pub(super) fn list(db: &Database, query: &ListQuery) -> Result<Candidates, EngineError> {
    let txn = db.begin_read()?;
    let heads = HeadTables::open(&txn)?;
    let indexes = indexes(&txn, &heads, query)?;
    let mut found =
        Candidates { heads: Vec::new(), examined_through: query.before_number.unwrap_or(u64::MAX) };
    let mut examined = 0;
    while found.heads.len() < query.heads_max && examined < LIST_EXAMINED_MAX {
        let below = found.examined_through.saturating_sub(1);
        let Some(number) = leap(&indexes, below, &mut examined)? else {
            found.examined_through = 0;
            break;
        };
        // A leap that ran out of looks has examined everything above where it stands, not itself.
        let (number, agreed) = number;
        if !agreed {
            found.examined_through = number.saturating_add(1);
            break;
        }
        found.examined_through = number;
        found.heads.extend(heads.head(number)?.filter(|head| query.matches(head)));
    }
    Ok(found)
}

/// The highest number up to this one that is in all indexes, and `true`; or, if that took too many
/// looks, the number above which there is none, and `false`.
fn leap(indexes: &[Index<'_>], from: u64, examined: &mut usize) -> Result<Option<(u64, bool)>, EngineError> {
    let (mut number, mut agreeing) = (from, 0);
    for index in indexes.iter().cycle() {
        *examined += 1;
        match index.at_or_below(number)? {
            None => return Ok(None),
            Some(same) if same == number => agreeing += 1,
            Some(lower) => (number, agreeing) = (lower, 1),
        }
        if agreeing == indexes.len() {
            return Ok(Some((number, true)));
        }
        if *examined >= LIST_EXAMINED_MAX {
            return Ok(Some((number, false)));
        }
    }
    Ok(None)
}

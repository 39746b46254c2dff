//! Reading the whole journal at a start: every commit that is not sealed, in order, each checked for
//! being whole. A page of rows at a time, so that no transaction lives long.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use redb::{ReadableDatabase, ReadableTable};

use super::super::error::EngineError;
use super::rows::{Row, damaged};
use super::{Journal, ROWS, RawCommit};

/// Bytes of rows that are read in one transaction.
const SCAN_BYTES: usize = 4 << 20;

/// Where the journal goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// The row of the next commit.
    pub(crate) row: u64,
    /// The number of the next commit.
    pub(crate) commit: u64,
}

/// A commit of which some rows were read.
struct Open {
    commit: u64,
    first_row: u64,
    parts: u32,
    bytes: Vec<u8>,
}

#[derive(Default)]
struct Scan {
    open: Option<Open>,
    /// The number of the last whole commit.
    last_commit: Option<u64>,
}

impl Journal {
    /// Hands over every commit above `sealed_row`, in order. The first row that is there must not be
    /// above `sealed_row + 1`, and the last one not below `sealed_row`: that would be an older journal
    /// than the archive was made from. Rows and numbers of commits must have no hole.
    pub(crate) fn scan<E: From<EngineError>>(
        &self,
        sealed_row: u64,
        mut sink: impl FnMut(RawCommit) -> Result<(), E>,
    ) -> Result<Next, E> {
        self.used_bytes.store(0, Ordering::Relaxed);
        self.uncounted_row.store(sealed_row, Ordering::Relaxed);
        let mut scan = Scan::default();
        let mut next = sealed_row + 1;
        loop {
            let commits = self.scan_page(&mut scan, &mut next)?;
            if commits.is_empty() {
                break;
            }
            for commit in commits.into_iter().flatten() {
                sink(commit)?;
            }
        }
        if let Some(open) = &scan.open {
            let what =
                format!("is missing; commit {} has {} rows from {}", open.commit, open.parts, open.first_row);
            return Err(damaged(next, &what).into());
        }
        let commit = match scan.last_commit {
            Some(last) => last + 1,
            None => self.commit_before(sealed_row)? + 1,
        };
        Ok(Next { row: next, commit })
    }

    /// Reads some rows from `next` on: of each the commit that it completes, if it does.
    fn scan_page(&self, scan: &mut Scan, next: &mut u64) -> Result<Vec<Option<RawCommit>>, EngineError> {
        let txn = self.db.begin_read()?;
        let table = txn.open_table(ROWS)?;
        let (mut commits, mut bytes) = (Vec::new(), 0);
        for row in table.range(*next..)? {
            let (key, value) = row?;
            match scan.row(*next, key.value(), value.value()) {
                Ok(commit) => commits.push(commit),
                // What is fine before it is handed over first, so that the caller knows how far it got;
                // the next page then begins with this row.
                Err(_) if !commits.is_empty() => break,
                Err(error) => return Err(error),
            }
            bytes += value.value().len();
            *next += 1;
            if bytes >= SCAN_BYTES {
                break;
            }
        }
        self.used_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(commits)
    }

    /// The number of the commit that ends at a sealed row behind which there is nothing; 0 if all rows
    /// are gone. They go from the left, so whatever is there reaches up to that row.
    fn commit_before(&self, sealed_row: u64) -> Result<u64, EngineError> {
        let txn = self.db.begin_read()?;
        let table = txn.open_table(ROWS)?;
        let Some((key, value)) = table.last()? else { return Ok(0) };
        let row = Row::decode(key.value(), value.value())?;
        match key.value() == sealed_row && row.part + 1 == row.parts {
            true => Ok(row.commit),
            false => {
                let what = format!("is the last one, but the archive was made from rows up to {sealed_row}");
                Err(damaged(key.value(), &what))
            }
        }
    }
}

impl Scan {
    /// Takes the row that must be the next one. Returns the commit that it completes, if it does.
    fn row(&mut self, next: u64, number: u64, bytes: &[u8]) -> Result<Option<RawCommit>, EngineError> {
        if number != next {
            return Err(damaged(next, &format!("is missing; the next one is {number}")));
        }
        self.take(number, Row::decode(number, bytes)?)
    }

    fn take(&mut self, number: u64, row: Row<'_>) -> Result<Option<RawCommit>, EngineError> {
        let expected = self.open.as_ref().map_or(0, |open| number - open.first_row);
        if u64::from(row.part) != expected {
            let what = format!("is part {} of commit {}, not {expected}", row.part, row.commit);
            return Err(damaged(number, &what));
        }
        let known = self.open.as_ref().map(|open| open.commit).or(self.last_commit.map(|last| last + 1));
        if known.is_some_and(|known| known != row.commit) {
            let what = format!("belongs to commit {}, not to {}", row.commit, known.unwrap_or_default());
            return Err(damaged(number, &what));
        }
        let open = self.open.get_or_insert_with(|| Open {
            commit: row.commit,
            first_row: number,
            parts: row.parts,
            bytes: Vec::new(),
        });
        if open.parts != row.parts {
            return Err(damaged(number, &format!("says {} parts, another one {}", row.parts, open.parts)));
        }
        open.bytes.extend_from_slice(row.piece);
        if row.part + 1 < row.parts {
            return Ok(None);
        }
        self.last_commit = Some(row.commit);
        Ok(self.open.take().map(|open| RawCommit {
            commit: open.commit,
            first_row: open.first_row,
            last_row: number,
            bytes: Bytes::from(open.bytes),
        }))
    }
}

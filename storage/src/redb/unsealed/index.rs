//! The plain data behind the lock of the unsealed index. No I/O, no decoding, no waiting.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::super::archive::Visibility;
use super::{Change, Epoch, Look, NewCommit, Place, Run};
use crate::limits::{JOURNAL_CACHE_BYTES_MAX, UNSEALED_EXECUTION_BYTES};
use crate::{ExecutionRef, Position, Seq};

#[derive(Debug)]
pub(super) struct Index {
    /// The number of the first commit.
    first_commit: u64,
    commits: VecDeque<Commit>,
    /// How many of the newest commits have their bytes in memory, and how many bytes that is.
    cached: usize,
    cached_bytes: usize,
    /// Bytes of all commits.
    bytes: u64,
    /// The last position that is not in here.
    position_before: Position,
    executions: HashMap<u64, Execution>,
    hidden: HashMap<u64, Hidden>,
    epoch: u64,
}

#[derive(Debug)]
struct Commit {
    place: Place,
    /// The executions that have a run in it.
    numbers: Vec<u64>,
}

#[derive(Debug)]
struct Execution {
    name: Arc<ExecutionRef>,
    /// Seqs contiguous, never empty.
    runs: VecDeque<Run>,
}

/// What an unsealed trim or deletion hides.
#[derive(Debug)]
struct Hidden {
    /// The last row that had a part in it.
    row: u64,
    visibility: Visibility,
    base: Option<Bytes>,
}

impl Index {
    pub(super) fn new(next_commit: u64, position_before: Position) -> Self {
        Self {
            first_commit: next_commit,
            commits: VecDeque::new(),
            cached: 0,
            cached_bytes: 0,
            bytes: 0,
            position_before,
            executions: HashMap::new(),
            hidden: HashMap::new(),
            epoch: 0,
        }
    }

    pub(super) fn add(&mut self, new: NewCommit) {
        debug_assert_eq!(new.commit, self.first_commit + self.commits.len() as u64, "commits are contiguous");
        let raw_bytes = new.bytes.len();
        let mut numbers = Vec::new();
        for change in new.changes {
            match change {
                Change::Events { number, execution, run } => {
                    numbers.push(number);
                    let runs = VecDeque::new();
                    let entry = self.executions.entry(number);
                    entry.or_insert(Execution { name: execution, runs }).runs.push_back(run);
                }
                Change::Trimmed { number, floor_seq, base } => self.trim(number, floor_seq, base, new.rows.1),
                Change::Deleted { number } => self.hide_all(number, new.rows.1, Visibility::Deleted),
                Change::Unknown { number } => self.hide_all(number, new.rows.1, Visibility::Unknown),
            }
        }
        let (first_position, last_position) = (new.first_position, new.last_position);
        let bytes = Some(new.bytes);
        let place = Place { rows: new.rows, first_position, last_position, raw_bytes, bytes };
        self.commits.push_back(Commit { place, numbers });
        self.cached += 1;
        self.cached_bytes += raw_bytes;
        self.bytes += raw_bytes as u64;
        self.shrink_cache();
    }

    /// Lets go of the oldest bytes in memory that are too many.
    fn shrink_cache(&mut self) {
        while self.cached_bytes > JOURNAL_CACHE_BYTES_MAX && self.cached > 1 {
            let oldest = self.commits.len() - self.cached;
            let Some(commit) = self.commits.get_mut(oldest) else { return };
            commit.place.bytes = None;
            self.cached -= 1;
            self.cached_bytes -= commit.place.raw_bytes;
        }
    }

    fn trim(&mut self, number: u64, floor_seq: Seq, base: Option<Bytes>, row: u64) {
        if let Some(execution) = self.executions.get_mut(&number) {
            while execution.runs.front().is_some_and(|run| run.next_seq() <= floor_seq) {
                execution.runs.pop_front();
            }
            if execution.runs.is_empty() {
                self.executions.remove(&number);
            }
        }
        let visibility = Visibility::Floor(floor_seq);
        let hidden = self.hidden.entry(number).or_insert(Hidden { row, visibility, base: None });
        (hidden.row, hidden.visibility) = (row, visibility);
        if base.is_some() {
            hidden.base = base;
        }
    }

    fn hide_all(&mut self, number: u64, row: u64, visibility: Visibility) {
        self.executions.remove(&number);
        self.hidden.insert(number, Hidden { row, visibility, base: None });
    }

    /// Removes commits up to a row, at most so many. Returns whether there are more.
    pub(super) fn remove_through(&mut self, row: u64, commits_max: usize) -> bool {
        for _ in 0..commits_max {
            let Some(commit) = self.commits.pop_front_if(|commit| commit.place.rows.1 <= row) else {
                return false;
            };
            if commit.place.bytes.is_some() {
                self.cached -= 1;
                self.cached_bytes -= commit.place.raw_bytes;
            }
            self.bytes -= commit.place.raw_bytes as u64;
            self.position_before = commit.place.last_position;
            self.first_commit += 1;
            self.epoch += 1;
            for number in commit.numbers {
                self.remove_runs(number);
            }
        }
        true
    }

    /// Removes the runs of an execution whose commits have left.
    fn remove_runs(&mut self, number: u64) {
        let Some(execution) = self.executions.get_mut(&number) else { return };
        while execution.runs.front().is_some_and(|run| run.commit < self.first_commit) {
            execution.runs.pop_front();
        }
        if execution.runs.is_empty() {
            self.executions.remove(&number);
        }
    }

    /// Forgets what trims and deletions up to a row hide.
    pub(super) fn reveal_through(&mut self, row: u64) {
        self.epoch += 1;
        self.hidden.retain(|_, hidden| hidden.row > row);
    }

    pub(super) fn after(&self, number: u64, after: Seq, events_max: usize) -> Look {
        let mut look = Look { epoch: self.epoch(), first_seq: None, runs: Vec::new() };
        let Some(execution) = self.executions.get(&number) else { return look };
        look.first_seq = execution.runs.front().map(|run| run.first_seq);
        if look.first_seq.is_none_or(|first_seq| after + 1 < first_seq) {
            return look;
        }
        let start = execution.runs.partition_point(|run| run.next_seq() <= after + 1);
        let last_seq = after.saturating_add(events_max.max(1) as u64);
        let wanted = execution.runs.range(start..).take_while(|run| run.first_seq <= last_seq);
        look.runs.extend(wanted.filter_map(|run| self.placed(run)));
        look
    }

    pub(super) fn marked(&self, number: u64, mark: u32) -> Vec<(Run, Place)> {
        let Some(execution) = self.executions.get(&number) else { return Vec::new() };
        let marked = execution.runs.iter().rev().filter(|run| run.mark == mark);
        marked.filter_map(|run| self.placed(run)).collect()
    }

    fn placed(&self, run: &Run) -> Option<(Run, Place)> {
        let index = usize::try_from(run.commit.checked_sub(self.first_commit)?).ok()?;
        Some((*run, self.commits.get(index)?.place.clone()))
    }

    pub(super) fn cursor_at_time(&self, number: u64, since_ns: u64) -> (Option<Seq>, Option<Seq>) {
        let Some(execution) = self.executions.get(&number) else { return (None, None) };
        let found = execution.runs.partition_point(|run| run.record_time_ns < since_ns);
        let cursor = execution.runs.get(found).map(|run| run.first_seq - 1);
        (cursor, execution.runs.front().map(|run| run.first_seq))
    }

    pub(super) fn after_position(&self, after: Position, events_max: usize) -> (Vec<Place>, Position, Epoch) {
        let start = self.commits.partition_point(|commit| commit.place.last_position <= after);
        let last_position = after.saturating_add(events_max.max(1) as u64);
        let places = self.commits.range(start..).map(|commit| &commit.place);
        let wanted = places.take_while(|place| place.first_position <= last_position);
        (wanted.cloned().collect(), self.position_before, self.epoch())
    }

    pub(super) fn oldest(&self, bytes_max: usize) -> Vec<Place> {
        let mut bytes = 0;
        let more = |place: &&Place| {
            let more = bytes < bytes_max;
            bytes += place.raw_bytes;
            more
        };
        self.commits.iter().map(|commit| &commit.place).take_while(more).cloned().collect()
    }

    pub(super) fn visibility(&self, number: u64) -> Visibility {
        self.hidden.get(&number).map_or(Visibility::AsArchived, |hidden| hidden.visibility)
    }

    pub(super) fn base(&self, number: u64) -> Option<Bytes> {
        self.hidden.get(&number)?.base.clone()
    }

    pub(super) fn name(&self, number: u64) -> Option<Arc<ExecutionRef>> {
        self.executions.get(&number).map(|execution| execution.name.clone())
    }

    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn weight(&self) -> usize {
        let executions = self.executions.len() + self.hidden.len();
        self.bytes as usize + executions * UNSEALED_EXECUTION_BYTES
    }
}

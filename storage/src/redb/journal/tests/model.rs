//! The journal against a list: whatever is appended, sealed and removed, and wherever it crashes,
//! every acknowledged commit that is not sealed is there, whole; the one that was cut short is there
//! whole or not at all.

use proptest::prelude::*;

use super::super::super::testing::disk::{Crash, Disk};
use super::super::{Journal, RawCommit};
use super::{bytes, new_journal, open, scanned};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Appends a commit of this length, and removes some of what is sealed in the same transaction.
    Append { length: usize, remove: bool },
    /// Removes some of what is sealed.
    Remove,
    /// Seals this part, in 1/256, of what is not sealed.
    Seal(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![6 => 0..300_usize, 3 => 3_900..9_000_usize, 1 => 30_000..200_000_usize];
    prop_oneof![
        6 => (length, any::<bool>()).prop_map(|(length, remove)| Step::Append { length, remove }),
        1 => Just(Step::Remove),
        2 => any::<u8>().prop_map(Step::Seal),
    ]
}

/// At which call of the disk after a step begins the machine stops, and how. If the step has fewer
/// calls, it stops after it.
fn stop() -> impl Strategy<Value = Option<(usize, Crash)>> {
    let crash = prop_oneof![1 => Just(Crash::Killed), 2 => any::<u64>().prop_map(Crash::PowerCut)];
    prop_oneof![2 => Just(None), 1 => (0..24_usize, crash).prop_map(Some)]
}

struct Machine {
    disk: Disk,
    journal: Journal,
    /// What was acknowledged and is not sealed.
    commits: Vec<RawCommit>,
    sealed_row: u64,
    /// Row and number of the next commit.
    next: (u64, u64),
    crashes: usize,
}

impl Machine {
    fn new() -> Self {
        let (disk, journal) = new_journal();
        Self { disk, journal, commits: Vec::new(), sealed_row: 0, next: (1, 1), crashes: 0 }
    }

    /// Does a step; returns the commit it appended, which is not acknowledged yet.
    fn step(&mut self, step: Step) -> Option<RawCommit> {
        match step {
            Step::Append { length, remove } => {
                let (first_row, commit) = self.next;
                let bytes = bytes(commit + first_row, length);
                let remove_through = remove.then_some(self.sealed_row);
                let appended =
                    self.journal.append(commit, first_row, &bytes, remove_through).expect("appends");
                Some(RawCommit { commit, first_row, last_row: appended.last_row, bytes: bytes.into() })
            }
            Step::Remove => {
                self.journal.remove(self.sealed_row).expect("removes");
                None
            }
            Step::Seal(part) => {
                let sealed = self.commits.len() * usize::from(part) / 256;
                if let Some(last) = self.commits.drain(..sealed).next_back() {
                    self.sealed_row = last.last_row;
                }
                None
            }
        }
    }

    fn acknowledge(&mut self, commit: RawCommit) {
        self.next = (commit.last_row + 1, commit.commit + 1);
        self.commits.push(commit);
    }

    fn step_and_stop(&mut self, step: Step, calls: usize, crash: Crash) {
        self.disk.take_image_at(self.disk.calls() + calls, crash);
        let appended = self.step(step);
        match (self.disk.image(), appended) {
            (Some(image), appended) => self.restart(image, appended),
            (None, appended) => {
                appended.into_iter().for_each(|commit| self.acknowledge(commit));
                self.restart(self.disk.left_by(crash), None);
            }
        }
    }

    /// Goes on from what a crash left. `cut_short` may be in it or not.
    fn restart(&mut self, image: Vec<u8>, cut_short: Option<RawCommit>) {
        self.crashes += 1;
        self.disk = Disk::with_image(image);
        self.journal =
            Journal::open(self.disk.open_repairing(), super::STORE).expect("a crash leaves a journal");
        let (found, next) = scanned(&self.journal, self.sealed_row).expect("a crash damages nothing");
        if let Some(commit) = cut_short
            && found.last() == Some(&commit)
        {
            self.acknowledge(commit);
        }
        assert_eq!(found, self.commits);
        assert_eq!(next.row, self.next.0);
        // When nothing is left, commits may be numbered from 1 again.
        assert!(next.commit == self.next.1 || next.commit == 1 && found.is_empty());
        self.next.1 = next.commit;
    }

    fn check(&self) {
        let (found, _) = scanned(&open(self.disk.image_now()), self.sealed_row).expect("sound");
        assert_eq!(found, self.commits);
        for commit in &self.commits {
            let read = self.journal.read_commit(commit.first_row, commit.last_row).expect("sound");
            assert_eq!(read.as_ref(), Some(&commit.bytes));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_acknowledged_commit_is_there_after_any_crash_until_it_is_sealed(
        steps in prop::collection::vec((step(), stop()), 1..30),
    ) {
        let mut machine = Machine::new();
        for (step, stop) in &steps {
            match stop {
                Some((calls, crash)) => machine.step_and_stop(*step, *calls, *crash),
                None => {
                    if let Some(commit) = machine.step(*step) {
                        machine.acknowledge(commit);
                    }
                }
            }
        }
        machine.check();
        prop_assert_eq!(machine.crashes, steps.iter().filter(|(_, stop)| stop.is_some()).count());
    }
}

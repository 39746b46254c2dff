//! A sealing that is cut short at any point, in any way, is as if it had not been begun or had ended.

use std::cell::Cell;

use proptest::prelude::*;

use super::super::{Archive, SealError, SealPaused};
use super::checks::{check, check_absent, check_except};
use super::script::{play, script};
use super::support::{Append, Journal, STORE, in_small_units, new_archive, payload};
use super::tidy::check_tidy;
use crate::redb::testing::disk::{Crash, Disk};

/// Where and how a sealing is cut short.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// At this part of the calls of the disk, in 1/256.
    Crash(u8, Crash),
    /// At this question to the gate, modulo how many there are.
    Pause(u8),
}

fn cut() -> impl Strategy<Value = Cut> {
    prop_oneof![
        2 => any::<u8>().prop_map(|at| Cut::Crash(at, Crash::Killed)),
        2 => (any::<u8>(), any::<u64>()).prop_map(|(at, chance)| Cut::Crash(at, Crash::PowerCut(chance))),
        1 => any::<u8>().prop_map(Cut::Pause),
    ]
}

/// An archive on a disk, which a crash replaces by what it leaves.
struct Machine {
    disk: Disk,
    archive: Archive,
    /// Whether every sealing takes several units.
    small: bool,
}

impl Machine {
    fn on(disk: Disk, small: bool) -> Self {
        let archive = Archive::open(disk.open(), STORE).expect("a crash leaves an archive");
        Self { disk, archive: if small { in_small_units(archive) } else { archive }, small }
    }

    /// Another machine with this image of a disk.
    fn with(&self, image: Vec<u8>) -> Self {
        Self::on(Disk::with_image(image), self.small)
    }

    /// Seals the first commits, with a cut in the midst.
    fn seal_cut_short(&mut self, journal: &mut Journal, commits: usize, cut: Cut) {
        match cut {
            Cut::Crash(at, crash) => self.crash(journal, commits, usize::from(at), crash),
            Cut::Pause(at) => self.pause(journal, commits, usize::from(at)),
        }
        // An earlier attempt may have reached further than this one.
        let unfinished = journal.concerned();
        check_except(&self.archive, &journal.sealed, &unfinished);
        check_absent(&self.archive, &journal.sealed, &journal.now);
    }

    fn crash(&mut self, journal: &mut Journal, commits: usize, at: usize, crash: Crash) {
        let input = journal.input(commits);
        let image = self.disk.image_now();
        let calls = {
            let rehearsal = self.with(image.clone());
            let before = rehearsal.disk.calls();
            rehearsal.archive.seal(&input, &|| Ok(())).expect("sound");
            rehearsal.disk.calls() - before
        };
        let real = self.with(image);
        real.disk.take_image_at(real.disk.calls() + calls * at / 256, crash);
        real.archive.seal(&input, &|| Ok(())).expect("sound");
        *self = self.with(real.disk.image().expect("the fuse is inside the sealing"));
        journal.sealed_to(self.archive.meta().sealed_row);
    }

    fn pause(&mut self, journal: &mut Journal, commits: usize, at: usize) {
        let input = journal.input(commits);
        let asked = Cell::new(0);
        let gate = || {
            asked.set(asked.get() + 1);
            if asked.get() > at % 64 { Err(SealPaused) } else { Ok(()) }
        };
        match self.archive.seal(&input, &gate) {
            Ok(_) => journal.sealed_to(input.last_row),
            Err(SealError::Paused) => {}
            Err(error) => panic!("{error}"),
        }
        assert_eq!(self.archive.meta(), self.with(self.disk.image_now()).archive.meta());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_sealing_that_is_cut_short_changes_nothing_or_has_ended(
        steps in script(80),
        cuts in proptest::collection::vec(cut(), 1..8),
        small in any::<bool>(),
    ) {
        let (disk, archive) = new_archive();
        archive.close().expect("closes");
        let mut machine = Machine::on(disk, small);
        let mut journal = Journal::default();
        let mut cuts = cuts.into_iter();
        play(&mut journal, &steps, |journal, commits| {
            // What is cut short is tried again with one commit more and one commit less, and so on.
            for (index, cut) in cuts.by_ref().take(2).enumerate() {
                let other = (commits + index).saturating_sub(2 * index).clamp(1, journal.unsealed().max(1));
                if journal.unsealed() > 0 {
                    machine.seal_cut_short(journal, other, cut);
                }
            }
            let rest = commits.div_ceil(2).min(journal.unsealed());
            if rest > 0 {
                journal.seal(&machine.archive, rest);
                check(&machine.archive, &journal.sealed);
            }
        });
        while journal.unsealed() > 0 {
            journal.seal(&machine.archive, 1);
        }
        check(&machine.archive, &journal.sealed);
        while machine.archive.clean(&|| Ok(())).expect("sound") {}
        check(&machine.archive, &journal.sealed);
        check_tidy(&machine.archive);
    }
}

#[test]
fn a_base_that_was_written_halfway_never_comes_into_force() {
    for commits in 1_u32.. {
        let (_, archive) = new_archive();
        let archive = in_small_units(archive);
        let mut journal = Journal::default();
        let number = journal.create("one", &[], Append::of((0..20).map(|seed| payload(seed, 300, true))));
        journal.trim(number, 5, Some(payload(1, 10, true)));
        journal.seal_all(&archive);
        journal.trim(number, 10, Some(payload(2, 600_000, true)));
        journal.commit();
        for _ in 0..2 {
            journal.append(number, Append::of([payload(3, 300, true)]));
            journal.commit();
        }
        let left = Cell::new(commits);
        let gate = || left.replace(left.get().saturating_sub(1)).checked_sub(1).map(drop).ok_or(SealPaused);
        let ended = archive.seal(&journal.input(2), &gate).is_ok();
        if ended {
            assert!(commits > 4, "the base was written in one commit");
            return;
        }
        check_except(&archive, &journal.sealed, &journal.concerned());
        for _ in 0..3 {
            journal.seal(&archive, 1);
            check(&archive, &journal.sealed);
        }
        check_tidy(&archive);
    }
}

#[test]
fn a_sealing_that_has_ended_survives_a_power_cut() {
    let (disk, archive) = new_archive();
    let mut journal = Journal::default();
    let number = journal.create("one", &[], Append::of([payload(1, 100, true)]));
    for round in 0..5 {
        journal.append(number, Append::of((0..200).map(|seed| payload(seed, 300, true))));
        if round == 3 {
            journal.trim(number, 300, None);
        }
        journal.seal_all(&archive);
        for chance in 0..8 {
            let left = Disk::with_image(disk.left_by(Crash::PowerCut(chance * 0x1234_5678_9ABC_DEF1)));
            let archive = Archive::open(left.open(), STORE).expect("a power cut leaves an archive");
            check(&archive, &journal.sealed);
        }
    }
}

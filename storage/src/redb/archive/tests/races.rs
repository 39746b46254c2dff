//! Readers of all executions while sealing, trimming and deleting go on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::super::{Archive, Visibility};
use super::support::{Append, Journal, new_archive, payload};
use crate::{PageSize, Seq};

/// What a writer's memory holds of one execution: the floor it has acknowledged, and whether that
/// trim is still to be sealed.
struct Memory {
    number: u64,
    floor_seq: AtomicU64,
    unsealed: AtomicBool,
}

impl Memory {
    fn overlay(&self, number: u64) -> Visibility {
        if number == self.number && self.unsealed.load(Ordering::SeqCst) {
            Visibility::Floor(self.floor_seq.load(Ordering::SeqCst))
        } else {
            Visibility::AsArchived
        }
    }
}

/// Reads everything once; the seqs of the execution must not be below the floor that was acknowledged
/// before each page was asked for.
fn read_everything(archive: &Archive, memory: &Memory, id: &str) {
    let mut after = 0;
    while after < archive.meta().sealed_position {
        let floor_seq: Seq = memory.floor_seq.load(Ordering::SeqCst);
        let page = archive
            .read_all(after, PageSize { events_max: 40, bytes_max: 1 << 20 }, &|number| {
                memory.overlay(number)
            })
            .expect("sound");
        for (execution, event) in &page.events {
            assert!(
                execution.id.as_str() != id || event.seq >= floor_seq,
                "seq {} is below {floor_seq}",
                event.seq
            );
        }
        after = page.through;
    }
}

#[test]
fn what_was_trimmed_is_never_read_again_while_the_trim_moves_into_the_archive() {
    let (_, archive) = new_archive();
    let mut journal = Journal::default();
    let number = journal.create("trimmed", &[], Append::of([payload(1, 100, true)]));
    let other = journal.create("other", &[], Append::of([payload(1, 100, true)]));
    for seed in 0..8 {
        journal.append(number, Append::of((0..30).map(|event| payload(seed + event, 200, true))));
        journal.append(other, Append::of((0..30).map(|event| payload(seed + event, 200, false))));
        journal.seal_all(&archive);
    }
    let memory = Memory { number, floor_seq: AtomicU64::new(1), unsealed: AtomicBool::new(false) };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    read_everything(&archive, &memory, "trimmed");
                }
            });
        }
        for floor_seq in 2..=200 {
            // As a writer does it: the memory first, then the archive, and then the memory forgets.
            memory.unsealed.store(true, Ordering::SeqCst);
            memory.floor_seq.store(floor_seq, Ordering::SeqCst);
            journal.trim(number, floor_seq, None);
            journal.seal_all(&archive);
            memory.unsealed.store(false, Ordering::SeqCst);
        }
        done.store(true, Ordering::SeqCst);
    });
    super::checks::check(&archive, &journal.sealed);
}

#[test]
fn who_reads_everything_while_it_is_sealed_sees_every_position_once() {
    let (_, archive) = new_archive();
    let archive = super::support::in_small_units(archive);
    let done = AtomicBool::new(false);
    let mut journal = Journal::default();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut after = 0;
                while !done.load(Ordering::SeqCst) || after < archive.meta().sealed_position {
                    let page = archive
                        .read_all(after, PageSize::default(), &|_| Visibility::AsArchived)
                        .expect("sound");
                    let positions: Vec<u64> = page.events.iter().map(|(_, event)| event.position).collect();
                    assert_eq!(positions, (after + 1..=page.through).collect::<Vec<u64>>());
                    after = page.through;
                }
            });
        }
        for generation in 0..40 {
            for execution in 0..60 {
                let id = format!("execution-{generation}-{execution}");
                journal.create(&id, &[], Append::of((0..3).map(|seed| payload(seed, 400, true))));
            }
            journal.seal_all(&archive);
        }
        done.store(true, Ordering::SeqCst);
    });
    super::checks::check(&archive, &journal.sealed);
}

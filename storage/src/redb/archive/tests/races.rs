//! Readers of all executions while sealing, trimming and deleting go on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::super::{Archive, Visibility};
use super::support::{Append, Journal, in_small_slices, in_small_units, new_archive, payload};
use crate::{PageSize, Seq};

/// Tells the readers to end, also when the test fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

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
        let _done = Done(&done);
        for floor_seq in 2..=200 {
            // As a writer does it: the memory first, then the archive, and then the memory forgets.
            memory.unsealed.store(true, Ordering::SeqCst);
            memory.floor_seq.store(floor_seq, Ordering::SeqCst);
            journal.trim(number, floor_seq, None);
            journal.seal_all(&archive);
            memory.unsealed.store(false, Ordering::SeqCst);
        }
    });
    super::checks::check(&archive, &journal.sealed);
}

#[test]
fn a_trim_that_is_sealed_in_the_midst_of_a_read_hides_what_it_removed() {
    let (_, archive) = new_archive();
    let mut journal = Journal::default();
    let number = journal.create("trimmed", &[], Append::of((0..50).map(|seed| payload(seed, 100, true))));
    journal.seal_all(&archive);
    journal.trim(number, 20, None);
    let journal = std::cell::RefCell::new(journal);
    let sealed = std::cell::Cell::new(false);
    // The page is loaded when this is asked; then the trim is sealed, and the memory has forgotten it.
    let overlay = |_: u64| {
        if !sealed.replace(true) {
            journal.borrow_mut().seal_all(&archive);
        }
        Visibility::AsArchived
    };
    let page = archive.read_all(0, PageSize::default(), &overlay).expect("sound");
    assert_eq!(page.events.first().map(|(_, event)| event.seq), Some(20));
    assert_eq!(page.events.len(), 31);
}

/// Reads all positions and looks at all heads, while every generation creates and changes executions.
fn read_while_sealing(archive: &Archive) {
    const EXECUTIONS: u64 = 40;
    let done = AtomicBool::new(false);
    let mut journal = Journal::default();
    let follow = || {
        let mut after = 0;
        while !done.load(Ordering::SeqCst) || after < archive.meta().sealed_position {
            let page =
                archive.read_all(after, PageSize::default(), &|_| Visibility::AsArchived).expect("sound");
            let positions: Vec<u64> = page.events.iter().map(|(_, event)| event.position).collect();
            assert_eq!(positions, (after + 1..=page.through).collect::<Vec<u64>>());
            after = page.through;
        }
    };
    let look = || {
        while !done.load(Ordering::SeqCst) {
            for number in 1..=EXECUTIONS {
                let head = archive.head(number).expect("sound");
                let sealed_position = super::super::read_meta(&archive.db).expect("sound").sealed_position;
                let tail_position = head.map_or(0, |head| head.tail_position);
                assert!(
                    tail_position <= sealed_position,
                    "{tail_position} is not sealed, only {sealed_position}"
                );
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(follow);
        scope.spawn(look);
        let _done = Done(&done);
        for generation in 0..40 {
            for execution in 0..EXECUTIONS {
                let id = format!("execution-{generation}-{execution}");
                journal.create(&id, &[], Append::of((0..3).map(|seed| payload(seed, 400, true))));
                if generation > 0 {
                    journal.append(execution + 1, Append::of([payload(execution, 40, true)]));
                }
            }
            journal.seal_all(archive);
        }
    });
    super::checks::check(archive, &journal.sealed);
}

#[test]
fn who_reads_during_a_sealing_of_many_units_sees_each_position_once_and_no_unsealed_head() {
    read_while_sealing(&in_small_units(new_archive().1));
}

#[test]
fn who_reads_during_a_sealing_of_many_slices_sees_each_position_once_and_no_unsealed_head() {
    read_while_sealing(&in_small_slices(new_archive().1));
}

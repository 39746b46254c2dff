//! The archive against the model, without crashes.

use proptest::prelude::*;

use super::super::Archive;
use super::checks::check;
use super::script::{play, script};
use super::support::{Append, Journal, STORE, in_small_units, new_archive, payload};
use super::tidy::check_tidy;
use crate::redb::format::FormatError;
use crate::{Producer, StoreId};

fn some(count: u64, length: usize) -> Append {
    Append::of((0..count).map(|index| payload(index + 1, length, index % 3 == 0)))
}

#[test]
fn what_was_sealed_is_read_back_as_it_was_written() {
    let (_, archive) = new_archive();
    let mut journal = Journal::default();
    let first = journal.create("first", &[("env", "prod")], some(3, 256));
    let second = journal.create("second", &[], some(1, 10));
    journal.commit();
    for round in 0..40 {
        journal.advance_clock(round);
        journal.append(first, some(20, 256));
        journal.append(second, some(2, 900));
        journal.commit();
    }
    journal.seal_all(&archive);
    check(&archive, &journal.sealed);
}

#[test]
fn an_event_of_the_largest_size_is_stored_in_parts_and_freed() {
    let (_, archive) = new_archive();
    let mut journal = Journal::default();
    let number = journal.create("large", &[], some(1, 10));
    journal.append(number, Append::of([payload(1, crate::limits::APPEND_BYTES_MAX, true)]));
    journal.append(number, some(3, 300));
    journal.seal_all(&archive);
    check(&archive, &journal.sealed);
    let used = archive.used_bytes();
    assert!(used > crate::limits::APPEND_BYTES_MAX as u64);
    journal.trim(number, 3, None);
    journal.seal_all(&archive);
    check(&archive, &journal.sealed);
    while archive.clean(&|| Ok(())).expect("sound") {}
    assert!(archive.used_bytes() < 10_000, "{} bytes are still in use", archive.used_bytes());
}

#[test]
fn an_archive_opens_only_for_its_own_store_and_only_in_a_known_format() {
    let (disk, archive) = new_archive();
    archive.close().expect("closes");
    let other = Archive::open(disk.open(), StoreId(7));
    assert!(matches!(other, Err(FormatError::OtherStore { found: STORE })));
    let archive = Archive::open(disk.open(), STORE).expect("its own store");
    assert_eq!((archive.meta().sealed_row, archive.meta().next_number), (0, 1));
}

#[test]
fn every_append_of_every_epoch_of_a_producer_is_found_again_as_long_as_it_is_kept() {
    let (_, archive) = new_archive();
    let mut journal = Journal::default();
    let number = journal.create("one", &[], some(1, 10));
    for append in 0..400u64 {
        let name = if append % 3 == 0 { "rare" } else { "often" };
        let producer = Producer { id: name.into(), epoch: append / 60, seq: append % 60 };
        journal.append(number, Append { producer: Some(producer), ..some(1 + append % 4, 700) });
        if append % 90 == 0 {
            journal.seal_all(&archive);
        }
    }
    journal.seal_all(&archive);
    check(&archive, &journal.sealed);
    journal.trim(number, 500, None);
    journal.seal_all(&archive);
    check(&archive, &journal.sealed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_archive_always_says_what_the_model_says(steps in script(120), small in any::<bool>()) {
        let (disk, archive) = new_archive();
        let small = |archive| if small { in_small_units(archive) } else { archive };
        let archive = small(archive);
        let mut journal = Journal::default();
        play(&mut journal, &steps, |journal, commits| {
            journal.seal(&archive, commits);
            check(&archive, &journal.sealed);
        });
        while archive.clean(&|| Ok(())).expect("sound") {}
        check(&archive, &journal.sealed);
        check_tidy(&archive);
        let meta = archive.meta();
        archive.close().expect("closes");
        let archive = Archive::open(disk.open(), STORE).expect("opens again");
        prop_assert_eq!(archive.meta(), meta);
        check(&archive, &journal.sealed);
    }
}

//! What one durable unit writes is bounded, whatever is sealed or freed.

use super::super::Archive;
use super::bulk::Bulk;
use super::support::{Append, Journal, new_archive, payload};
use crate::limits::{APPEND_BYTES_MAX, GENERATION_BYTES_MAX, MIB, SEAL_UNIT_BYTES};
use crate::redb::testing::disk::Disk;

/// What the ballast beside the file must be able to give.
const WRITTEN_AT_ONCE_MAX: usize = 2 * SEAL_UNIT_BYTES + MIB;

fn seal_bulk(disk: &Disk, archive: &Archive, bulk: &mut Bulk, bytes: usize) -> u64 {
    disk.written_at_once();
    let outcome = archive.seal(&bulk.next(bytes), &|| Ok(())).expect("sound");
    let written = disk.written_at_once();
    assert!(written <= WRITTEN_AT_ONCE_MAX, "{written} bytes in one unit of {outcome:?}");
    outcome.durable_commits
}

#[test]
fn sealing_many_new_executions_and_then_one_event_of_each_writes_bounded_units() {
    let (disk, archive) = new_archive();
    let mut bulk = Bulk::new(30_000, vec![payload(1, 200, true)]);
    for _ in 0..3 {
        let commits = seal_bulk(&disk, &archive, &mut bulk, GENERATION_BYTES_MAX / 2);
        assert!(commits > 4, "only {commits} commits");
    }
}

#[test]
fn sealing_small_chunks_between_older_ones_writes_bounded_units() {
    let (disk, archive) = new_archive();
    let mut bulk =
        Bulk::new(2_000, vec![payload(1, 250, true), payload(2, 125, true), payload(3, 500, true)]);
    for _ in 0..6 {
        seal_bulk(&disk, &archive, &mut bulk, GENERATION_BYTES_MAX);
    }
}

#[test]
fn sealing_the_largest_generation_and_freeing_it_writes_bounded_units() {
    let (disk, archive) = new_archive();
    let mut bulk = Bulk::new(3, vec![payload(1, 200, true), payload(2, 300_000, true)]);
    seal_bulk(&disk, &archive, &mut bulk, GENERATION_BYTES_MAX);
    let (disk, archive) = new_archive();
    let mut journal = Journal::default();
    let number = journal.create("large", &[], Append::of([payload(1, APPEND_BYTES_MAX, true)]));
    for seed in 0..3_000 {
        journal.append(number, Append::of([payload(seed, 1_000, true)]));
    }
    journal.seal_all(&archive);
    journal.trim(number, 100, Some(payload(1, APPEND_BYTES_MAX, true)));
    journal.seal_all(&archive);
    journal.delete(number);
    journal.seal_all(&archive);
    while archive.clean(&|| Ok(())).expect("sound") {}
    let written = disk.written_at_once();
    assert!(written <= WRITTEN_AT_ONCE_MAX, "{written} bytes in one unit");
}

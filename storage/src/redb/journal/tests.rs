//! The journal on a disk that crashes: what was appended is there, whole, or was never acknowledged.

mod model;

use proptest::prelude::*;

use super::super::error::EngineError;
use super::super::testing::disk::{Crash, Disk};
use super::scan::Next;
use super::*;

const STORE: StoreId = StoreId(77);

fn new_journal() -> (Disk, Journal) {
    let disk = Disk::default();
    let db = disk.open_repairing();
    Journal::init(&db, STORE).expect("inits");
    (disk, Journal::open(db, STORE).expect("opens"))
}

fn open(image: Vec<u8>) -> Journal {
    Journal::open(Disk::with_image(image).open_repairing(), STORE).expect("a crash leaves a journal")
}

fn scanned(journal: &Journal, sealed_row: u64) -> Result<(Vec<RawCommit>, Next), EngineError> {
    let mut commits = Vec::new();
    let next = journal.scan::<EngineError>(sealed_row, |commit| {
        commits.push(commit);
        Ok(())
    })?;
    Ok((commits, next))
}

fn bytes(seed: u64, length: usize) -> Vec<u8> {
    (0..length).map(|index| (seed as usize * 31 + index * 7) as u8).collect()
}

/// Appends commits of these lengths from the beginning on.
fn append_all(journal: &Journal, lengths: &[usize]) -> Vec<RawCommit> {
    let mut row = 1;
    let commits = lengths.iter().zip(1..).map(|(length, commit)| {
        let bytes = bytes(commit, *length);
        let appended = journal.append(commit, row, &bytes, None).expect("appends");
        let (first_row, last_row) = (row, appended.last_row);
        row = last_row + 1;
        RawCommit { commit, first_row, last_row, bytes: bytes.into() }
    });
    commits.collect()
}

#[test]
fn what_was_appended_is_scanned_and_read_again() {
    let (_, journal) = new_journal();
    let appended = append_all(&journal, &[1, 4_011, 4_012, 0, 100_000, 3 << 20]);
    let (commits, next) = scanned(&journal, 0).expect("sound");
    assert_eq!(commits, appended);
    let last = appended.last().expect("some");
    assert_eq!(next, Next { row: last.last_row + 1, commit: last.commit + 1 });
    for commit in &appended {
        let read = journal.read_commit(commit.first_row, commit.last_row).expect("sound");
        assert_eq!(read.as_ref(), Some(&commit.bytes));
    }
}

#[test]
fn sealed_rows_are_skipped_and_removed_in_slices() {
    let (disk, journal) = new_journal();
    let appended = append_all(&journal, &[10; 600]);
    let sealed = appended[499].last_row;
    assert_eq!(scanned(&journal, sealed).expect("sound").0, appended[500..]);
    let removed = journal.append(601, 601, &[1], Some(sealed)).expect("appends").removed_through;
    assert_eq!(removed, Some(REMOVED_ROWS_MAX as u64));
    assert_eq!(journal.read_commit(1, 1).expect("sound"), None);
    assert_eq!(journal.remove(sealed).expect("removes"), Some(sealed));
    assert_eq!(journal.remove(sealed).expect("removes"), Some(sealed));
    drop(journal);
    let reopened = open(disk.image_now());
    let (commits, next) = scanned(&reopened, sealed).expect("sound");
    assert_eq!(commits.len(), 101);
    assert_eq!(next, Next { row: 602, commit: 602 });
    assert!(scanned(&reopened, sealed - 1).is_err(), "a row that is not sealed is missing");
}

#[test]
fn numbers_go_on_when_everything_is_sealed() {
    let (_, journal) = new_journal();
    append_all(&journal, &[10; 3]);
    assert_eq!(scanned(&journal, 3).expect("sound").1, Next { row: 4, commit: 4 });
    journal.remove(3).expect("removes");
    assert_eq!(scanned(&journal, 3).expect("sound").1.row, 4);
}

#[test]
fn a_journal_that_is_older_than_what_was_sealed_of_it_is_told() {
    let (disk, journal) = new_journal();
    append_all(&journal, &[10; 3]);
    let older = open(disk.image_now());
    let error = scanned(&older, 5).expect_err("rows 4 and 5 were sealed and are not there").to_string();
    assert!(error.contains("row 3 is the last one"), "{error}");
    older.remove(2).expect("removes");
    assert!(scanned(&older, 5).is_err());
    assert_eq!(scanned(&older, 3).expect("all of it is sealed").1, Next { row: 4, commit: 4 });
}

#[test]
fn used_bytes_are_those_of_the_rows_that_are_there() {
    let (disk, journal) = new_journal();
    let row_bytes = |length: usize| (length + rows::HEADER_BYTES) as u64;
    append_all(&journal, &[10, 20]);
    assert_eq!(journal.used_bytes(), row_bytes(10) + row_bytes(20));
    journal.append(3, 3, &[1; 30], Some(1)).expect("appends");
    assert_eq!(journal.used_bytes(), row_bytes(20) + row_bytes(30));
    let reopened = open(disk.image_now());
    assert_eq!(scanned(&reopened, 1).expect("sound").0.len(), 2);
    assert_eq!(reopened.used_bytes(), row_bytes(20) + row_bytes(30));
    reopened.remove(3).expect("removes");
    assert_eq!(reopened.used_bytes(), 0);
}

/// Bytes of the rows above one, read one by one.
fn recounted(journal: &Journal, row: u64) -> u64 {
    let txn = journal.db.begin_read().expect("reads");
    let table = txn.open_table(ROWS).expect("opens");
    let rows = table.range(row + 1..).expect("reads");
    rows.map(|row| row.expect("reads").1.value().len() as u64).sum()
}

#[test]
fn what_was_sealed_before_a_start_is_not_counted_and_takes_nothing_from_the_count_when_it_goes() {
    let (disk, journal) = new_journal();
    append_all(&journal, &[100; 600]);
    let reopened = open(disk.image_now());
    assert_eq!(scanned(&reopened, 500).expect("sound").0.len(), 100);
    assert_eq!(reopened.used_bytes(), recounted(&reopened, 500));
    // Three removals: of uncounted rows, of the last of them, of counted ones.
    for (commit, sealed_row) in [(601, 500), (602, 500), (603, 550)] {
        reopened.append(commit, commit, &[1; 30], Some(sealed_row)).expect("appends");
        assert_eq!(reopened.used_bytes(), recounted(&reopened, 500), "after commit {commit}");
    }
    assert_eq!(reopened.used_bytes(), recounted(&reopened, 0), "all that is there is counted in the end");
    assert!(reopened.used_bytes() > 0);
}

/// Puts other bytes in place of a row, behind the journal's back.
fn replace(journal: &Journal, row: u64, value: Option<&[u8]>) {
    let txn = journal.db.begin_write().expect("writes");
    {
        let mut table = txn.open_table(ROWS).expect("opens");
        match value {
            Some(value) => drop(table.insert(row, value).expect("inserts")),
            None => drop(table.remove(row).expect("removes")),
        }
    }
    txn.commit().expect("commits");
}

#[test]
fn a_row_that_is_missing_or_out_of_place_is_named() {
    let cases: [(u64, Option<Vec<u8>>, &str); 5] = [
        (2, None, "row 2 is missing"),
        (2, Some(vec![1; 5]), "row 2 is shorter"),
        (3, Some(cut(9, b"x").next().expect("a row")), "row 3 belongs to commit 9"),
        (4, Some(cut(3, &[0; 5_000]).next().expect("a row")), "row 4 belongs to commit 3"),
        (4, Some(cut(4, &[0; 5_000]).next().expect("a row")), "row 5 is missing"),
    ];
    for (row, value, expected) in cases {
        let (_, journal) = new_journal();
        append_all(&journal, &[10; 4]);
        replace(&journal, row, value.as_deref());
        let error = scanned(&journal, 0).expect_err("damaged").to_string();
        assert!(error.contains(expected), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_crash_leaves_every_acknowledged_commit_whole(
        lengths in proptest::collection::vec(0_usize..20_000, 1..12),
        at in any::<prop::sample::Index>(),
        cut_power in proptest::option::of(any::<u64>()),
    ) {
        let crash = cut_power.map_or(Crash::Killed, Crash::PowerCut);
        let rehearsal = new_journal();
        let before = rehearsal.0.calls();
        append_all(&rehearsal.1, &lengths);
        let calls = rehearsal.0.calls() - before;

        let (disk, journal) = new_journal();
        disk.take_image_at(disk.calls() + at.index(calls), crash);
        let mut acknowledged = 0;
        let mut row = 1;
        for (length, commit) in lengths.iter().zip(1..) {
            row = journal.append(commit, row, &bytes(commit, *length), None).expect("appends").last_row + 1;
            match disk.image() {
                None => acknowledged = commit,
                Some(image) => {
                    let (commits, _) = scanned(&open(image), 0).expect("sound");
                    prop_assert!((acknowledged..=commit).contains(&(commits.len() as u64)));
                    for found in commits {
                        prop_assert_eq!(found.bytes, bytes(found.commit, lengths[found.commit as usize - 1]));
                    }
                    return Ok(());
                }
            }
        }
    }
}

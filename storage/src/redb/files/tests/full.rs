//! A full disk never reaches redb: the running unit finishes, nothing new begins, reads go on, and
//! writing resumes by itself.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use redb::Database;

use super::super::dir::{ARCHIVE_BALLAST, JOURNAL_BALLAST};
use super::super::{Files, Space};
use super::mount::Mount;
use super::support::{get, open_plain, open_with, put, remove};
use crate::redb::error::EngineError;
use crate::test_util::Faults;

/// As much as one durable unit carries.
const UNIT_BYTES: usize = 4 << 20;

fn wait_until_it_may_write(space: &Space) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !space.may_write() {
        assert!(Instant::now() < deadline, "there is room, but the store does not resume");
        thread::sleep(Duration::from_millis(5));
    }
}

fn ballast_blocks(path: &Path, name: &str) -> u64 {
    fs::metadata(path.join(name)).expect("is there").blocks()
}

fn value(key: u64) -> Vec<u8> {
    (0..UNIT_BYTES as u64).map(|index| (index.wrapping_mul(key | 1) >> 7) as u8).collect()
}

#[test]
fn a_write_that_finds_no_room_throws_the_ballast_off_and_is_repeated() {
    let dir = tempfile::tempdir().expect("a place for files");
    let faults = Faults::new();
    faults.script("ballast 1048576").expect("parses");
    let files = open_with(dir.path(), &faults).expect("makes the store");
    for (error, times) in [("enospc", 1), ("edquot", 1), ("enospc", 4)] {
        let script = format!("ballast 1048576\nfree 1000\njournal write {error} times={times}");
        faults.script(&script).expect("parses");
        put(&files.journal, times, b"finished").expect("the running unit finishes");
        assert_eq!(ballast_blocks(dir.path(), JOURNAL_BALLAST), 0);
        assert!(!files.journal_space.may_write(), "something new would begin on a full disk");
        assert_eq!(get(&files.journal, times), Some(b"finished".to_vec()));
        // Nobody asks for anything: the thread that looks after the files does it.
        faults.script("ballast 1048576").expect("parses");
        wait_until_it_may_write(&files.journal_space);
        assert!(ballast_blocks(dir.path(), JOURNAL_BALLAST) * 512 >= 1 << 20);
    }
}

#[test]
fn nothing_new_begins_once_little_is_free_until_there_is_clearly_more() {
    let dir = tempfile::tempdir().expect("a place for files");
    let faults = Faults::new();
    faults.script("ballast 65536").expect("parses");
    let files = open_with(dir.path(), &faults).expect("makes the store");
    let spaces = [&files.journal_space, &files.archive_space];
    let may_write = || spaces.map(|space| space.may_write());
    faults.script("ballast 65536\nfree 16777216").expect("parses");
    assert_eq!(may_write(), [true; 2], "the limit itself is enough");
    faults.script("ballast 65536\nfree 16777215").expect("parses");
    assert_eq!(may_write(), [false; 2]);
    for free in [20 << 20, (48 << 20) - 1] {
        faults.script(&format!("ballast 65536\nfree {free}")).expect("parses");
        spaces.iter().for_each(|space| space.recover());
        assert_eq!(may_write(), [false; 2], "with {free} bytes free");
    }
    faults.script("ballast 65536\nfree 50331648").expect("parses");
    spaces.iter().for_each(|space| space.recover());
    assert_eq!(may_write(), [true; 2]);
}

#[test]
fn a_whole_ballast_is_left_as_it_is_when_there_is_room_again() {
    let dir = tempfile::tempdir().expect("a place for files");
    let faults = Faults::new();
    faults.script("ballast 1048576").expect("parses");
    let files = open_with(dir.path(), &faults).expect("makes the store");
    faults.script("ballast 1048576\nfree 1").expect("parses");
    assert!(!files.journal_space.may_write());
    // Whoever allocated it anew would lose it here.
    faults.script("ballast 1048576\njournal_ballast allocate enospc").expect("parses");
    files.journal_space.recover();
    assert!(files.journal_space.may_write());
    assert!(ballast_blocks(dir.path(), JOURNAL_BALLAST) * 512 >= 1 << 20);
}

#[test]
fn a_store_opens_for_reading_on_a_disk_that_is_too_full_for_its_ballast() {
    let dir = tempfile::tempdir().expect("a place for files");
    let files = open_plain(dir.path()).expect("makes the store");
    put(&files.journal, 1, b"one").expect("writes");
    drop(files);
    fs::write(dir.path().join(JOURNAL_BALLAST), b"").expect("throws it off");
    let faults = Faults::new();
    faults.script("ballast 65536\njournal_ballast allocate enospc").expect("parses");
    let files = open_with(dir.path(), &faults).expect("opens");
    assert_eq!(get(&files.journal, 1), Some(b"one".to_vec()));
    assert!(!files.journal_space.may_write());
    assert!(files.archive_space.may_write());
    faults.script("ballast 65536").expect("parses");
    wait_until_it_may_write(&files.journal_space);
}

#[test]
fn a_sync_that_fails_is_never_repeated_whatever_the_error() {
    for error in ["eio", "enospc", "edquot"] {
        let dir = tempfile::tempdir().expect("a place for files");
        let faults = Faults::new();
        faults.script("ballast 65536").expect("parses");
        let files = open_with(dir.path(), &faults).expect("makes the store");
        faults.script(&format!("journal sync_data {error} times=1")).expect("parses");
        let failed = put(&files.journal, 1, b"lost").expect_err("the sync failed");
        assert!(matches!(failed, EngineError::Redb(redb::Error::Io(_))), "{failed:?}");
        // The fault is over, yet redb refuses to go on.
        let failed = put(&files.journal, 1, b"lost").expect_err("an earlier call failed");
        assert!(matches!(failed, EngineError::Redb(redb::Error::PreviousIo)), "{failed:?}");
        assert!(ballast_blocks(dir.path(), JOURNAL_BALLAST) > 0, "the ballast is not for syncs");
    }
}

#[test]
fn a_write_that_never_finds_room_fails_after_five_tries() {
    let dir = tempfile::tempdir().expect("a place for files");
    let faults = Faults::new();
    faults.script("ballast 65536").expect("parses");
    let files = open_with(dir.path(), &faults).expect("makes the store");
    faults.script("free 0\njournal write enospc times=5").expect("parses");
    let failed = put(&files.journal, 1, b"lost").expect_err("no room");
    assert!(matches!(failed, EngineError::Redb(redb::Error::Io(_))), "{failed:?}");
}

#[test]
fn a_transaction_can_be_scripted_to_fail_before_it_begins() {
    let dir = tempfile::tempdir().expect("a place for files");
    let faults = Faults::new();
    faults.script("ballast 65536\njournal begin eio times=1").expect("parses");
    let files = open_with(dir.path(), &faults).expect("makes the store");
    assert_eq!(files.journal_space.begin().map_err(|error| error.raw_os_error()), Err(Some(5)));
    files.journal_space.begin().expect("once only");
    files.archive_space.begin().expect("the other one is not meant");
}

/// Writes units to one database. The disk is full from the moment a unit has been allowed to begin,
/// which is the worst one.
fn write_on_a_filling_disk(mount: &Mount, db: &Database, space: &Space, keys: std::ops::Range<u64>) {
    for key in keys.clone() {
        wait_until_it_may_write(space);
        mount.fill();
        put(db, key, &value(key)).expect("redb never sees the full disk");
        assert!(!space.may_write(), "something new would begin on a full disk");
        assert_eq!(get(db, key), Some(value(key)), "what was acknowledged can be read on a full disk");
        mount.relieve();
        if let Some(old) = key.checked_sub(3).filter(|old| keys.contains(old)) {
            wait_until_it_may_write(space);
            remove(db, old).expect("removes");
        }
    }
}

fn survives_a_disk_that_is_filled_over_and_over(mount: Option<Mount>) {
    let Some(mount) = mount else {
        #[allow(clippy::print_stdout, reason = "who runs the tests must see what was not tested")]
        return println!("SKIPPED: a file system of its own needs root, mount and mkfs");
    };
    let path = mount.path().join("data");
    let open = || -> Files { open_with(&path, &Faults::new()).expect("opens") };
    for round in 0..2u64 {
        let files = open();
        let keys = 1 + round * 5..1 + (round + 1) * 5;
        write_on_a_filling_disk(&mount, &files.journal, &files.journal_space, keys.clone());
        assert!(ballast_blocks(&path, ARCHIVE_BALLAST) > 0, "the archive's ballast is the archive's");
        write_on_a_filling_disk(&mount, &files.archive, &files.archive_space, keys.clone());
        drop(files);
        let files = open();
        for key in keys.rev().take(3) {
            assert_eq!(get(&files.journal, key), Some(value(key)), "key {key} of the journal");
            assert_eq!(get(&files.archive, key), Some(value(key)), "key {key} of the archive");
        }
    }
    let mut files = open();
    assert!(files.journal.check_integrity().expect("checks"), "the journal is damaged");
    assert!(files.archive.check_integrity().expect("checks"), "the archive is damaged");
}

#[test]
fn a_store_survives_a_tmpfs_that_is_filled_over_and_over() {
    survives_a_disk_that_is_filled_over_and_over(Mount::tmpfs(400));
}

#[test]
fn a_store_survives_an_ext4_that_is_filled_over_and_over() {
    survives_a_disk_that_is_filled_over_and_over(Mount::ext4(400));
}

#[test]
fn a_store_is_not_made_on_a_full_disk_and_says_so() {
    let dir = tempfile::tempdir().expect("a place for files");
    let path = dir.path().join("data");
    let faults = Faults::new();
    faults.script("archive write enospc").expect("parses");
    match open_with(&path, &faults) {
        Err(crate::OpenError::DiskFull { path: said }) => assert_eq!(said, path),
        other => panic!("{other:?}"),
    }
    open_plain(&path).expect("there is room again");
}

#[test]
fn no_room_is_told_by_the_two_errors_that_mean_it() {
    use super::super::disk::is_full;
    assert!(is_full(&io::Error::from(rustix::io::Errno::NOSPC)));
    assert!(is_full(&io::Error::from(rustix::io::Errno::DQUOT)));
    assert!(!is_full(&io::Error::from(rustix::io::Errno::IO)));
    assert!(!is_full(&io::Error::from(rustix::io::Errno::FBIG)));
}

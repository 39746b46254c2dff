//! Files that were changed behind the store's back are noticed at the next start.

use std::fs::{self, OpenOptions};
use std::path::Path;

use super::super::dir::{ARCHIVE, ARCHIVE_BALLAST, IO_FAILED, JOURNAL, SIDECAR};
use super::support::{open_plain, put};
use crate::OpenError;

/// A closed store with some rows in both databases.
fn store() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a place for files");
    let files = open_plain(dir.path()).expect("makes the store");
    for key in 1..40 {
        put(&files.journal, key, &[7; 5000]).expect("writes");
        put(&files.archive, key, &[7; 5000]).expect("writes");
    }
    files.sidecar.note(40);
    files.sidecar.write_now().expect("writes");
    dir
}

/// The store must not open; returns what is said to be damaged.
fn damage(path: &Path) -> String {
    match open_plain(path) {
        Err(OpenError::Damaged { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

fn cut(file: &Path, length: u64) {
    let file = OpenOptions::new().write(true).open(file).expect("opens");
    file.set_len(length).expect("cuts");
}

#[test]
fn a_missing_file_is_named_and_never_made_anew() {
    for missing in [&[JOURNAL][..], &[ARCHIVE], &[SIDECAR], &[JOURNAL, ARCHIVE], &[JOURNAL, ARCHIVE, SIDECAR]]
    {
        let dir = store();
        for name in missing {
            fs::remove_file(dir.path().join(name)).expect("removes");
        }
        let what = damage(dir.path());
        assert!(what.ends_with(&missing.join(", ")), "{what}");
        assert!(missing.iter().all(|name| !dir.path().join(name).exists()), "something was made");
    }
}

#[test]
fn an_emptied_file_is_named() {
    for name in [JOURNAL, ARCHIVE, SIDECAR] {
        let dir = store();
        cut(&dir.path().join(name), 0);
        let what = damage(dir.path());
        assert!(what.contains(name), "{what}");
    }
}

#[test]
fn a_truncated_database_is_named_wherever_it_was_cut() {
    for name in [JOURNAL, ARCHIVE] {
        let dir = store();
        let file = dir.path().join(name);
        let whole = fs::read(&file).expect("reads");
        let length = whole.len() as u64;
        for cut_at in [1, 9, 100, 4095, 4096, 4097, length / 4, length / 2, length - 4096, length - 1] {
            fs::write(&file, &whole).expect("restores");
            cut(&file, cut_at);
            let what = damage(dir.path());
            assert!(what.contains(name), "cut at {cut_at} of {length}: {what}");
        }
        fs::write(&file, &whole).expect("restores");
        open_plain(dir.path()).expect("whole again");
    }
}

#[test]
fn a_database_of_zeros_or_of_something_else_is_named() {
    for name in [JOURNAL, ARCHIVE] {
        let dir = store();
        let file = dir.path().join(name);
        let length = fs::metadata(&file).expect("is there").len() as usize;
        for contents in [vec![0; length], b"not a database".repeat(1000)] {
            fs::write(&file, contents).expect("writes");
            let what = damage(dir.path());
            assert!(what.contains(name), "{what}");
        }
    }
}

#[test]
fn a_sidecar_with_a_wrong_byte_anywhere_is_named_or_of_a_newer_version() {
    let dir = store();
    let file = dir.path().join(SIDECAR);
    let whole = fs::read(&file).expect("reads");
    for (at, bit) in (0..whole.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut wrong = whole.clone();
        wrong[at] ^= 1 << bit;
        fs::write(&file, wrong).expect("writes");
        match open_plain(dir.path()) {
            Err(OpenError::Damaged { what, .. }) => assert!(what.contains(SIDECAR), "{what}"),
            Err(OpenError::NewerFormat { .. }) => {
                assert!((8..12).contains(&at), "byte {at} is not the version")
            }
            other => panic!("byte {at}: {other:?}"),
        }
    }
    fs::write(&file, [&whole[..], b"x"].concat()).expect("writes");
    assert!(damage(dir.path()).contains("41 bytes"));
}

#[test]
fn a_data_directory_of_a_newer_version_is_refused_with_both_versions() {
    let dir = store();
    fs::write(
        dir.path().join(SIDECAR),
        [&b"tapeline"[..], &7u32.to_le_bytes(), b"whatever it will be"].concat(),
    )
    .expect("writes");
    match open_plain(dir.path()) {
        Err(OpenError::NewerFormat { found: 7, supported: 1, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_store_whose_events_end_before_the_low_water_position_is_refused() {
    let dir = store();
    let files = open_plain(dir.path()).expect("opens");
    files.sidecar.check(40).expect("it is as it was");
    files.sidecar.check(41).expect("more became durable after the sidecar was written");
    match files.sidecar.check(39) {
        Err(OpenError::Damaged { what, .. }) => assert!(what.contains("39") && what.contains("40"), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_ballast_that_is_missing_or_sparse_is_made_again() {
    let dir = store();
    let ballast = dir.path().join(ARCHIVE_BALLAST);
    for wound in [
        |path: &Path| fs::remove_file(path).expect("removes"),
        |path: &Path| {
            cut(path, 0);
            cut(path, 65536);
        },
    ] {
        wound(&ballast);
        let files = open_plain(dir.path()).expect("opens");
        assert!(files.archive_space.may_write());
        assert!(
            fs::metadata(&ballast).map(|file| std::os::unix::fs::MetadataExt::blocks(&file)).expect("is")
                >= 128
        );
    }
}

#[test]
fn after_a_failed_call_the_next_start_checks_every_page_and_then_forgets_it() {
    let dir = store();
    open_plain(dir.path()).expect("opens").dir.mark_io_failed();
    let mark = dir.path().join(IO_FAILED);
    assert!(mark.exists());
    open_plain(dir.path()).expect("opens");
    assert!(!mark.exists(), "the mark outlived the check");

    // A wrong byte deep inside is found with the mark only.
    let file = dir.path().join(JOURNAL);
    let whole = fs::read(&file).expect("reads");
    let mut wrong = whole.clone();
    let at = whole.windows(64).rposition(|window| window == [7; 64]).expect("rows are there");
    wrong[at] ^= 1;
    fs::write(&file, &wrong).expect("writes");
    open_plain(dir.path()).expect("nobody looked");
    open_plain(dir.path()).expect("nobody looked").dir.mark_io_failed();
    assert!(damage(dir.path()).contains(JOURNAL));
    assert!(mark.exists(), "the mark must stay until a check finds nothing");
}

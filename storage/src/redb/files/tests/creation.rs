//! The making of a store, cut short at every call.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::super::dir::{ARCHIVE, CREATING, JOURNAL, TEMPORARY};
use super::mount::Mount;
use super::support::{get, open_plain, open_with, put};
use crate::OpenError;
use crate::test_util::Faults;

#[test]
fn a_store_is_made_once_and_opened_again_with_what_was_written() {
    let dir = tempfile::tempdir().expect("a place for files");
    let path = dir.path().join("a/b/c");
    let files = open_plain(&path).expect("makes the store");
    let store_id = files.store_id;
    assert_eq!(get(&files.journal, 0), Some(store_id.0.to_le_bytes().to_vec()));
    assert_eq!(get(&files.archive, 0), Some(store_id.0.to_le_bytes().to_vec()));
    put(&files.journal, 1, b"one").expect("writes");
    drop(files);
    let files = open_plain(&path).expect("opens the store");
    assert_eq!(files.store_id, store_id);
    assert_eq!(get(&files.journal, 1), Some(b"one".to_vec()));
}

#[test]
fn directories_are_made_0700_and_files_0600() {
    let dir = tempfile::tempdir().expect("a place for files");
    let path = dir.path().join("parent/data");
    let _files = open_plain(&path).expect("makes the store");
    let mode = |path| fs::metadata(path).expect("is there").permissions().mode() & 0o7777;
    assert_eq!(mode(dir.path().join("parent")), 0o700);
    assert_eq!(mode(path.clone()), 0o700);
    let files: Vec<_> =
        fs::read_dir(&path).expect("lists").map(|entry| entry.expect("lists").path()).collect();
    assert_eq!(files.len(), 6, "{files:?}");
    for file in files {
        assert_eq!(mode(file.clone()), 0o600, "{}", file.display());
    }
}

#[test]
fn a_creation_that_is_cut_short_at_any_call_is_completed_or_begun_anew_by_the_next_start() {
    let mut survived_cuts = 0;
    for cut in 0.. {
        let dir = tempfile::tempdir().expect("a place for files");
        let path = dir.path().join("data");
        let faults = Faults::new();
        faults.script(&format!("ballast 65536\nany any crash skip={cut}")).expect("parses");
        let outcome = open_with(&path, &faults);
        let finished = outcome.is_ok();
        drop(outcome);
        let files = open_plain(&path).unwrap_or_else(|error| panic!("cut before call {cut}: {error}"));
        assert_eq!(get(&files.journal, 0), Some(files.store_id.0.to_le_bytes().to_vec()), "cut {cut}");
        assert_eq!(get(&files.archive, 0), Some(files.store_id.0.to_le_bytes().to_vec()), "cut {cut}");
        for name in [CREATING.to_owned(), format!("{JOURNAL}{TEMPORARY}"), format!("{ARCHIVE}{TEMPORARY}")] {
            assert!(!path.join(&name).exists(), "cut {cut} left {name}");
        }
        if finished {
            break;
        }
        survived_cuts += 1;
    }
    assert!(survived_cuts > 30, "a creation makes more calls than {survived_cuts}");
}

#[test]
fn a_file_in_the_place_of_the_directory_is_a_clear_error() {
    let dir = tempfile::tempdir().expect("a place for files");
    let path = dir.path().join("file");
    fs::write(&path, "mine").expect("writes");
    let error = open_plain(&path).expect_err("a file is no directory");
    assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
    assert!(error.to_string().contains("cannot use as a data directory"), "{error}");
    assert_eq!(fs::read(&path).expect("reads"), b"mine");
}

#[test]
fn a_directory_that_takes_no_files_is_a_clear_error() {
    let Some(mount) = Mount::read_only() else {
        #[allow(clippy::print_stdout, reason = "who runs the tests must see what was not tested")]
        return println!("SKIPPED: a read-only file system needs root and mount");
    };
    let error = open_plain(mount.path()).expect_err("it is read-only");
    assert!(matches!(&error, OpenError::Io { path, .. } if path.starts_with(mount.path())), "{error:?}");
    let error = open_plain(&mount.path().join("data")).expect_err("it is read-only");
    assert!(error.to_string().contains("cannot create the data directory"), "{error}");
}

#[test]
fn files_of_others_in_the_directory_are_left_alone() {
    let dir = tempfile::tempdir().expect("a place for files");
    fs::write(dir.path().join("notes.new"), "mine").expect("writes");
    drop(open_plain(dir.path()).expect("makes the store"));
    drop(open_plain(dir.path()).expect("opens the store"));
    assert_eq!(fs::read(dir.path().join("notes.new")).expect("reads"), b"mine");
}

//! One process for each data directory.

use std::process::{Command, Stdio};

use super::super::dir::{ARCHIVE, JOURNAL, LOCK};
use super::support::open_plain;
use crate::OpenError;

/// Names the data directory to the process that a test starts.
const DIRECTORY: &str = "TAPELINE_TEST_DIRECTORY";

#[test]
fn a_second_opener_in_the_same_process_is_told_that_the_directory_is_in_use() {
    let dir = tempfile::tempdir().expect("a place for files");
    let files = open_plain(dir.path()).expect("makes the store");
    assert!(matches!(open_plain(dir.path()), Err(OpenError::InUse { path }) if path == dir.path()));
    drop(files);
    open_plain(dir.path()).expect("nobody has it any more");
}

#[test]
fn a_second_process_is_told_that_the_directory_is_in_use() {
    let dir = tempfile::tempdir().expect("a place for files");
    let in_other_process = || {
        let test = "redb::files::tests::lock::opens_the_directory_that_the_environment_names";
        let mut command = Command::new(std::env::current_exe().expect("this test's program"));
        command.args(["--exact", test, "--ignored", "--nocapture"]).env(DIRECTORY, dir.path());
        let output = command.stderr(Stdio::null()).output().expect("runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let files = open_plain(dir.path()).expect("makes the store");
    let said = in_other_process();
    assert!(said.contains("OUTCOME: the data directory"), "{said}");
    assert!(said.contains("is in use by another process"), "{said}");
    drop(files);
    let said = in_other_process();
    assert!(said.contains("OUTCOME: opened"), "{said}");
}

#[test]
#[ignore = "the second process of another test"]
#[allow(clippy::print_stdout, reason = "the other process reads it")]
fn opens_the_directory_that_the_environment_names() {
    let Some(path) = std::env::var_os(DIRECTORY) else { return };
    match open_plain(path.as_ref()) {
        Ok(_) => println!("OUTCOME: opened"),
        Err(error) => println!("OUTCOME: {error}"),
    }
}

#[test]
fn redb_keeps_its_own_locks_on_both_files() {
    let dir = tempfile::tempdir().expect("a place for files");
    let files = open_plain(dir.path()).expect("makes the store");
    for name in [JOURNAL, ARCHIVE] {
        let error = redb::Database::open(dir.path().join(name)).expect_err("it is open");
        assert!(matches!(error, redb::DatabaseError::DatabaseAlreadyOpen), "{error:?}");
    }
    // Also when somebody takes the lock file away.
    std::fs::remove_file(dir.path().join(LOCK)).expect("removes");
    assert!(matches!(open_plain(dir.path()), Err(OpenError::InUse { .. })));
    drop(files);
}

//! The sidecar says what was durable, and a crash while it is written never costs the store.

use super::super::sidecar;
use super::support::{open_plain, open_with, put};
use crate::Position;
use crate::test_util::Faults;

fn position(files: &super::super::Files) -> Position {
    sidecar::read(&files.dir.dir).expect("it is whole").position
}

#[test]
fn the_sidecar_is_written_when_asked_and_not_before_it_is_due() {
    let dir = tempfile::tempdir().expect("a place for files");
    let files = open_plain(dir.path()).expect("makes the store");
    files.sidecar.note(9);
    files.sidecar.note(7);
    files.sidecar.write_if_due().expect("nothing to do yet");
    assert_eq!(position(&files), 0);
    files.sidecar.write_now().expect("writes");
    assert_eq!(position(&files), 9, "positions never go back");
}

#[test]
fn a_sidecar_that_cannot_be_written_costs_nothing_but_the_newer_position() {
    let dir = tempfile::tempdir().expect("a place for files");
    let faults = Faults::new();
    faults.script("ballast 65536").expect("parses");
    let files = open_with(dir.path(), &faults).expect("makes the store");
    files.sidecar.note(5);
    faults.script("sidecar write enospc").expect("parses");
    files.sidecar.write_now().expect_err("no room");
    put(&files.journal, 1, b"one").expect("the databases do not mind");
    faults.script("").expect("parses");
    files.sidecar.write_now().expect("writes");
    assert_eq!(position(&files), 5);
}

#[test]
fn a_crash_while_the_sidecar_is_written_leaves_the_old_one_or_the_new_one() {
    let mut found = Vec::new();
    for cut in 0.. {
        let dir = tempfile::tempdir().expect("a place for files");
        let faults = Faults::new();
        faults.script("ballast 65536").expect("parses");
        let files = open_with(dir.path(), &faults).expect("makes the store");
        files.sidecar.note(5);
        faults.script(&format!("any any crash skip={cut}")).expect("parses");
        let finished = files.sidecar.write_now().is_ok();
        // The next start must find it whole before it looks at anything else.
        drop(files);
        let files = open_plain(dir.path()).expect("opens");
        found.push(position(&files));
        if finished {
            break;
        }
    }
    assert_eq!(found, [0, 0, 0, 0, 5, 5], "create, write, sync, rename; then the directory's sync");
}

//! What a program is given and what it gives: input, outputs, signals, its exit code.

use rustix::process::Signal;

use super::super::support::{Daemon, Running};
use super::{phases, recorded};

#[test]
fn output_and_exit_code_are_passed_through_and_recorded() {
    let daemon = Daemon::start();
    for (id, code, phase) in [("ok", 0, "PHASE_COMPLETED"), ("bad", 7, "PHASE_FAILED")] {
        let script = format!("printf out; printf err >&2; exit {code}");
        let done = daemon.shell(&["run", "--id", id, "--label", "k=v", "--", "sh", "-c", &script]);
        assert_eq!((done.code, done.text(), done.stderr.as_str()), (Some(code), "out", "err"));
        let events = daemon.events(id);
        assert_eq!(recorded(&events, "STREAM_STDOUT"), b"out");
        assert_eq!(recorded(&events, "STREAM_STDERR"), b"err");
        assert_eq!(phases(&events), ["PHASE_IN_PROGRESS", phase]);
        assert_eq!(events.last().unwrap()["phase_changed"]["exit"]["code"], code);
        assert_eq!(daemon.get(id)["labels"]["k"], "v");
    }
    assert_eq!(daemon.get("bad")["error"], "exit code 7");
}

#[test]
fn standard_input_reaches_the_program_and_it_knows_its_execution() {
    let daemon = Daemon::start();
    let script = "cat; printf %s \"$TAPELINE_EXECUTION_ID\"";
    let done = daemon.shell_with(&["run", "--id", "e1", "--", "sh", "-c", script], b"typed ");
    assert_eq!((done.code, done.text()), (Some(0), "typed e1"));
}

#[test]
fn a_program_that_cannot_be_started_has_the_exit_code_of_a_shell() {
    let daemon = Daemon::start();
    let missing = daemon.shell(&["run", "--id", "e1", "--", "/nothing/here"]);
    assert_eq!(missing.code, Some(127), "{}", missing.stderr);
    let directory = daemon.shell(&["run", "--id", "e2", "--", "/"]);
    assert_eq!(directory.code, Some(126), "{}", directory.stderr);
    for id in ["e1", "e2"] {
        assert_eq!(daemon.get(id)["phase"], "PHASE_FAILED");
        assert!(daemon.get(id)["error"].as_str().unwrap().contains("cannot start"));
    }
}

#[test]
fn an_execution_is_run_once() {
    let daemon = Daemon::start();
    assert_eq!(daemon.shell(&["run", "--id", "e1", "--", "true"]).code, Some(0));
    let again = daemon.shell(&["run", "--id", "e1", "--", "true"]);
    assert_eq!(again.code, Some(125));
    assert!(again.stderr.contains("e1"), "{}", again.stderr);
}

#[test]
fn signals_reach_the_program_and_a_stopped_run_is_cancelled() {
    let daemon = Daemon::start();
    let own = daemon.shell(&["run", "--id", "own", "--", "sh", "-c", "kill -9 $$"]);
    assert_eq!(own.code, Some(137));
    assert_eq!(daemon.events("own").last().unwrap()["phase_changed"]["exit"]["signal"], 9);
    assert_eq!(daemon.get("own")["phase"], "PHASE_FAILED");

    let script = "trap 'echo usr1' USR1; echo ready; while :; do sleep 0.05; done";
    let run = Running::start(&mut daemon.command(&["run", "--id", "e1", "--", "sh", "-c", script]));
    run.wait_for_lines(1);
    run.signal(Signal::USR1);
    run.wait_for_lines(2);
    run.signal(Signal::TERM);
    let done = run.done();
    assert_eq!((done.code, done.text()), (Some(143), "ready\nusr1\n"), "{}", done.stderr);
    assert_eq!(daemon.get("e1")["phase"], "PHASE_CANCELLED");
    assert_eq!(daemon.events("e1").last().unwrap()["phase_changed"]["exit"]["signal"], 15);
}

#[test]
fn a_program_that_ends_well_after_a_stop_keeps_its_exit_code() {
    let daemon = Daemon::start();
    let script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    let run = Running::start(&mut daemon.command(&["run", "--id", "e1", "--", "sh", "-c", script]));
    run.wait_for_lines(1);
    run.signal(Signal::TERM);
    let done = run.done();
    assert_eq!((done.code, done.text()), (Some(0), "ready\nbye\n"));
    assert_eq!(daemon.get("e1")["phase"], "PHASE_CANCELLED");
}

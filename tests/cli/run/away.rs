//! Programs whose daemon is not there, dies, hangs or has forgotten them: nothing is lost, and nothing is
//! delivered twice.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::super::support::{Daemon, Running, eventually, only_file_in, seqs};
use super::{phases, recorded};

#[test]
fn without_a_daemon_the_program_is_not_started() {
    let daemon = Daemon::later();
    let done = daemon.shell(&["run", "--", "touch", daemon.path("started").to_str().unwrap()]);
    assert_eq!(done.code, Some(125), "{}", done.stderr);
    assert!(!daemon.path("started").exists());
}

#[test]
fn a_daemon_that_is_killed_in_the_middle_gets_every_event_once() {
    let mut daemon = Daemon::start();
    let script = "for i in $(seq 1 60); do echo line $i; sleep 0.03; done";
    let run = Running::start(&mut daemon.command(&["run", "--id", "e1", "--", "sh", "-c", script]));
    for lines in [10, 30] {
        run.wait_for_lines(lines);
        daemon.kill();
        run.wait_for_lines(lines + 8);
        daemon.restart();
    }
    let done = run.done();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let events = daemon.events("e1");
    assert_eq!(recorded(&events, "STREAM_STDOUT"), done.stdout);
    assert_eq!(seqs(&events), (1..=events.len() as u64).collect::<Vec<_>>());
    assert_eq!(phases(&events), ["PHASE_IN_PROGRESS", "PHASE_COMPLETED"]);
}

#[test]
fn with_spool_the_program_starts_without_a_daemon_and_is_delivered_when_there_is_one() {
    let mut daemon = Daemon::later();
    let script = "echo one; while [ ! -e \"$0\" ]; do sleep 0.02; done; echo two";
    let gate = daemon.path("gate").to_str().unwrap().to_owned();
    let args = ["run", "--spool", "--id", "e1", "--", "sh", "-c", script, &gate];
    let run = Running::start(&mut daemon.command(&args));
    run.wait_for_lines(1);
    daemon.restart();
    std::fs::write(&gate, "").unwrap();
    let done = run.done();
    assert_eq!((done.code, done.text()), (Some(0), "one\ntwo\n"), "{}", done.stderr);
    let events = daemon.events("e1");
    assert_eq!(recorded(&events, "STREAM_STDOUT"), b"one\ntwo\n");
    assert_eq!(daemon.get("e1")["phase"], "PHASE_COMPLETED");
}

#[test]
fn what_could_not_be_delivered_is_kept_and_delivered_once_by_the_printed_command() {
    let mut daemon = Daemon::start();
    let script = "echo before; while [ ! -e \"$0\" ]; do sleep 0.02; done; head -c 2500000 /dev/zero; exit 3";
    let gate = daemon.path("gate").to_str().unwrap().to_owned();
    let run = Running::start(&mut daemon.command(&["run", "--id", "e1", "--", "sh", "-c", script, &gate]));
    eventually(|| recorded(&daemon.events("e1"), "STREAM_STDOUT") == b"before\n", &|| run.stderr());
    daemon.kill();
    std::fs::write(&gate, "").unwrap();
    eventually(|| run.stdout().len() >= 2_500_000, &|| run.stderr());
    eventually(|| run.stderr().contains("kept and delivered later"), &|| run.stderr());
    // The user does not wait for 30 s. The first signal may still meet the program, which then has ended
    // already; so it is sent until the run has ended.
    let mut run = run;
    eventually(
        || {
            run.signal(Signal::TERM);
            run.try_wait().is_some()
        },
        &|| "it does not give up".to_owned(),
    );
    let done = run.done();
    assert_eq!(done.code, Some(3), "{}", done.stderr);

    let spool = only_file_in(&daemon.path("state/tapeline/spool"));
    assert!(done.stderr.contains(&format!("--spool {}", spool.display())), "{}", done.stderr);
    daemon.restart();
    assert_eq!(daemon.get("e1")["phase"], "PHASE_IN_PROGRESS");
    let copy = daemon.path("copy.spool").to_str().unwrap().to_owned();
    std::fs::copy(&spool, &copy).unwrap();
    for file in [spool.to_str().unwrap(), &copy] {
        daemon.ok(&["append", "--spool", file]);
        assert!(!std::path::Path::new(file).exists(), "what is delivered is removed");
        let events = daemon.events("e1");
        assert_eq!(recorded(&events, "STREAM_STDOUT"), done.stdout);
        assert_eq!(events.last().unwrap()["phase_changed"]["exit"]["code"], 3);
    }
}

#[test]
fn who_does_not_want_to_wait_does_not_wait_for_a_daemon_that_hangs_and_nothing_is_lost() {
    let daemon = Daemon::start();
    let script = "trap '' TERM; echo before; while [ ! -e \"$0\" ]; do sleep 0.02; done; echo after; exit 3";
    let gate = daemon.path("gate").to_str().unwrap().to_owned();
    let mut run =
        Running::start(&mut daemon.command(&["run", "--id", "e1", "--", "sh", "-c", script, &gate]));
    eventually(|| recorded(&daemon.events("e1"), "STREAM_STDOUT") == b"before\n", &|| run.stderr());
    daemon.signal(Signal::STOP);
    std::fs::write(&gate, "").unwrap();
    eventually(|| run.stdout().ends_with("after\n"), &|| run.stderr());
    let begun = Instant::now();
    let ended = || {
        // One that meets the program is ignored by it; so it is sent until the run has ended.
        run.signal(Signal::TERM);
        run.try_wait().is_some()
    };
    eventually(ended, &|| "it waits for the daemon".to_owned());
    let took = begun.elapsed();
    daemon.signal(Signal::CONT);
    assert!(took < Duration::from_secs(8), "a call may take 20 s, this took {took:?}");
    let done = run.done();
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    let spool = only_file_in(&daemon.path("state/tapeline/spool"));
    daemon.ok(&["append", "--spool", spool.to_str().unwrap()]);
    let events = daemon.events("e1");
    assert_eq!(recorded(&events, "STREAM_STDOUT"), done.stdout);
    assert_eq!(events.last().unwrap()["phase_changed"]["exit"]["code"], 3);
}

#[test]
fn a_run_that_is_deleted_meanwhile_goes_on_unrecorded() {
    let daemon = Daemon::start();
    let script = "echo one; while [ ! -e \"$0\" ]; do sleep 0.02; done; head -c 4000000 /dev/zero; exit 5";
    let gate = daemon.path("gate").to_str().unwrap().to_owned();
    let run = Running::start(&mut daemon.command(&["run", "--id", "e1", "--", "sh", "-c", script, &gate]));
    run.wait_for_lines(1);
    daemon.ok(&["delete", "e1"]);
    std::fs::write(&gate, "").unwrap();
    let done = run.done();
    assert_eq!((done.code, done.stdout.len()), (Some(5), 4_000_004));
    assert!(done.stderr.contains("recording has stopped"), "{}", done.stderr);
}

#[test]
fn who_waits_for_the_daemon_after_the_end_of_the_program_is_told_so_and_told_when_it_is_over() {
    let mut daemon = Daemon::start();
    let script = "echo before; while [ ! -e \"$0\" ]; do sleep 0.02; done; echo after";
    let gate = daemon.path("gate").to_str().unwrap().to_owned();
    let args = ["run", "--id", "e1", "--", "sh", "-c", script, &gate];
    let run = Running::start(&mut daemon.command(&args));
    eventually(|| recorded(&daemon.events("e1"), "STREAM_STDOUT") == b"before\n", &|| run.stderr());
    daemon.kill();
    std::fs::write(&gate, "").unwrap();
    let told = format!("waiting up to 30 s for the daemon at {}", daemon.url());
    eventually(|| run.stderr().contains(&told), &|| run.stderr());
    assert!(!run.stderr().contains("everything is delivered"), "{}", run.stderr());
    daemon.restart();
    let done = run.done();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.trim_end().ends_with("everything is delivered"), "{}", done.stderr);
    assert_eq!(done.stderr.matches("waiting up to").count(), 1, "{}", done.stderr);
    assert_eq!(recorded(&daemon.events("e1"), "STREAM_STDOUT"), b"before\nafter\n");
}

#[test]
fn a_daemon_that_hangs_at_the_end_of_the_program_is_named_too() {
    let daemon = Daemon::start();
    let script = "echo before; while [ ! -e \"$0\" ]; do sleep 0.02; done; echo after";
    let gate = daemon.path("gate").to_str().unwrap().to_owned();
    let run = Running::start(&mut daemon.command(&["run", "--id", "e1", "--", "sh", "-c", script, &gate]));
    eventually(|| recorded(&daemon.events("e1"), "STREAM_STDOUT") == b"before\n", &|| run.stderr());
    daemon.signal(Signal::STOP);
    std::fs::write(&gate, "").unwrap();
    eventually(|| run.stderr().contains("waiting up to"), &|| run.stderr());
    daemon.signal(Signal::CONT);
    let done = run.done();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("everything is delivered"), "{}", done.stderr);
    assert_eq!(recorded(&daemon.events("e1"), "STREAM_STDOUT"), b"before\nafter\n");
}

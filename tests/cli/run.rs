//! `run`: transparent to the user, complete in the log, whatever happens to the daemon meanwhile.

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use serde_json::Value;

use super::support::{Daemon, Running, eventually, only_file_in, seqs};

/// What was recorded of one stream, byte for byte.
fn recorded(events: &[Value], stream: &str) -> Vec<u8> {
    let outputs = events.iter().map(|event| &event["output"]).filter(|output| output["stream"] == stream);
    let bytes = outputs.map(|output| match (output["data"].as_str(), output["data_base64"].as_str()) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(encoded)) => STANDARD.decode(encoded).unwrap(),
        (None, None) => panic!("no data in {output}"),
    });
    bytes.collect::<Vec<_>>().concat()
}

/// The phases, in order, and the last event.
fn phases(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["phase_changed"]["phase"].as_str()).collect()
}

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
fn without_a_daemon_the_program_is_not_started() {
    let daemon = Daemon::later();
    let done = daemon.shell(&["run", "--", "touch", daemon.path("started").to_str().unwrap()]);
    assert_eq!(done.code, Some(125), "{}", done.stderr);
    assert!(!daemon.path("started").exists());
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

#[test]
fn a_flood_without_newlines_and_bytes_that_are_no_text_are_recorded_whole() {
    let daemon = Daemon::start();
    let script = "head -c 3000000 /dev/zero | tr '\\0' x; printf '\\377\\000\\302' >&2";
    let done = daemon.shell(&["run", "--id", "e1", "--", "sh", "-c", script]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(done.stdout.len(), 3_000_000);
    let events = daemon.events("e1");
    assert_eq!(recorded(&events, "STREAM_STDOUT"), done.stdout);
    assert_eq!(recorded(&events, "STREAM_STDERR"), b"\xff\0\xc2");
    let largest = events.iter().filter_map(|event| event["output"]["data"].as_str()).map(str::len).max();
    assert!(largest.unwrap() <= 32 << 10, "{largest:?}");
    assert!(events.iter().all(|event| event["output"]["truncated"] != true));
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
fn a_program_in_the_background_that_keeps_the_pipe_does_not_keep_the_run() {
    let daemon = Daemon::start();
    let began = Instant::now();
    let done = daemon.shell(&["run", "--id", "e1", "--", "sh", "-c", "sleep 30 & echo hi"]);
    assert_eq!((done.code, done.text()), (Some(0), "hi\n"));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(daemon.get("e1")["phase"], "PHASE_COMPLETED");
}

#[test]
fn a_flood_from_the_background_is_cut_off_and_that_is_recorded() {
    let daemon = Daemon::start();
    let script = "(while :; do echo xxxxxxxxxxxxxxxx; done) & exit 6";
    let done = daemon.shell(&["run", "--id", "e1", "--", "sh", "-c", script]);
    assert_eq!(done.code, Some(6), "{}", done.stderr);
    let events = daemon.events("e1");
    assert_eq!(recorded(&events, "STREAM_STDOUT"), done.stdout);
    let outputs: Vec<_> = events.iter().filter(|event| event["output"].is_object()).collect();
    let (last, others) = outputs.split_last().unwrap();
    assert_eq!((&last["output"]["truncated"], &last["output"]["data"]), (&true.into(), &"".into()));
    assert!(others.iter().all(|event| event["output"]["truncated"] == false));
    assert_eq!(daemon.get("e1")["phase"], "PHASE_FAILED");
}

#[test]
fn a_reader_that_goes_away_is_felt_by_the_program_as_without_us() {
    let daemon = Daemon::start();
    let mut command = daemon.command(&["run", "--id", "e1", "--", "yes"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut start = [0; 4];
    child.stdout.take().unwrap().read_exact(&mut start).unwrap();
    assert_eq!(&start, b"y\ny\n");
    let until = Instant::now() + super::support::DEADLINE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < until, "it goes on");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(status.code(), Some(141));
    assert_eq!(daemon.events("e1").last().unwrap()["phase_changed"]["exit"]["signal"], 13);
}

#[test]
fn a_full_disk_of_the_user_does_not_stop_the_recording() {
    let daemon = Daemon::start();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command =
        daemon.command(&["run", "--id", "e1", "--", "sh", "-c", "echo one; sleep 0.1; echo two"]);
    let output = command.stdin(Stdio::null()).stdout(full).stderr(Stdio::piped()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("No space left"), "{stderr}");
    assert_eq!(recorded(&daemon.events("e1"), "STREAM_STDOUT"), b"one\ntwo\n");
}

#[test]
fn an_output_that_somebody_made_non_blocking_loses_nothing() {
    let daemon = Daemon::start();
    let (mut reader, writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    let mut command = daemon.command(&["run", "--id", "e1", "--", "head", "-c", "3000000", "/dev/zero"]);
    let mut child = command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    drop(command);
    // The pipe fills up before anybody reads.
    eventually(|| daemon.shell(&["get", "e1"]).code == Some(0), &|| "it does not start".to_owned());
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    assert_eq!((read.len(), child.wait().unwrap().code()), (3_000_000, Some(0)));
    assert_eq!(recorded(&daemon.events("e1"), "STREAM_STDOUT").len(), 3_000_000);
}

#[test]
fn a_run_whose_reader_does_not_read_can_still_be_stopped() {
    let daemon = Daemon::start();
    let mut command = daemon.command(&[
        "run",
        "--id",
        "e1",
        "--",
        "sh",
        "-c",
        "trap '' TERM; head -c 90000 /dev/zero; exit 4",
    ]);
    let (reader, writer) = std::io::pipe().unwrap();
    let mut child = command.stdin(Stdio::null()).stdout(writer).spawn().unwrap();
    drop(command);
    // How much a pipe holds depends on how it was written; it is never 90,000 bytes.
    let begun = || recorded(&daemon.events("e1"), "STREAM_STDOUT").len() >= 32_000;
    eventually(begun, &|| "it is not recorded".to_owned());
    assert!(child.try_wait().unwrap().is_none());
    let pid = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    let mut status = None;
    let ended = || {
        // One that meets the program is ignored by it; so it is sent until the run has ended.
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        status = child.try_wait().unwrap();
        status.is_some()
    };
    eventually(ended, &|| "it cannot be stopped".to_owned());
    drop(reader);
    assert_eq!(status.unwrap().code(), Some(4));
    assert_eq!(daemon.events("e1").last().unwrap()["phase_changed"]["exit"]["code"], 4);
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

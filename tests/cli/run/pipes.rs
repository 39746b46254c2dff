//! Outputs of every kind: floods, bytes that are no text, readers that are slow, gone or full.

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::super::support::{DEADLINE, Daemon, eventually};
use super::recorded;

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
    // Several, so that the pipe is never empty for long on a machine that has more to do.
    let script = "for i in 1 2 3 4; do (while :; do echo xxxxxxxxxxxxxxxx; done) & done; exit 6";
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
    let until = Instant::now() + DEADLINE;
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

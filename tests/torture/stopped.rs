//! A watcher whose process is stopped while a great many events are appended.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tapeline::proto::v1::{Event, ListWatchersRequest, Phase, watcher};

use super::dose::dose;
use super::support::append::{batch, creation, custom, phase, until_acknowledged};
use super::support::daemon::{Daemon, PATIENCE};

const EXECUTION: &str = "watched-by-a-stopped-one";
/// Events in one append.
const BATCH: usize = 500;
/// Bytes of one event: enough of them do not fit what lies between a daemon and its watcher.
const EVENT_BYTES: usize = 1_000;

/// `tapeline watch` as a process, its output in files.
struct Watcher {
    child: Child,
    pid: Pid,
}

impl Watcher {
    fn start(url: &str, dir: &Path) -> Self {
        let file = |name| File::create(dir.join(name)).expect("creates");
        let child = Command::new(env!("CARGO_BIN_EXE_tapeline"))
            .args(["watch", EXECUTION, "-o", "json", "--verbose", "--addr", url])
            .stdout(file("events"))
            .stderr(file("talk"))
            .spawn()
            .expect("the binary starts");
        let pid = Pid::from_child(&child);
        Self { child, pid }
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("it is running");
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // It has ended, or the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn until_live(daemon: &Daemon) {
    let mut admin = daemon.admin();
    let begun = Instant::now();
    loop {
        let reply = admin.list_watchers(ListWatchersRequest::default()).await.expect("the daemon is up");
        let watchers = reply.into_inner().watchers;
        if watchers.first().is_some_and(|watcher| watcher.state() == watcher::State::Live) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "the watcher is not live: {watchers:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn append(daemon: &Daemon, events: Vec<Event>) {
    until_acknowledged(&daemon.client(), &batch(EXECUTION, events)).await;
}

#[test]
fn a_watcher_that_was_stopped_gets_all_that_was_appended_meanwhile() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    // Connections are made in it, also where nothing is waited for.
    let _inside = runtime.enter();
    let daemon = Daemon::start();
    let dir = tempfile::tempdir().expect("a directory");
    runtime.block_on(daemon.client().create_execution(creation(EXECUTION))).expect("a new id");
    let mut watcher = Watcher::start(&daemon.url(), dir.path());
    runtime.block_on(until_live(&daemon));

    watcher.signal(Signal::STOP);
    let events = dose().events_while_stopped;
    runtime.block_on(async {
        for _ in 0..events / BATCH {
            append(&daemon, vec![custom(vec![b'x'; EVENT_BYTES]); BATCH]).await;
        }
    });
    watcher.signal(Signal::CONT);
    runtime.block_on(append(&daemon, vec![phase(Phase::Completed)]));

    let status = watcher.child.wait().expect("it ends with the execution");
    assert!(status.success(), "{status}");
    let text = |name| std::fs::read_to_string(dir.path().join(name)).expect("text");
    let seqs = text("events").lines().map(seq_of).collect::<Vec<_>>();
    assert_eq!(seqs, (1..=events as u64 + 2).collect::<Vec<_>>());
    let talk = text("talk");
    let fell_behind = talk.find("fell behind").unwrap_or_else(|| panic!("it never fell behind: {talk}"));
    assert!(talk[fell_behind..].contains("caught up"), "it never caught up: {talk}");
}

fn seq_of(line: &str) -> u64 {
    let event: serde_json::Value = serde_json::from_str(line).expect("one object a line");
    event["seq"].as_u64().or_else(|| event["seq"].as_str()?.parse().ok()).expect("a seq")
}

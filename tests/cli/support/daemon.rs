//! A daemon that a test can kill, stop and start again, on a directory of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use super::shell::{Done, finish, signal_to, tapeline};

/// A daemon that runs, or was killed and may be started again. Killed when it is dropped.
pub(crate) struct Daemon {
    directory: tempfile::TempDir,
    address: SocketAddr,
    child: Option<Child>,
}

impl Daemon {
    /// Starts a daemon with an empty store, on any free port.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut daemon = Self { directory, address: SocketAddr::from(([127, 0, 0, 1], 0)), child: None };
        daemon.restart();
        daemon
    }

    /// A daemon that is not there yet, and the address it will have.
    pub(crate) fn later() -> Self {
        let mut daemon = Self::start();
        daemon.kill();
        daemon
    }

    /// Starts it again, where it was, with what it had.
    pub(crate) fn restart(&mut self) {
        let log = std::fs::File::create(self.directory.path().join("daemon.log")).unwrap();
        let mut child = tapeline()
            .args(["serve", "--listen", &self.address.to_string(), "--data-dir"])
            .arg(self.directory.path().join("data"))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.child = Some(child);
        let address = line.strip_prefix("tapeline ready on ").and_then(|rest| rest.split_once(' '));
        let (address, _) =
            address.unwrap_or_else(|| panic!("the daemon is not ready: {line:?} {}", self.log()));
        self.address = address.parse().unwrap();
    }

    /// Kills it, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        signal_to(self.child.as_ref().expect("it runs"), signal);
    }

    /// A new, empty store at the same address.
    pub(crate) fn replace_store(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.directory.path().join("data")).unwrap();
        self.restart();
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("daemon.log")).unwrap_or_default()
    }

    /// A place for files of the test.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The binary with these arguments, against this daemon.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = tapeline();
        command.args(args).env("TAPELINE_ADDR", self.url()).env("XDG_STATE_HOME", self.path("state"));
        command
    }

    /// Runs it to its end, with nothing on standard input.
    pub(crate) fn shell(&self, args: &[&str]) -> Done {
        finish(self.command(args).stdin(Stdio::null()), b"")
    }

    /// Runs it to its end, with this on standard input.
    pub(crate) fn shell_with(&self, args: &[&str], input: &[u8]) -> Done {
        finish(self.command(args).stdin(Stdio::piped()), input)
    }

    /// Runs it and expects it to succeed.
    pub(crate) fn ok(&self, args: &[&str]) -> Done {
        let done = self.shell(args);
        assert_eq!(done.code, Some(0), "{args:?} failed: {}", done.stderr);
        done
    }

    /// Appends custom events of the type `n`, whose data are the numbers.
    pub(crate) fn append_numbers(&self, id: &str, numbers: std::ops::Range<u64>) {
        let lines: String = numbers
            .map(|number| format!("{{\"custom\":{{\"type\":\"n\",\"data\":\"{number}\"}}}}\n"))
            .collect();
        let done = self.shell_with(&["append", id], lines.as_bytes());
        assert_eq!(done.code, Some(0), "{}", done.stderr);
    }

    /// Ends an execution in this phase.
    pub(crate) fn end(&self, id: &str, phase: &str) {
        let data = format!("{{\"phase\":\"PHASE_{phase}\"}}");
        self.ok(&["append", id, "--type", "phase_changed", "--data", &data]);
    }

    /// All events of an execution, in order.
    pub(crate) fn events(&self, id: &str) -> Vec<Value> {
        self.shell(&["logs", id, "-o", "json"]).json()
    }

    /// The execution, as it stands.
    pub(crate) fn get(&self, id: &str) -> Value {
        self.ok(&["get", id, "-o", "json"]).json().remove(0)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

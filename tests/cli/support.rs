//! A daemon for one test, and the shell that talks to it. Nothing here waits without a deadline.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long anything may take before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(40);

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

/// The binary, with nothing of the environment that would change what it does.
pub(crate) fn tapeline() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tapeline"));
    for name in ["TAPELINE_ADDR", "TAPELINE_CONFIG", "TAPELINE_LISTEN", "TAPELINE_DATA_DIR", "NO_COLOR"] {
        command.env_remove(name);
    }
    command
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Done {
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.stdout).unwrap()
    }

    /// Its standard output as JSON lines.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Self { code: output.status.code(), stdout: output.stdout, stderr }
    }
}

/// Runs a command to its end.
pub(crate) fn finish(command: &mut Command, input: &[u8]) -> Done {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_vec();
        // A command that does not read its input closes it.
        std::thread::spawn(move || stdin.write_all(&input));
    }
    Running::new(child).done()
}

/// A command that runs; its outputs are collected meanwhile. Killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    stdout: Collected,
    stderr: Collected,
}

type Collected = std::sync::Arc<std::sync::Mutex<(Vec<u8>, bool)>>;

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::new(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn new(mut child: Child) -> Self {
        let (stdout, stderr) = (collect(child.stdout.take().unwrap()), collect(child.stderr.take().unwrap()));
        Self { child, stdout, stderr }
    }

    /// What it has written so far.
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout.lock().unwrap().0).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap().0).into_owned()
    }

    /// Waits until it has written this many lines.
    pub(crate) fn wait_for_lines(&self, count: usize) {
        eventually(|| self.stdout().lines().count() >= count, &|| {
            format!("{}\n{}", self.stdout(), self.stderr())
        });
    }

    pub(crate) fn signal(&self, signal: Signal) {
        signal_to(&self.child, signal);
    }

    pub(crate) fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub(crate) fn done(mut self) -> Done {
        let until = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "it does not end: {}\n{}", self.stdout(), self.stderr());
            std::thread::sleep(Duration::from_millis(5));
        };
        let closed = |collected: &Collected| collected.lock().unwrap().1;
        eventually(|| closed(&self.stdout) && closed(&self.stderr), &|| "its outputs stay open".to_owned());
        let stdout = std::mem::take(&mut self.stdout.lock().unwrap().0);
        Done { code: status.code(), stdout, stderr: self.stderr() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal_to(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().try_into().unwrap()).unwrap(), signal).unwrap();
}

fn collect(mut pipe: impl Read + Send + 'static) -> Collected {
    let collected = Collected::default();
    let into = collected.clone();
    std::thread::spawn(move || {
        let mut piece = vec![0; 64 << 10];
        while let Ok(length @ 1..) = pipe.read(&mut piece) {
            into.lock().unwrap().0.extend_from_slice(&piece[..length]);
        }
        into.lock().unwrap().1 = true;
    });
    collected
}

/// Waits until something is so.
pub(crate) fn eventually(mut is_so: impl FnMut() -> bool, otherwise: &dyn Fn() -> String) {
    let until = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < until, "it never came to be so: {}", otherwise());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The seqs of these events.
pub(crate) fn seqs(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["seq"].as_u64().unwrap()).collect()
}

/// The data of the custom events among these, as numbers.
pub(crate) fn numbers(events: &[Value]) -> Vec<u64> {
    events.iter().filter_map(|event| event["custom"]["data"].as_str()?.parse().ok()).collect()
}

/// The only file in a directory.
pub(crate) fn only_file_in(directory: &Path) -> PathBuf {
    let files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

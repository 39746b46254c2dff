//! The binary as a shell runs it: to its end, or while the test goes on.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{DEADLINE, eventually};

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

pub(super) fn signal_to(child: &Child, signal: Signal) {
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

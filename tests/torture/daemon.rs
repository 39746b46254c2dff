//! The real daemon as a child process, on a data directory that outlives it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tapeline::proto::v1::execution_log_service_client::ExecutionLogServiceClient;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

/// A client of the native API.
pub type Client = ExecutionLogServiceClient<Channel>;

/// How long anything may take on a loaded machine before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A data directory and the daemon that serves it, if one is running.
pub struct Daemon {
    dir: TempDir,
    addr: SocketAddr,
    child: Option<Child>,
}

impl Daemon {
    /// Starts a daemon on a new data directory and any free port.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut daemon = Self { dir, addr: SocketAddr::from(([127, 0, 0, 1], 0)), child: None };
        daemon.start_again();
        daemon
    }

    /// Starts a daemon on the same data directory and the same port.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "one daemon at a time");
        let mut child = Command::new(env!("CARGO_BIN_EXE_tapeline"))
            .args(["serve", "--listen", &self.addr.to_string(), "--data-dir"])
            .arg(self.dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .env("TAPELINE_LOG_LEVEL", "warn")
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the ready line is text");
        let addr = line.strip_prefix("tapeline ready on ").and_then(|rest| rest.split(' ').next());
        self.addr = addr.and_then(|addr| addr.parse().ok()).unwrap_or_else(|| panic!("ready line: {line:?}"));
        self.child = Some(child);
    }

    /// Kills the daemon as `kill -9` does.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it is running");
        child.kill().expect("it can be killed");
        child.wait().expect("it can be reaped");
    }

    /// Asks the daemon to stop; returns how it ended and how long that took.
    pub fn terminate(&mut self) -> (ExitStatus, Duration) {
        let mut child = self.child.take().expect("it is running");
        let pid = rustix::process::Pid::from_child(&child);
        let asked = Instant::now();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it can be signalled");
        loop {
            if let Some(status) = child.try_wait().expect("it can be waited for") {
                return (status, asked.elapsed());
            }
            assert!(asked.elapsed() < PATIENCE, "the daemon does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its address, for clients.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// A client on a connection of its own, which connects when it is used.
    pub fn client(&self) -> Client {
        client_of(&self.url())
    }
}

/// A client on a connection of its own, which connects when it is used.
pub fn client_of(url: &str) -> Client {
    let endpoint = Endpoint::from_shared(url.to_owned()).expect("an address is an endpoint");
    Client::new(endpoint.connect_lazy())
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // The test has failed or is over; there is nobody to tell.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

//! The real daemon as a child process, on a data directory that outlives it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tapeline::proto::v1::admin_service_client::AdminServiceClient;
use tapeline::proto::v1::execution_log_service_client::ExecutionLogServiceClient;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

/// A client of the native API.
pub(crate) type Client = ExecutionLogServiceClient<Channel>;
/// A client of the operator's API.
pub(crate) type AdminClient = AdminServiceClient<Channel>;

/// How long anything may take on a loaded machine before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The environment variable that names the script of the daemon's disk.
const FAULTS: &str = "TAPELINE_FAULTS";

/// A data directory and the daemon that serves it, if one is running.
pub(crate) struct Daemon {
    dir: TempDir,
    addr: SocketAddr,
    child: Option<Child>,
    /// The ready line of the last start.
    ready: String,
    args: Vec<String>,
    faulty: bool,
}

impl Daemon {
    /// Starts a daemon on a new data directory and any free port.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a daemon with more arguments.
    pub(crate) fn start_with(args: &[&str]) -> Self {
        let mut daemon = Self::prepare();
        daemon.args = args.iter().map(|arg| (*arg).to_owned()).collect();
        daemon.start_again();
        daemon
    }

    /// Starts a daemon with a configuration file.
    pub(crate) fn start_configured(config: &str) -> Self {
        let mut daemon = Self::prepare();
        let file = daemon.path("tapeline.toml");
        fs::write(&file, config).expect("the configuration can be written");
        daemon.args = vec!["--config".to_owned(), file.to_string_lossy().into_owned()];
        daemon.start_again();
        daemon
    }

    /// Starts a daemon whose disk is scripted by [`Daemon::script`]; without a script it has no faults.
    pub(crate) fn start_faulty() -> Self {
        let mut daemon = Self::prepare();
        daemon.faulty = true;
        daemon.start_again();
        daemon
    }

    fn prepare() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { dir, addr, child: None, ready: String::new(), args: Vec::new(), faulty: false }
    }

    /// Starts a daemon on the same data directory and the same port.
    pub(crate) fn start_again(&mut self) {
        assert!(self.child.is_none(), "one daemon at a time");
        let mut child = self.command().stdout(Stdio::piped()).spawn().expect("the binary starts");
        self.ready.clear();
        let stdout = child.stdout.take().expect("stdout is piped");
        self.child = Some(child);
        BufReader::new(stdout).read_line(&mut self.ready).expect("the ready line is text");
        let addr = self.ready.strip_prefix("tapeline ready on ").and_then(|rest| rest.split(' ').next());
        let addr = addr.and_then(|addr| addr.parse().ok());
        self.addr = addr.unwrap_or_else(|| panic!("ready line: {:?}", self.ready));
    }

    /// What starts a daemon here; its log goes to the file of [`Daemon::log`].
    pub(crate) fn command(&self) -> Command {
        let log = fs::File::options().create(true).append(true).open(self.path("log"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_tapeline"));
        command
            .args(["serve", "--listen", &self.addr.to_string(), "--data-dir"])
            .arg(self.data_dir())
            .args(&self.args)
            .env_remove("TAPELINE_CONFIG")
            .env_remove("TAPELINE_LOG_FORMAT")
            .env("TAPELINE_LOG_LEVEL", "tapeline=info,warn")
            .stderr(log.expect("the log can be opened"));
        if self.faulty {
            command.env(FAULTS, self.path("faults"));
        }
        command
    }

    /// Puts a script in the place of the one before; the disk obeys it from the next call on.
    pub(crate) fn script(&self, script: &str) {
        assert!(self.faulty, "this daemon's disk is not scripted");
        fs::write(self.path("faults.new"), script).expect("the script can be written");
        fs::rename(self.path("faults.new"), self.path("faults")).expect("the script can be put in place");
    }

    /// Kills the daemon as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it is running");
        child.kill().expect("it can be killed");
        child.wait().expect("it can be reaped");
    }

    /// Sends the daemon a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(self.child.as_ref().expect("it is running"));
        kill_process(pid, signal).expect("it can be signalled");
    }

    /// Asks the daemon to stop; returns how it ended and how long that took.
    pub(crate) fn terminate(&mut self) -> (ExitStatus, Duration) {
        let asked = Instant::now();
        self.signal(Signal::TERM);
        (self.ended(), asked.elapsed())
    }

    /// Waits for the daemon to end by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it is running");
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("it can be waited for") {
                return status;
            }
            if begun.elapsed() > PATIENCE {
                self.child = Some(child);
                panic!("the daemon does not end");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its memory that is resident, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.memory_bytes("VmRSS:")
    }

    /// The most of its memory that was ever resident, in bytes.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.memory_bytes("VmHWM:")
    }

    fn memory_bytes(&self, what: &str) -> u64 {
        let pid = self.child.as_ref().expect("it is running").id();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux says so");
        let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("it has memory");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
        kib * 1024
    }

    /// A path beside the data directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path("data")
    }

    /// What the daemons here have logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The one line on its standard output.
    pub(crate) fn ready_line(&self) -> &str {
        &self.ready
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its address, for clients.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// A connection of its own, which is made when it is used.
    pub(crate) fn channel(&self) -> Channel {
        channel_to(&self.url())
    }

    /// A client on a connection of its own.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.channel())
    }

    /// A client of the operator's API on a connection of its own.
    pub(crate) fn admin(&self) -> AdminClient {
        AdminClient::new(self.channel())
    }
}

fn channel_to(url: &str) -> Channel {
    Endpoint::from_shared(url.to_owned()).expect("an address is an endpoint").connect_lazy()
}

/// Waits for a command to end by itself; returns its exit code and what it wrote to stderr.
pub(crate) fn exit_of(command: &mut Command, stderr_to: &Path) -> (Option<i32>, String) {
    let stderr = fs::File::create(stderr_to).expect("the file can be made");
    let mut child = command.stdout(Stdio::null()).stderr(stderr).spawn().expect("the binary starts");
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("it runs and should have ended");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    (status.code(), fs::read_to_string(stderr_to).expect("it is text"))
}

impl Drop for Daemon {
    #[allow(clippy::print_stderr, reason = "the log of a test that failed belongs to its output")]
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // The test has failed or is over; there is nobody to tell.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.log());
        }
    }
}

//! The daemon of the demo: this same binary as a child process, which can be killed and started again at
//! the same address with the same data.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::cli::exit::CliError;

/// How long the daemon may take until it is ready, and until it has stopped. Over: the demo fails, or the
/// daemon is killed.
const DAEMON_MAX: Duration = Duration::from_secs(10);

/// A daemon that runs. Killed when it is dropped.
pub(super) struct DemoDaemon {
    directory: PathBuf,
    address: SocketAddr,
    child: Child,
}

impl DemoDaemon {
    /// Starts a daemon with its data in `directory`, on any free port.
    pub(super) async fn start(directory: &Path) -> Result<Self, CliError> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (child, address) = spawn(directory, any).await?;
        Ok(Self { directory: directory.to_owned(), address, child })
    }

    /// Where it listens.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Kills it, as `kill -9` does: it has no time for anything.
    pub(super) async fn kill(&mut self) -> Result<(), CliError> {
        self.child.kill().await.map_err(|error| CliError::local("cannot kill the daemon", error))
    }

    /// Starts it again where it was.
    pub(super) async fn restart(&mut self) -> Result<(), CliError> {
        (self.child, self.address) = spawn(&self.directory, self.address).await?;
        Ok(())
    }

    /// Asks it to stop, and waits until it has.
    pub(super) async fn stop(mut self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok()) {
            // One that does not stop is killed when it is dropped.
            let _ = timeout(DAEMON_MAX, self.child.wait()).await;
        }
    }
}

async fn spawn(directory: &Path, address: SocketAddr) -> Result<(Child, SocketAddr), CliError> {
    let failed = |error| CliError::local("cannot start the daemon", error);
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(directory.join("daemon.log"))
        .map_err(failed)?;
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command
        .args(["serve", "--listen", &address.to_string(), "--data-dir"])
        .arg(directory.join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true);
    // What the user has set for the daemon of their own is not for this one.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TAPELINE_") {
            command.env_remove(name);
        }
    }
    let mut child = command.spawn().map_err(failed)?;
    let stdout = child.stdout.take().ok_or_else(|| failed(std::io::ErrorKind::BrokenPipe.into()))?;
    let mut lines = BufReader::new(stdout).lines();
    match timeout(DAEMON_MAX, lines.next_line())
        .await
        .map_err(|_| failed(std::io::ErrorKind::TimedOut.into()))?
    {
        Ok(Some(line)) => match address_in(&line) {
            Some(address) => Ok((child, address)),
            None => Err(CliError::NotShown(format!("the daemon said `{line}` and not that it is ready"))),
        },
        _ => Err(CliError::NotShown(format!("the daemon did not start: {}", last_words(directory)))),
    }
}

/// The address in `tapeline ready on ADDRESS (store …)`.
fn address_in(line: &str) -> Option<SocketAddr> {
    line.strip_prefix("tapeline ready on ")?.split_once(' ')?.0.parse().ok()
}

/// The last line that the daemon logged.
fn last_words(directory: &Path) -> String {
    let log = std::fs::read_to_string(directory.join("daemon.log")).unwrap_or_default();
    log.lines().last().unwrap_or("it said nothing").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_line_that_says_ready() {
        let address = address_in("tapeline ready on 127.0.0.1:4711 (store 01abc)");
        assert_eq!(address, Some(SocketAddr::from(([127, 0, 0, 1], 4711))));
        assert_eq!(address_in("error: no"), None);
    }
}

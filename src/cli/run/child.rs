//! The program itself: how it is started, which signals it is given, how it ended.
//!
//! It stays in our process group, so that it can read the terminal and a Ctrl-C there reaches it from the
//! kernel, as without us. A signal that is sent to us alone is passed on. A signal that was ignored when
//! we were started, as under `nohup`, stays ignored for both of us.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Incoming, SignalKind, signal};

/// The signals that are passed on. Those that stop and resume a job are left to the terminal.
const PASSED_ON: [Signal; 6] =
    [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1, Signal::USR2];

/// Starts the program. Its standard input is ours, its outputs are pipes, and it is told which execution
/// it is.
pub(super) fn spawn(command: &[OsString], execution_id: &str) -> io::Result<Child> {
    let (program, args) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    Command::new(program)
        .args(args)
        .env("TAPELINE_EXECUTION_ID", execution_id)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// The exit code of a shell for a program that could not be started.
pub(super) fn code_of_failed_start(error: &io::Error) -> u8 {
    if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
}

/// The exit code of a shell for a program that ended this way.
pub(super) fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code & 0xff).ok()).unwrap_or(u8::MAX)
}

/// The signals that reach us while the program runs.
pub(super) struct Signals {
    incoming: Vec<(Signal, Incoming)>,
    /// Whether Ctrl-C at a terminal reaches the program without us.
    at_terminal: bool,
}

impl Signals {
    /// Takes the signals over; from now on none of them ends this process.
    pub(super) fn take_over() -> io::Result<Self> {
        let ignored = ignored_signals();
        let incoming = PASSED_ON
            .into_iter()
            .filter(|signal| ignored & (1 << (signal.as_raw() - 1)) == 0)
            .map(|passed| Ok((passed, signal(SignalKind::from_raw(passed.as_raw()))?)))
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self { incoming, at_terminal: is_foreground() })
    }

    /// The next signal. Never returns if none comes.
    pub(super) async fn next(&mut self) -> Signal {
        std::future::poll_fn(|context| {
            for (signal, incoming) in &mut self.incoming {
                if incoming.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*signal);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }

    /// Passes a signal on to a program that was not waited for yet.
    pub(super) fn pass_on(&self, signal: Signal, child: &Child) {
        // The terminal sends these to every process of the foreground group itself; twice would tell many
        // programs to stop at once.
        if self.at_terminal && matches!(signal, Signal::INT | Signal::QUIT) {
            return;
        }
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may just have ended; then there is nobody to tell.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Whether a signal means that somebody wants the run to end.
pub(super) fn is_stop(signal: Signal) -> bool {
    matches!(signal, Signal::HUP | Signal::INT | Signal::QUIT | Signal::TERM)
}

/// Whether we are the job in the foreground of the terminal on standard input.
fn is_foreground() -> bool {
    let stdin = io::stdin();
    stdin.is_terminal()
        && rustix::termios::tcgetpgrp(&stdin).is_ok_and(|group| group == rustix::process::getpgrp())
}

/// The signals that were ignored when this process was started, as a bit mask; none where that cannot be
/// known.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        assert_eq!(code_of(ExitStatus::from_raw(0)), 0);
        assert_eq!(code_of(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(code_of(ExitStatus::from_raw(9)), 137);
        assert_eq!(code_of_failed_start(&io::ErrorKind::NotFound.into()), 127);
        assert_eq!(code_of_failed_start(&io::ErrorKind::PermissionDenied.into()), 126);
    }

    #[test]
    fn the_ignored_signals_are_read_from_the_system() {
        // The test runner ignores SIGPIPE, as every Rust program does.
        let pipe = 1 << (Signal::PIPE.as_raw() - 1);
        assert_eq!(ignored_signals() & pipe, pipe);
    }
}

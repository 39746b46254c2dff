//! How a program ended, in the words of the log and in the number a shell knows.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use jiff::Timestamp;
use rustix::process::Signal;

use super::OWN_FAILURE;
use super::child::{code_of, code_of_failed_start};
use crate::cli::output::talk;
use crate::proto::v1::event::Body;
use crate::proto::v1::exit_status::Status;
use crate::proto::v1::{Event, ExitStatus as WireExit, Phase, PhaseChanged};

/// The end of a run.
pub(super) struct Outcome {
    /// The last event of the log.
    pub(super) event: Event,
    /// The exit code.
    pub(super) code: u8,
}

impl Outcome {
    /// The program ended; `told` is the signal that asked us to stop it, if one did.
    pub(super) fn ended(status: ExitStatus, told: Option<Signal>) -> Self {
        let exit = match (status.code(), status.signal()) {
            (Some(code), _) => Some(Status::Code(code)),
            (None, signal) => signal.map(Status::Signal),
        };
        let error = match exit {
            Some(Status::Code(code)) if code != 0 => format!("exit code {code}"),
            Some(Status::Signal(signal)) => format!("ended by signal {signal}"),
            _ => String::new(),
        };
        let reached = match (is_cancelled(status, told), status.success()) {
            (true, _) => Phase::Cancelled,
            (false, true) => Phase::Completed,
            (false, false) => Phase::Failed,
        };
        Self { event: end(reached, error, exit), code: code_of(status) }
    }

    /// The program could not be started, and the user is told so.
    pub(super) fn not_started(command: &[OsString], error: &io::Error) -> Self {
        let program =
            command.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default();
        let told = format!("cannot start {program}: {error}");
        talk(&format!("error: {told}"));
        let code = code_of_failed_start(error);
        Self { event: end(Phase::Failed, told, Some(Status::Code(code.into()))), code }
    }

    /// The system does not say how the program ended.
    pub(super) fn unknown(error: &io::Error) -> Self {
        Self {
            event: end(Phase::Failed, format!("cannot wait for the program: {error}"), None),
            code: OWN_FAILURE,
        }
    }
}

/// Whether the program ended because somebody wanted it to. Many take a Ctrl-C as "stop what you are
/// doing" and end well later: that is no cancellation.
fn is_cancelled(status: ExitStatus, told: Option<Signal>) -> bool {
    told.is_some_and(|signal| !status.success() || matches!(signal, Signal::TERM | Signal::HUP))
}

/// The event that says that the program runs.
pub(super) fn started() -> Event {
    phase(PhaseChanged {
        phase: Phase::InProgress as i32,
        started_at: Timestamp::now().to_string(),
        ..PhaseChanged::default()
    })
}

fn end(reached: Phase, error: String, exit: Option<Status>) -> Event {
    phase(PhaseChanged {
        phase: reached as i32,
        error,
        completed_at: Timestamp::now().to_string(),
        exit: exit.map(|status| WireExit { status: Some(status) }),
        ..PhaseChanged::default()
    })
}

fn phase(change: PhaseChanged) -> Event {
    Event { body: Some(Body::PhaseChanged(change)), ..Event::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase_of(raw: i32, told: Option<Signal>) -> Phase {
        match Outcome::ended(ExitStatus::from_raw(raw), told).event.body {
            Some(Body::PhaseChanged(change)) => change.phase(),
            other => panic!("expected a phase, got {other:?}"),
        }
    }

    #[test]
    fn a_run_is_completed_failed_or_cancelled() {
        assert_eq!(phase_of(0, None), Phase::Completed);
        assert_eq!(phase_of(3 << 8, None), Phase::Failed);
        assert_eq!(phase_of(9, None), Phase::Failed);
        assert_eq!(phase_of(15, Some(Signal::TERM)), Phase::Cancelled);
        assert_eq!(phase_of(0, Some(Signal::TERM)), Phase::Cancelled);
        assert_eq!(phase_of(130 << 8, Some(Signal::INT)), Phase::Cancelled);
        assert_eq!(phase_of(0, Some(Signal::INT)), Phase::Completed);
    }
}

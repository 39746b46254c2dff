//! How a verb can end: the exit codes, and the errors behind them. What the daemon refused is worded
//! in `explain`; here it only gets its code.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tonic::Code;

use super::explain::Refusal;
use crate::proto::v1::Phase;

/// The exit codes of every verb but `run` and `serve`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// It worked; or, for a watch, the execution COMPLETED.
    Done = 0,
    /// The execution FAILED; or the daemon refused what was asked.
    Failed = 1,
    /// The command line, or a value in it, makes no sense. clap uses the same number.
    Usage = 2,
    /// There is no such execution, or no longer.
    NotFound = 3,
    /// The execution was CANCELLED.
    Cancelled = 4,
    /// The connection is lost for good, or the watch cannot go on where it was.
    Lost = 5,
}

impl Exit {
    /// The code for an execution that ended in this phase.
    pub(crate) fn of_phase(phase: Phase) -> Self {
        match phase {
            Phase::Failed => Self::Failed,
            Phase::Cancelled => Self::Cancelled,
            Phase::Unspecified | Phase::Pending | Phase::InProgress | Phase::Completed => Self::Done,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a verb could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The daemon answered, with an error.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The daemon will not let a watch go on where it was.
    #[error("{0}")]
    Watch(Box<Refusal>),
    /// The daemon does not answer.
    #[error("cannot reach the daemon at {addr}: {why} (is it running? `tapeline serve` starts one)")]
    Unreachable {
        /// Where it was looked for.
        addr: String,
        /// What the connection said.
        why: String,
    },
    /// The connection broke while events were on their way, and was not there again in time.
    #[error(
        "the daemon did not answer: {why}; whether these {events} events were written is unknown, and \
         appending them once more may write them twice; see `tapeline logs {execution} --after {after}`"
    )]
    OutcomeUnknown {
        /// Where they were to be appended.
        execution: String,
        /// How many there are.
        events: usize,
        /// The last seq that is known to be written; 0 if none is.
        after: u64,
        /// What the connection, or the daemon, said.
        why: String,
    },
    /// A watch was resumed again and again, without success.
    #[error("connection lost for good: no success for {} s; the last error was: {why}", after.as_secs())]
    Lost {
        /// How long it was tried.
        after: Duration,
        /// The last failure.
        why: String,
    },
    /// The stream breaks the promise of a log. Nothing of it was shown.
    #[error("the stream is out of order: after seq {after} came seq {got}; please report this")]
    OutOfOrder {
        /// The last seq that was good.
        after: u64,
        /// The one that came.
        got: u64,
    },
    /// A value on the command line or in a file it names makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Something on this machine failed.
    #[error("{what}: {source}")]
    Local {
        /// What was being done.
        what: String,
        /// How it failed.
        source: io::Error,
    },
    /// Standard output could not be written.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    /// What the verb set out to show is not so.
    #[error("{0}")]
    NotShown(String),
}

impl CliError {
    /// A failure of this machine while doing `what`.
    pub(crate) fn local(what: impl Into<String>, source: io::Error) -> Self {
        Self::Local { what: what.into(), source }
    }

    /// Whether our reader went away, as `head` does.
    pub(crate) fn is_closed_output(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The exit code that goes with it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Refused(refusal) => match refusal.code {
                Code::NotFound => Exit::NotFound,
                Code::InvalidArgument => Exit::Usage,
                Code::Unavailable => Exit::Lost,
                _ => Exit::Failed,
            },
            Self::Watch(refusal) => match refusal.code {
                Code::NotFound => Exit::NotFound,
                Code::InvalidArgument => Exit::Usage,
                _ => Exit::Lost,
            },
            Self::Unreachable { .. }
            | Self::OutcomeUnknown { .. }
            | Self::Lost { .. }
            | Self::OutOfOrder { .. } => Exit::Lost,
            Self::Usage(_) => Exit::Usage,
            Self::Local { .. } | Self::Output(_) | Self::NotShown(_) => Exit::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_terminal_phase_has_its_exit_code() {
        let codes =
            [Phase::Completed, Phase::Failed, Phase::Cancelled].map(|phase| Exit::of_phase(phase) as u8);
        assert_eq!(codes, [0, 1, 4]);
    }

    #[test]
    fn a_closed_output_is_told_from_a_broken_one() {
        assert!(CliError::Output(io::ErrorKind::BrokenPipe.into()).is_closed_output());
        assert!(!CliError::Output(io::ErrorKind::StorageFull.into()).is_closed_output());
    }
}

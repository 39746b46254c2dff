//! Every error becomes a `tonic::Status` here and nowhere else: a code, a reason, the numbers a client
//! can act on. What is internal stays in the log.

use std::collections::HashMap;
use std::time::Duration;

use tapeline_storage::{ReadError, WriteError};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::agentexecution::CallError;
use crate::agentexecution::state::StateError;
use crate::append::AppendError;
use crate::execution::invalid::{Excess, Invalid};
use crate::execution::phase;
use crate::watch::WatchError;

/// The domain of all reasons.
const DOMAIN: &str = "tapeline";
/// When a client had better try again.
const RETRY_SOON: Duration = Duration::from_millis(100);
/// The same, for what takes an operator or a restart.
const RETRY_LATER: Duration = Duration::from_secs(1);

/// An error as a client gets it.
struct Fault {
    code: Code,
    reason: &'static str,
    message: String,
    metadata: Vec<(&'static str, String)>,
    /// The field that is wrong and why.
    violation: Option<(String, String)>,
    retry: Option<Duration>,
}

impl Fault {
    fn new(code: Code, reason: &'static str, message: impl ToString) -> Self {
        let (metadata, violation, retry) = (Vec::new(), None, None);
        Self { code, reason, message: message.to_string(), metadata, violation, retry }
    }

    fn with(mut self, key: &'static str, value: impl ToString) -> Self {
        self.metadata.push((key, value.to_string()));
        self
    }

    fn retry(mut self, after: Duration) -> Self {
        self.retry = Some(after);
        self
    }

    fn violation(mut self, field: impl Into<String>, description: impl Into<String>) -> Self {
        self.violation = Some((field.into(), description.into()));
        self
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let metadata: HashMap<String, String> =
            fault.metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let mut details = ErrorDetails::with_error_info(fault.reason, DOMAIN, metadata);
        if let Some((field, description)) = fault.violation {
            details.add_bad_request_violation(field, description);
        }
        if fault.retry.is_some() {
            details.set_retry_info(fault.retry);
        }
        Status::with_error_details(fault.code, fault.message, details)
    }
}

/// A field of a request that says something it must not.
pub(super) fn invalid_field(field: &str, description: impl ToString) -> Status {
    invalid(field.to_owned(), description.to_string()).into()
}

fn invalid(field: String, description: String) -> Fault {
    let message = format!("{field}: {description}");
    Fault::new(Code::InvalidArgument, "INVALID_FIELD", message).violation(field, description)
}

/// What a request would take in memory passes its limit.
pub(super) fn too_heavy(excess: Excess) -> Status {
    let Excess { limit, actual } = excess;
    let message = format!("the request takes {actual} bytes of memory or more, the limit is {limit}");
    exceeds("BATCH_TOO_LARGE", message.clone(), "request".to_owned(), message, excess).into()
}

/// Something passes its limit.
fn exceeds(
    reason: &'static str,
    message: String,
    field: String,
    description: String,
    excess: Excess,
) -> Fault {
    Fault::new(Code::InvalidArgument, reason, message)
        .with("limit", excess.limit)
        .with("actual", excess.actual)
        .violation(field, description)
}

fn not_found(execution: impl ToString) -> Fault {
    let id = execution.to_string();
    Fault::new(Code::NotFound, "EXECUTION_NOT_FOUND", format!("execution {id} does not exist"))
        .with("execution_id", id)
}

/// Says so if the id is one of a deleted execution, which never comes back.
fn no_longer(fault: Fault, deleted: bool) -> Fault {
    if deleted { fault.with("deleted", true) } else { fault }
}

fn out_of_range(reason: &'static str, message: impl ToString, floor_seq: u64, tail_seq: u64) -> Fault {
    Fault::new(Code::OutOfRange, reason, message).with("floor_seq", floor_seq).with("tail_seq", tail_seq)
}

fn replaced(reason: &'static str, what: &str, expected: &str, actual: &str) -> Fault {
    let message = format!("the cursor belongs to the {what} {expected}, this one is {actual}");
    Fault::new(Code::FailedPrecondition, reason, message).with("expected", expected).with("actual", actual)
}

fn storage_failed() -> Fault {
    Fault::new(Code::Unavailable, "STORAGE_FAILED", "the store has failed; the daemon is about to end")
        .retry(RETRY_LATER)
}

fn shutting_down() -> Fault {
    Fault::new(Code::Unavailable, "SHUTTING_DOWN", "the daemon is shutting down").retry(RETRY_LATER)
}

fn corrupt(execution: Option<String>, seq: u64, position: u64) -> Fault {
    let fault = Fault::new(Code::DataLoss, "CORRUPT_RECORD", "a stored record is damaged and is not served")
        .with("execution_id", execution.unwrap_or_default())
        .with("seq", seq);
    if position > 0 { fault.with("position", position) } else { fault }
}

/// The answer to a write that failed.
pub(super) fn of_append(error: AppendError) -> Status {
    match error {
        AppendError::Invalid(error) => of_invalid(error),
        AppendError::ShuttingDown => shutting_down(),
        AppendError::Store(error) => of_write(error),
    }
    .into()
}

impl From<AppendError> for Status {
    fn from(error: AppendError) -> Self {
        of_append(error)
    }
}

fn of_invalid(error: Invalid) -> Fault {
    let message = error.to_string();
    match error {
        Invalid::Field { field, description, excess: None } => invalid(field, description),
        Invalid::Field { field, description, excess: Some(excess) } => {
            exceeds("INVALID_FIELD", message, field, description, excess)
        }
        Invalid::EventTooLarge { field, excess } => {
            exceeds("EVENT_TOO_LARGE", message.clone(), field, message, excess)
        }
        Invalid::BatchTooLarge { excess, .. } => {
            exceeds("BATCH_TOO_LARGE", message.clone(), "events".to_owned(), message, excess)
        }
    }
}

fn of_write(error: WriteError) -> Fault {
    let message = error.to_string();
    let aborted = |code, reason| Fault::new(code, reason, &message);
    match error {
        WriteError::NotFound { execution, deleted } => no_longer(not_found(execution), deleted),
        WriteError::Exists { execution, deleted } => {
            let fault =
                Fault::new(Code::AlreadyExists, "EXECUTION_EXISTS", message).with("execution_id", execution);
            no_longer(fault, deleted)
        }
        WriteError::Ended { final_seq, phase } => aborted(Code::FailedPrecondition, "EXECUTION_ENDED")
            .with("final_seq", final_seq)
            .with("phase", phase::to_wire(phase).as_str_name()),
        WriteError::SeqMismatch { expected, tail_seq } => {
            aborted(Code::Aborted, "SEQ_MISMATCH").with("expected", expected).with("tail_seq", tail_seq)
        }
        WriteError::ProducerConflict { expected_seq, current_epoch } => {
            of_producer(aborted(Code::Aborted, "PRODUCER_CONFLICT"), expected_seq, current_epoch)
        }
        WriteError::ProducerGap { expected_seq, current_epoch } => {
            of_producer(aborted(Code::FailedPrecondition, "PRODUCER_GAP"), expected_seq, current_epoch)
        }
        WriteError::ProducerFenced { expected_seq, current_epoch } => {
            of_producer(aborted(Code::PermissionDenied, "PRODUCER_FENCED"), expected_seq, current_epoch)
        }
        WriteError::Rejected(reject) => invalid(reject.field, reject.description),
        // The appender names the field; what comes here has none of its own.
        WriteError::TooLarge { limit, actual, .. } => {
            exceeds("INVALID_FIELD", message.clone(), "events".to_owned(), message, Excess { limit, actual })
        }
        WriteError::StreamFailed => {
            Fault::new(Code::Aborted, "STREAM_FAILED", "an earlier append of this stream failed")
        }
        WriteError::DiskFull => {
            Fault::new(Code::ResourceExhausted, "DISK_FULL", "the disk is full; nothing was written")
                .retry(RETRY_LATER)
        }
        WriteError::Busy => Fault::new(
            Code::ResourceExhausted,
            "WRITER_BUSY",
            "the writer does not keep up; nothing was written",
        )
        .retry(RETRY_SOON),
        WriteError::Closing => shutting_down(),
        WriteError::Failed => storage_failed(),
        WriteError::OutcomeUnknown => Fault::new(
            Code::Unavailable,
            "OUTCOME_UNKNOWN",
            "it may have been written or not; the same producer triple again is safe",
        )
        .retry(RETRY_LATER),
        WriteError::Read(error) => of_read_fault(error),
    }
}

fn of_producer(fault: Fault, expected_seq: u64, current_epoch: u64) -> Fault {
    fault.with("expected_seq", expected_seq).with("current_epoch", current_epoch)
}

/// The answer to a read that failed.
pub(super) fn of_read(error: ReadError) -> Status {
    of_read_fault(error).into()
}

fn of_read_fault(error: ReadError) -> Fault {
    let message = error.to_string();
    match error {
        ReadError::NotFound { execution, deleted } => no_longer(not_found(execution), deleted),
        ReadError::Trimmed { floor_seq, tail_seq } => {
            out_of_range("CURSOR_TRIMMED", message, floor_seq, tail_seq)
        }
        ReadError::Ahead { floor_seq, tail_seq } => {
            out_of_range("CURSOR_AHEAD", message, floor_seq, tail_seq)
        }
        ReadError::Corrupt { execution, seq, position, what } => {
            tracing::error!(?execution, seq, position, what, "a stored record is damaged");
            corrupt(execution.map(|execution| execution.to_string()), seq, position)
        }
        ReadError::Failed => storage_failed(),
        ReadError::Closing => shutting_down(),
    }
}

/// The end of a watch that is not `End`.
pub(super) fn of_watch(error: WatchError) -> Status {
    let message = error.to_string();
    match error {
        WatchError::NotFound { execution, deleted } => no_longer(not_found(execution), deleted),
        WatchError::Trimmed { floor_seq, tail_seq } => {
            out_of_range("CURSOR_TRIMMED", message, floor_seq, tail_seq)
        }
        WatchError::Ahead { floor_seq, tail_seq } => {
            out_of_range("CURSOR_AHEAD", message, floor_seq, tail_seq)
        }
        WatchError::StoreReplaced { expected, actual } => {
            replaced("STORE_REPLACED", "store", &expected, &actual)
        }
        WatchError::LogReplaced { expected, actual } => replaced("LOG_REPLACED", "log", &expected, &actual),
        WatchError::Invalid(error) => of_invalid(error),
        WatchError::TooManyWatchers { limit } | WatchError::TooMuchWaits { limit } => {
            Fault::new(Code::ResourceExhausted, "TOO_MANY_WATCHERS", message)
                .with("limit", limit)
                .retry(RETRY_LATER)
        }
        WatchError::Corrupt { execution, seq, what } => {
            tracing::error!(?execution, seq, what, "a stored record is damaged");
            corrupt(execution.map(|execution| execution.to_string()), seq, 0)
        }
        WatchError::Failed => storage_failed(),
        WatchError::ShuttingDown => shutting_down(),
    }
    .into()
}

/// The answer to a call of the Stigmer contract that failed.
pub(super) fn of_call(error: CallError) -> Status {
    match error {
        CallError::Invalid(error) => of_invalid(error).into(),
        CallError::Append(error) => of_append(error),
        CallError::State(StateError::Read(error)) => of_read(error),
        CallError::State(error @ StateError::TooLarge(Excess { limit, actual })) => {
            Fault::new(Code::ResourceExhausted, "STATE_TOO_LARGE", error)
                .with("limit", limit)
                .with("actual", actual)
                .into()
        }
        CallError::Watch(error) => of_watch(error),
    }
}

/// The cursor of a request that reads belongs elsewhere.
pub(super) fn store_replaced(expected: &str, actual: &str) -> Status {
    replaced("STORE_REPLACED", "store", expected, actual).into()
}

/// The cursor of a request that reads belongs to another log.
pub(super) fn log_replaced(expected: &str, actual: &str) -> Status {
    replaced("LOG_REPLACED", "log", expected, actual).into()
}

/// The daemon is stopping.
pub fn of_shutdown() -> Status {
    shutting_down().into()
}

//! What the daemon refused, in words: the reason, its numbers and what to do, read from the details of
//! the status. Whatever it says is made printable; a daemon may be of another version, or no daemon.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::printable::printable_line;

/// An error that came over the wire, or from the wire itself.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The code of the status.
    pub(crate) code: Code,
    /// The reason, such as `EXECUTION_NOT_FOUND`; empty if the error is not the daemon's own.
    pub(crate) reason: String,
    /// The daemon's sentence.
    message: String,
    /// The numbers and names that go with the reason.
    metadata: BTreeMap<String, String>,
    /// Which fields of the request are wrong, and why.
    fields: Vec<(String, String)>,
    /// When to try again, if that may help.
    pub(crate) retry_after: Option<Duration>,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
        Self {
            code: status.code(),
            reason: info.map(|info| info.reason.clone()).unwrap_or_default(),
            message: status.message().to_owned(),
            metadata: info.map(|info| info.metadata.clone().into_iter().collect()).unwrap_or_default(),
            fields: violations.iter().map(|one| (one.field.clone(), one.description.clone())).collect(),
            retry_after: details.retry_info().map(|retry| retry.retry_delay.unwrap_or_default()),
        }
    }
}

impl Refusal {
    /// Whether the connection failed and not the request: the daemon's own errors carry a reason.
    pub(crate) fn is_connection(&self) -> bool {
        let broken =
            [Code::Unavailable, Code::Unknown, Code::Internal, Code::Cancelled, Code::DeadlineExceeded];
        self.reason.is_empty() && broken.contains(&self.code)
    }

    /// Whether the same request may succeed later. Not whether it is safe: that depends on the request.
    pub(crate) fn is_passing(&self) -> bool {
        self.is_connection() || self.retry_after.is_some() || self.reason == "SHUTTING_DOWN"
    }

    /// What to do about it, where this command line knows.
    fn advice(&self) -> Option<&'static str> {
        Some(match self.reason.as_str() {
            "STORE_REPLACED" => {
                "the daemon has another store than the one this cursor is from; start anew without it"
            }
            "LOG_REPLACED" => {
                "the execution has another log than the one this cursor is from; start anew without it"
            }
            "CURSOR_AHEAD" => "the log is shorter than this cursor says; is it the right daemon?",
            "CURSOR_TRIMMED" => "these events are no longer kept",
            "EXECUTION_ENDED" => "an execution that has ended takes no more events",
            "PRODUCER_FENCED" => "a newer run of the same producer has taken over",
            "TOO_MANY_WATCHERS" | "WRITER_BUSY" => "try again later",
            "DISK_FULL" => "it goes on by itself when the daemon's disk has room again",
            _ => return None,
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = if self.message.is_empty() { self.code.description() } else { &self.message };
        f.write_str(&printable_line(message))?;
        for (field, description) in &self.fields {
            if !self.message.contains(description.as_str()) {
                write!(f, "; {}: {}", printable_line(field), printable_line(description))?;
            }
        }
        if let Some(advice) = self.advice() {
            write!(f, "; {advice}")?;
        }
        if self.reason.is_empty() {
            return Ok(());
        }
        write!(f, " [{}", printable_line(&self.reason))?;
        for (key, value) in &self.metadata {
            write!(f, " {}={}", printable_line(key), printable_line(value))?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn status(code: Code, reason: &str, metadata: &[(&str, &str)]) -> Status {
        let metadata: std::collections::HashMap<String, String> =
            metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Status::with_error_details(
            code,
            "the sentence",
            ErrorDetails::with_error_info(reason, "tapeline", metadata),
        )
    }

    #[test]
    fn an_error_is_told_with_its_sentence_its_reason_and_its_numbers() {
        let trimmed = status(Code::OutOfRange, "CURSOR_TRIMMED", &[("floor_seq", "12"), ("tail_seq", "30")]);
        let told = Refusal::from(trimmed).to_string();
        assert_eq!(
            told,
            "the sentence; these events are no longer kept [CURSOR_TRIMMED floor_seq=12 tail_seq=30]"
        );
    }

    #[test]
    fn a_broken_connection_is_told_from_a_refusal() {
        assert!(Refusal::from(Status::unavailable("tcp connect error")).is_connection());
        assert!(!Refusal::from(status(Code::Unavailable, "STORAGE_FAILED", &[])).is_connection());
        assert!(!Refusal::from(Status::not_found("")).is_passing());
    }

    #[test]
    fn control_characters_of_the_other_side_are_made_visible() {
        let told = Refusal::from(Status::internal("\u{1b}[2Jhello\nworld")).to_string();
        assert_eq!(told, "\\x1b[2Jhello\\nworld");
    }
}

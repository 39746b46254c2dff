//! An error as a client gets it, looked at from all sides.

use std::fmt::Debug;

use tonic::{Code, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The reasons after which the same request may be sent again.
const RETRYABLE: [&str; 6] =
    ["DISK_FULL", "TOO_MANY_WATCHERS", "WRITER_BUSY", "STORAGE_FAILED", "OUTCOME_UNKNOWN", "SHUTTING_DOWN"];

/// What is in the details of an error.
pub(crate) struct Refusal {
    details: ErrorDetails,
}

/// The refusal in a result that must be one.
pub(crate) fn refused<T: Debug>(result: Result<Response<T>, Status>, code: Code, reason: &str) -> Refusal {
    refusal(result.map(Response::into_inner).expect_err("it is refused"), code, reason)
}

/// A status with this code and reason, and the details that every error of that kind has.
pub(crate) fn refusal(status: Status, code: Code, reason: &str) -> Refusal {
    assert_eq!(status.code(), code, "{status:?}");
    assert!(!status.message().is_empty(), "an error says something to people too");
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, "tapeline"), "{status:?}");
    let violations = details.bad_request().map_or(0, |bad| bad.field_violations.len());
    assert_eq!(violations > 0, code == Code::InvalidArgument, "BadRequest: {status:?}");
    let delay = details.retry_info().and_then(|retry| retry.retry_delay);
    assert_eq!(delay.is_some(), RETRYABLE.contains(&reason), "RetryInfo: {status:?}");
    Refusal { details }
}

/// A field that must be refused; returns which one it is.
pub(crate) fn invalid_field<T: Debug>(result: Result<Response<T>, Status>) -> String {
    refused(result, Code::InvalidArgument, "INVALID_FIELD").field()
}

impl Refusal {
    /// Asserts that the metadata is this and nothing else.
    pub(crate) fn says<const N: usize>(&self, expected: [(&str, &str); N]) {
        let info = self.details.error_info().expect("looked at before");
        let mut found: Vec<_> =
            info.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        found.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }

    /// One number of the metadata.
    pub(crate) fn number(&self, key: &str) -> u64 {
        let info = self.details.error_info().expect("looked at before");
        info.metadata.get(key).and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {key}"))
    }

    /// The one field that is wrong.
    pub(crate) fn field(&self) -> String {
        let violations = &self.details.bad_request().expect("looked at before").field_violations;
        assert_eq!(violations.len(), 1, "{violations:?}");
        assert!(!violations[0].description.is_empty());
        violations[0].field.clone()
    }
}

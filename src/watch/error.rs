//! Why a watch is refused or ends without `End`.

use tapeline_storage::{ExecutionId, ReadError, Seq};

use crate::execution::invalid::Invalid;

/// Why a watch is refused or breaks off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// No execution has this id, or it was deleted.
    #[error("execution {execution} does not exist{}", if *deleted { " any more" } else { "" })]
    NotFound {
        /// The id that was asked for.
        execution: ExecutionId,
        /// Whether it is the id of a deleted execution, which never comes back.
        deleted: bool,
    },
    /// The cursor is older than what is kept; in mid-stream, events were trimmed before they were sent.
    #[error("the cursor is older than what is kept; the first event kept is {floor_seq}")]
    Trimmed {
        /// The first seq that is kept.
        floor_seq: Seq,
        /// The tail.
        tail_seq: Seq,
    },
    /// The cursor is beyond the tail. On all executions both numbers are positions.
    #[error("the cursor is beyond the tail {tail_seq}")]
    Ahead {
        /// The first seq that is kept.
        floor_seq: Seq,
        /// The tail.
        tail_seq: Seq,
    },
    /// The cursor belongs to another store.
    #[error("the cursor belongs to store {expected}, this one is {actual}")]
    StoreReplaced {
        /// The store the client named.
        expected: String,
        /// The store that is here.
        actual: String,
    },
    /// The cursor belongs to another log.
    #[error("the cursor belongs to log {expected}, the execution has {actual}")]
    LogReplaced {
        /// The log the client named.
        expected: String,
        /// The log of the execution.
        actual: String,
    },
    /// A field of the request is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// As many watchers as the daemon takes are connected.
    #[error("there are {limit} watchers already")]
    TooManyWatchers {
        /// The limit.
        limit: usize,
    },
    /// As much as the daemon keeps waits for subscribers that do not read.
    #[error("{limit} bytes wait for those who do not read")]
    TooMuchWaits {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A stored byte is wrong. Nothing after it is sent.
    #[error("a stored record is damaged: {what}")]
    Corrupt {
        /// The execution, if known.
        execution: Option<ExecutionId>,
        /// The seq, or the position on all executions, of the damaged event; the next one that was to be
        /// sent if the store does not know.
        seq: Seq,
        /// What was found.
        what: String,
    },
    /// The store has failed and the process is about to end. Come back with the last cursor.
    #[error("the store has failed")]
    Failed,
    /// The daemon is shutting down. Come back with the last cursor.
    #[error("the daemon is shutting down")]
    ShuttingDown,
}

/// Why all watches end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndCause {
    /// The daemon is shutting down.
    ShuttingDown,
    /// The store has failed.
    StoreFailed,
}

impl From<EndCause> for WatchError {
    fn from(cause: EndCause) -> Self {
        match cause {
            EndCause::ShuttingDown => Self::ShuttingDown,
            EndCause::StoreFailed => Self::Failed,
        }
    }
}

impl WatchError {
    /// A field of the request is wrong.
    pub(super) fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid(Invalid::field(field, description))
    }

    /// What a failed read means to a watcher that wanted the event after `cursor`.
    pub(super) fn reading(error: ReadError, cursor: u64) -> Self {
        match error {
            ReadError::NotFound { execution, deleted } => Self::NotFound { execution, deleted },
            ReadError::Trimmed { floor_seq, tail_seq } => Self::Trimmed { floor_seq, tail_seq },
            ReadError::Ahead { floor_seq, tail_seq } => Self::Ahead { floor_seq, tail_seq },
            ReadError::Corrupt { execution, seq, position: _, what } => {
                let seq = if seq == 0 { cursor + 1 } else { seq };
                Self::Corrupt { execution, seq, what }
            }
            ReadError::Closing => Self::ShuttingDown,
            ReadError::Failed => Self::Failed,
        }
    }
}

//! Errors, grouped by what a caller does: open, write, read. Each variant says when it happens.
//! They are not `non_exhaustive`: whoever maps them to a wire must be stopped by the compiler when one is
//! added, not answer it with a catch-all.
//! A write error either guarantees that nothing was written or is [`WriteError::OutcomeUnknown`].

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::{ExecutionId, Phase, Position, Reject, Seq};

/// Why a store did not open. The daemon maps each to an exit code.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has this data directory open.
    #[error("the data directory {} is in use by another process", path.display())]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// The files say something that cannot be right. Nothing was changed.
    #[error("the store in {} is damaged: {what}", path.display())]
    Damaged {
        /// The data directory.
        path: PathBuf,
        /// What is wrong, with the numbers.
        what: String,
    },
    /// The files were written by a newer version of the program.
    #[error("the store in {} has format version {found}; this program reads up to {supported}", path.display())]
    NewerFormat {
        /// The data directory.
        path: PathBuf,
        /// The version in the file.
        found: u32,
        /// The newest version this program knows.
        supported: u32,
    },
    /// There is no room to open the store; nothing is damaged. Free some and start again.
    #[error("no room on the disk to open the store in {}", path.display())]
    DiskFull {
        /// The data directory.
        path: PathBuf,
    },
    /// The operating system failed a call.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, a verb phrase.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// What may be too large for a write, and in what it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The events of an append.
    AppendEvents,
    /// The bytes of all events of an append.
    AppendBytes,
    /// The bytes of a custom type.
    CustomTypeBytes,
    /// The bytes of a session, agent or display name.
    HeadTextBytes,
    /// The bytes of the owner of a lease.
    LeaseOwnerBytes,
    /// The bytes of an error.
    ErrorBytes,
    /// The labels of an execution.
    Labels,
    /// The bytes of a label's key.
    LabelKeyBytes,
    /// The bytes of a label's value.
    LabelValueBytes,
    /// The bytes of what the rules remember.
    RuleStateBytes,
    /// The producers that an execution remembers.
    Producers,
    /// The bytes of the base that comes with a trim.
    BaseBytes,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AppendEvents => "events of an append",
            Self::AppendBytes => "bytes of an append",
            Self::CustomTypeBytes => "bytes of a custom type",
            Self::HeadTextBytes => "bytes of a text of a head",
            Self::LeaseOwnerBytes => "bytes of a lease owner",
            Self::ErrorBytes => "bytes of an error",
            Self::Labels => "labels of an execution",
            Self::LabelKeyBytes => "bytes of a label's key",
            Self::LabelValueBytes => "bytes of a label's value",
            Self::RuleStateBytes => "bytes of a rule state",
            Self::Producers => "producers of an execution",
            Self::BaseBytes => "bytes of a base",
        })
    }
}

/// Why a creation, append, trim or deletion was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// No execution has this id, or it was deleted.
    #[error("execution {execution} does not exist{}", if *deleted { " any more" } else { "" })]
    NotFound {
        /// The id that was asked for.
        execution: ExecutionId,
        /// Whether it is the id of a deleted execution, which never comes back.
        deleted: bool,
    },
    /// A creation met an existing execution with other content, or the id of a deleted one.
    #[error("execution {execution} exists already{}", if *deleted { " (deleted; an id is never used again)" } else { "" })]
    Exists {
        /// The id that is taken.
        execution: ExecutionId,
        /// Whether it is the id of a deleted execution.
        deleted: bool,
    },
    /// The execution has ended; its log is final.
    #[error("the execution has ended at seq {final_seq}")]
    Ended {
        /// The seq of its terminal event.
        final_seq: Seq,
        /// Its phase.
        phase: Phase,
    },
    /// The caller expected another tail.
    #[error("expected the last seq {expected}, but it is {tail_seq}")]
    SeqMismatch {
        /// What the caller said.
        expected: Seq,
        /// The tail.
        tail_seq: Seq,
    },
    /// The producer sent this seq before, with other content.
    #[error("this producer sent other content with the same seq before")]
    ProducerConflict {
        /// The seq that this producer should send next.
        expected_seq: u64,
        /// The producer's epoch.
        current_epoch: u64,
    },
    /// The producer left out a seq.
    #[error("the producer must send seq {expected_seq} next")]
    ProducerGap {
        /// The seq that this producer should send next.
        expected_seq: u64,
        /// The producer's epoch.
        current_epoch: u64,
    },
    /// A newer epoch of the producer has been seen.
    #[error("the producer's epoch is over; the current one is {current_epoch}")]
    ProducerFenced {
        /// The seq that the producer of the current epoch should send next.
        expected_seq: u64,
        /// The current epoch.
        current_epoch: u64,
    },
    /// The request breaks a rule of the engine or of [`crate::Rules`].
    #[error("{}: {}", .0.field, .0.description)]
    Rejected(Reject),
    /// Something is larger than its limit.
    #[error("{what} is {actual}, the limit is {limit}")]
    TooLarge {
        /// What is too large.
        what: Limit,
        /// The limit.
        limit: u64,
        /// What was sent.
        actual: u64,
    },
    /// An earlier append of the same stream failed, so this one was not tried.
    #[error("an earlier append of this stream failed")]
    StreamFailed,
    /// The disk is full. Appends resume by themselves when there is room again.
    #[error("the disk is full")]
    DiskFull,
    /// The queue in front of the writer was full for as long as the caller may wait, too much is unsealed
    /// and sealing does not get on, or it was not known yet whether an earlier append of the same stream
    /// failed. Nothing was written.
    #[error("the writer is busy")]
    Busy,
    /// The store is closing; the write was not begun.
    #[error("the store is closing")]
    Closing,
    /// The store failed before this write was begun; nothing of it was written.
    #[error("the store has failed")]
    Failed,
    /// The commit failed midway: the write may be there after the next start or not. A retry with the
    /// same producer triple is safe.
    #[error("the outcome is unknown")]
    OutcomeUnknown,
    /// An older append of this producer had to be compared, and its record is damaged.
    #[error(transparent)]
    Read(ReadError),
}

/// Why a read returned nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No execution has this id, or it was deleted.
    #[error("execution {execution} does not exist{}", if *deleted { " any more" } else { "" })]
    NotFound {
        /// The id that was asked for.
        execution: ExecutionId,
        /// Whether it is the id of a deleted execution, which never comes back.
        deleted: bool,
    },
    /// The cursor is older than what is kept.
    #[error("events up to {} are gone; the first one kept is {floor_seq}", floor_seq.saturating_sub(1))]
    Trimmed {
        /// The first seq that is kept.
        floor_seq: Seq,
        /// The tail.
        tail_seq: Seq,
    },
    /// The cursor is beyond the tail.
    #[error("the cursor is beyond the tail {tail_seq}")]
    Ahead {
        /// The first seq that is kept.
        floor_seq: Seq,
        /// The tail.
        tail_seq: Seq,
    },
    /// A stored byte is wrong. Never served, never guessed.
    #[error("a stored record is damaged: {what}")]
    Corrupt {
        /// The execution, if known.
        execution: Option<ExecutionId>,
        /// The seq, if known, else 0.
        seq: Seq,
        /// The position, if known, else 0.
        position: Position,
        /// What was found.
        what: String,
    },
    /// The store has failed and the process is about to end.
    #[error("the store has failed")]
    Failed,
    /// The store is closing.
    #[error("the store is closing")]
    Closing,
}

impl From<ReadError> for WriteError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotFound { execution, deleted } => Self::NotFound { execution, deleted },
            ReadError::Failed => Self::Failed,
            ReadError::Closing => Self::Closing,
            other => Self::Read(other),
        }
    }
}

//! What can go wrong inside the engine, before it is told to a caller.

use crate::record::RecordError;
use crate::{ExecutionId, Position, ReadError, Seq};

/// A failed operation on one of the two files.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// redb or the operating system failed: the process must end, see [`crate::ReadError::Failed`].
    #[error(transparent)]
    Redb(#[from] redb::Error),
    /// A stored byte is wrong, or a record is not where it must be. Reported, never served.
    #[error("{0}")]
    Corrupt(Box<Corruption>),
}

/// Where a wrong byte was met, as far as it is known; 0 stands for unknown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Corruption {
    /// The number of the execution.
    pub(crate) number: u64,
    /// Its id, if the caller knows it.
    pub(crate) execution: Option<ExecutionId>,
    /// The seq that was wanted.
    pub(crate) seq: Seq,
    /// The position that was wanted.
    pub(crate) position: Position,
    /// What was found.
    pub(crate) what: String,
}

impl std::fmt::Display for Corruption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let places = [("execution number", self.number), ("seq", self.seq), ("position", self.position)];
        for (name, place) in places.into_iter().filter(|(_, place)| *place != 0) {
            write!(f, "{name} {place}, ")?;
        }
        f.write_str(&self.what)
    }
}

impl EngineError {
    /// A wrong byte at a seq of an execution.
    pub(crate) fn corrupt(number: u64, seq: Seq, position: Position, what: impl ToString) -> Self {
        let what = what.to_string();
        Self::Corrupt(Box::new(Corruption { number, execution: None, seq, position, what }))
    }

    /// A record that does not decode, at a seq of an execution.
    pub(crate) fn record(number: u64, seq: Seq, error: &RecordError) -> Self {
        Self::corrupt(number, seq, 0, error)
    }

    /// The same error as a reader gets it.
    pub(crate) fn into_read_error(self, execution: Option<&ExecutionId>) -> ReadError {
        match self {
            Self::Redb(_) => ReadError::Failed,
            Self::Corrupt(corruption) => {
                let Corruption { execution: known, seq, position, what, .. } = *corruption;
                ReadError::Corrupt { execution: known.or_else(|| execution.cloned()), seq, position, what }
            }
        }
    }
}

macro_rules! from_redb {
    ($($error:ty),*) => {
        $(impl From<$error> for EngineError {
            fn from(error: $error) -> Self {
                Self::Redb(error.into())
            }
        })*
    };
}

from_redb!(
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError,
    redb::DatabaseError,
    redb::SetDurabilityError
);

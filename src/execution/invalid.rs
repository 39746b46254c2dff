//! Why a request is refused before it reaches the store. It names the field and, where a limit is
//! passed, both numbers; what it says is for the one who sent the request.

use std::collections::BTreeMap;

use tapeline_storage::limits::{LABEL_KEY_BYTES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_MAX};

/// A request that breaks a rule; nothing of it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A field breaks a rule.
    #[error("{field}: {description}")]
    Field {
        /// Where it stands in the request, for example `events[2].custom.type`.
        field: String,
        /// What is wrong with it, a sentence without a full stop.
        description: String,
        /// The limit that is passed, if it is one.
        excess: Option<Excess>,
    },
    /// One event is larger than an event may be.
    #[error("{field} has {} bytes, the limit is {}", .excess.actual, .excess.limit)]
    EventTooLarge {
        /// Which event, for example `events[2]`.
        field: String,
        /// Its size and the limit, in bytes.
        excess: Excess,
    },
    /// A batch has more events or bytes than a batch may have.
    #[error("the batch has {} {what}, the limit is {}", .excess.actual, .excess.limit)]
    BatchTooLarge {
        /// What is too much: `events` or `bytes`.
        what: &'static str,
        /// How much it is, and the limit.
        excess: Excess,
    },
}

/// A limit and what passes it, in the same unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// The limit.
    pub limit: u64,
    /// What was sent.
    pub actual: u64,
}

impl Excess {
    /// The excess of `actual` over `limit`, if there is one.
    pub fn over(limit: usize, actual: usize) -> Option<Self> {
        (actual > limit).then_some(Self { limit: limit as u64, actual: actual as u64 })
    }
}

impl Invalid {
    /// A field that breaks a rule which is no limit.
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Field { field: field.into(), description: description.into(), excess: None }
    }

    /// A field whose number, length or count passes a limit.
    pub fn beyond(field: impl Into<String>, description: impl Into<String>, excess: Excess) -> Self {
        Self::Field { field: field.into(), description: description.into(), excess: Some(excess) }
    }

    /// Labels of an execution, or of a filter for executions: no execution has others.
    pub fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Self> {
        if let Some(excess) = Excess::over(LABELS_MAX, labels.len()) {
            let description = format!("there are {}, the limit is {LABELS_MAX}", labels.len());
            return Err(Self::beyond("labels", description, excess));
        }
        for (key, value) in labels {
            Self::check_length("labels.key", key, 1, LABEL_KEY_BYTES_MAX)?;
            Self::check_length("labels.value", value, 0, LABEL_VALUE_BYTES_MAX)?;
        }
        Ok(())
    }

    /// A text that must have `length_min` to `length_max` bytes.
    pub fn check_length(field: &str, text: &str, length_min: usize, length_max: usize) -> Result<(), Self> {
        if text.len() < length_min {
            return Err(Self::field(field, "must not be empty"));
        }
        match Excess::over(length_max, text.len()) {
            None => Ok(()),
            Some(excess) => {
                let description = format!("has {} bytes, the limit is {length_max}", text.len());
                Err(Self::beyond(field, description, excess))
            }
        }
    }
}

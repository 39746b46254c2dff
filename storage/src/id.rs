//! Names: which execution, which log, which store. Parsed at the edge, trusted inside.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::limits::EXECUTION_ID_BYTES_MAX;

/// The number of an event inside its execution: 1, 2, 3 … without a hole. 0 is "before the first".
pub type Seq = u64;
/// The number of an event among all events of the store, in commit order, from 1.
pub type Position = u64;

/// The name of one execution: 1..=128 of `A-Z a-z 0-9 - _ . :`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExecutionId(Arc<str>);

/// A text that is not an [`ExecutionId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExecutionIdError {
    /// It is empty or longer than 128 bytes.
    #[error("an execution id has 1 to {EXECUTION_ID_BYTES_MAX} characters, this one has {actual}")]
    Length {
        /// Its length, in bytes.
        actual: usize,
    },
    /// It holds a byte outside `A-Z a-z 0-9 - _ . :`.
    #[error("an execution id consists of A-Z a-z 0-9 - _ . : only; byte {offset} is something else")]
    Character {
        /// Where the first such byte stands, from 0.
        offset: usize,
    },
}

impl ExecutionId {
    /// Checks `text` and takes it as an id.
    pub fn parse(text: &str) -> Result<Self, ExecutionIdError> {
        if text.is_empty() || text.len() > EXECUTION_ID_BYTES_MAX {
            return Err(ExecutionIdError::Length { actual: text.len() });
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        match text.bytes().position(|byte| !allowed(byte)) {
            Some(offset) => Err(ExecutionIdError::Character { offset }),
            None => Ok(Self(text.into())),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExecutionId({})", self.0)
    }
}

impl Borrow<str> for ExecutionId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

macro_rules! ulid_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub struct $name(pub u128);

        impl $name {
            /// A new one: 48 bits of time, 80 random bits.
            pub fn generate() -> Self {
                Self(ulid::Ulid::generate().0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = ulid::Ulid(self.0).to_string();
                text.make_ascii_lowercase();
                f.write_str(&text)
            }
        }
    };
}

ulid_name! {
    /// Names one data directory, from its creation on; a restored copy gets a new one.
    /// Printed as a lower-case ULID.
    StoreId
}
ulid_name! {
    /// Names one execution's log. Printed as a lower-case ULID.
    LogId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_execution_id_is_1_to_128_characters_of_the_allowed_set() {
        for good in ["a", "aex-01:b_c.D", &"x".repeat(128)] {
            assert_eq!(ExecutionId::parse(good).expect("allowed").as_str(), good);
        }
        assert_eq!(ExecutionId::parse(""), Err(ExecutionIdError::Length { actual: 0 }));
        assert_eq!(ExecutionId::parse(&"x".repeat(129)), Err(ExecutionIdError::Length { actual: 129 }));
        for (bad, offset) in [("a b", 1), ("ä", 0), ("a/b", 1), ("a\0", 1)] {
            assert_eq!(ExecutionId::parse(bad), Err(ExecutionIdError::Character { offset }));
        }
    }

    #[test]
    fn store_and_log_ids_print_as_lower_case_ulids() {
        assert_eq!(StoreId(0).to_string(), "0".repeat(26));
        let log = LogId::generate().to_string();
        assert_eq!(log, log.to_ascii_lowercase());
        assert_eq!(log.len(), 26);
    }
}

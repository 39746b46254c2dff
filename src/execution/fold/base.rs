//! A state as the bytes that a trim leaves in the store, its base. The first byte is the version, so that
//! what was written once can be read for ever; bytes that are no base are an error, never a guess.
//!
//! Version 1: the version (1 byte), the seq of the last event in it (8 bytes, little-endian), the exit
//! status (`tapeline.v1.ExitStatus`, a varint with its length before it), the execution
//! (`AgentExecution`, up to the end). The execution stands alone and not inside another message: it is
//! nested no deeper than the requests that its parts came in, so whatever was taken is read again.

use bytes::{Buf, Bytes};
use prost::Message;

use super::{Folded, Weight, owned};
use crate::proto::stigmer::agentexecution::AgentExecution;
use crate::proto::v1::ExitStatus;

const VERSION: u8 = 1;
/// The version and the seq.
const FIXED_LENGTH: usize = 9;

/// Why bytes are no base that this program can read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseError {
    /// A newer program wrote it.
    #[error("the base has version {0}; this program reads version {VERSION}")]
    Version(u8),
    /// Its bytes are not those of a base.
    #[error("the base is damaged: {0}")]
    Damaged(String),
}

impl Folded {
    /// Its length as a base, in bytes.
    pub fn base_len(&self) -> usize {
        let exit = self.exit.encoded_len();
        FIXED_LENGTH + prost::length_delimiter_len(exit) + exit + self.execution.encoded_len()
    }

    /// The state as the base of a trim. The same state has the same bytes.
    pub fn to_base(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(self.base_len());
        self.write_base(&mut bytes);
        bytes.into()
    }

    /// Writes it behind what is there.
    pub fn write_base(&self, bytes: &mut Vec<u8>) {
        bytes.push(VERSION);
        bytes.extend(self.through_seq.to_le_bytes());
        self.exit.encode_length_delimited(bytes).expect("a vector grows");
        self.execution.encode(bytes).expect("a vector grows");
    }

    /// Reads what [`Folded::to_base`] wrote.
    pub fn from_base(mut bytes: Bytes) -> Result<Self, BaseError> {
        let damaged = |what: &dyn std::fmt::Display| BaseError::Damaged(what.to_string());
        match bytes.first() {
            Some(&VERSION) if bytes.len() >= FIXED_LENGTH => bytes.advance(1),
            Some(&VERSION) | None => return Err(damaged(&"it is too short")),
            Some(&version) => return Err(BaseError::Version(version)),
        }
        let through_seq = bytes.get_u64_le();
        let exit = ExitStatus::decode_length_delimited(&mut bytes).map_err(|error| damaged(&error))?;
        let mut execution = AgentExecution::decode(bytes).map_err(|error| damaged(&error))?;
        execution.spec = execution.spec.map(owned);
        let weight = Weight::of(&execution);
        Ok(Self { through_seq, execution, exit, weight })
    }
}

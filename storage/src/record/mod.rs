//! The codec: every stored value is a frame of version, kind, length and checksum around a bincode
//! body. It must never panic on any bytes, and must refuse what it did not write.
//!
//! ```text
//! offset  size  field
//!      0     1  version, 1
//!      1     1  kind: 1 creation, 2 event, 3 deletion, 4 trim, 5 head; 6 to 12 are the archive's
//!      2     4  length of the body in bytes, little endian
//!      6     4  crc32c of the six bytes before and of the body, little endian
//!     10     …  body: bincode 2, standard configuration (little endian, varint)
//! ```
//!
//! Bodies are described field by field in `docs/format.md`.

mod body;
mod head;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};

pub use body::{BatchStart, DeleteRecord, EventRecord, ProducerStamp, Record, TrimRecord};
pub use head::{decode_head, encode_head};

use crate::limits::RECORD_BODY_BYTES_MAX;

/// The version of the frame and of all bodies.
pub const VERSION: u8 = 1;
/// Bytes in front of a body.
pub const FRAME_BYTES: usize = 10;
/// Where the checksum stands in a frame.
const CHECKSUM_AT: usize = 6;

/// Why bytes are not a record. None of them is ever repaired or skipped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The bytes end before the frame does.
    #[error("the bytes end inside a record: {have} of {need}")]
    Truncated {
        /// Bytes that are there.
        have: usize,
        /// Bytes that the frame needs.
        need: usize,
    },
    /// The frame was written by a newer version, or is not a frame.
    #[error("record version {0} is not known")]
    Version(u8),
    /// The kind is not known, or not one that may stand here.
    #[error("record kind {0} is not expected here")]
    Kind(u8),
    /// The body is longer than any that is written.
    #[error("a record body of {0} bytes is longer than allowed")]
    TooLong(usize),
    /// The checksum does not match: a byte is wrong.
    #[error("checksum is {found:08x}, should be {stored:08x}")]
    Checksum {
        /// As stored.
        stored: u32,
        /// As computed.
        found: u32,
    },
    /// The checksum is right but the body does not decode; it was not written by this codec.
    #[error("the body does not decode: {0}")]
    Body(String),
    /// Bytes are left over behind the body's last field.
    #[error("{0} bytes are left over")]
    Trailing(usize),
}

/// What kind of record a frame holds. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Create = 1,
    Event = 2,
    Delete = 3,
    Trim = 4,
    Head = 5,
    Chunk = 6,
    ChunkPart = 7,
    Generation = 8,
    Meta = 9,
    Id = 10,
    Base = 11,
    Before = 12,
}

const KINDS: [Kind; 12] = [
    Kind::Create,
    Kind::Event,
    Kind::Delete,
    Kind::Trim,
    Kind::Head,
    Kind::Chunk,
    Kind::ChunkPart,
    Kind::Generation,
    Kind::Meta,
    Kind::Id,
    Kind::Base,
    Kind::Before,
];

impl Kind {
    fn from_number(number: u8) -> Result<Self, RecordError> {
        KINDS.into_iter().find(|kind| *kind as u8 == number).ok_or(RecordError::Kind(number))
    }
}

type Config = Configuration<LittleEndian, Varint, Limit<RECORD_BODY_BYTES_MAX>>;

fn config() -> Config {
    bincode::config::standard().with_limit::<RECORD_BODY_BYTES_MAX>()
}

/// Appends a frame around `body` to `out`.
pub(crate) fn encode_frame(out: &mut Vec<u8>, kind: Kind, body: &impl bincode::Encode) {
    let start = out.len();
    out.extend_from_slice(&[VERSION, kind as u8, 0, 0, 0, 0, 0, 0, 0, 0]);
    bincode::encode_into_writer(body, Sink(out), config())
        .expect("a body is within the limits that admission checked, and a Vec takes every byte");
    let (header, body) = out[start..].split_at_mut(FRAME_BYTES);
    let length = u32::try_from(body.len()).expect("a body is at most 17 MiB");
    header[2..CHECKSUM_AT].copy_from_slice(&length.to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&header[..CHECKSUM_AT]), body);
    header[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
}

struct Sink<'a>(&'a mut Vec<u8>);

impl bincode::enc::write::Writer for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Splits one checked frame off the front of `bytes`: its kind, its body, its whole length.
pub(crate) fn split_frame(bytes: &[u8]) -> Result<(Kind, &[u8], usize), RecordError> {
    let truncated = |need| RecordError::Truncated { have: bytes.len(), need };
    let (header, rest) = bytes.split_first_chunk::<FRAME_BYTES>().ok_or(truncated(FRAME_BYTES))?;
    let [version, kind, l0, l1, l2, l3, c0, c1, c2, c3] = *header;
    if version != VERSION {
        return Err(RecordError::Version(version));
    }
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if length > RECORD_BODY_BYTES_MAX {
        return Err(RecordError::TooLong(length));
    }
    let body = rest.get(..length).ok_or(truncated(FRAME_BYTES + length))?;
    let stored = u32::from_le_bytes([c0, c1, c2, c3]);
    let found = crc32c::crc32c_append(crc32c::crc32c(&[version, kind, l0, l1, l2, l3]), body);
    if stored != found {
        return Err(RecordError::Checksum { stored, found });
    }
    Ok((Kind::from_number(kind)?, body, FRAME_BYTES + length))
}

/// Decodes the body of a frame of this kind, which must be all of `bytes`.
pub(crate) fn decode_value<'a, T: bincode::BorrowDecode<'a, ()>>(
    kind: Kind,
    bytes: &'a [u8],
) -> Result<T, RecordError> {
    match split_frame(bytes)? {
        (found, body, length) if found == kind && length == bytes.len() => decode_body(body),
        (found, _, length) if found == kind => Err(RecordError::Trailing(bytes.len() - length)),
        (other, ..) => Err(RecordError::Kind(other as u8)),
    }
}

/// Decodes a whole body; bytes behind its last field are an error, because bincode would ignore them.
#[inline(always)] // what is returned is large, and a start decodes millions of them
pub(crate) fn decode_body<'a, T: bincode::BorrowDecode<'a, ()>>(body: &'a [u8]) -> Result<T, RecordError> {
    let (value, consumed) = bincode::borrow_decode_from_slice(body, config())
        .map_err(|error| RecordError::Body(error.to_string()))?;
    match body.len() - consumed {
        0 => Ok(value),
        left => Err(RecordError::Trailing(left)),
    }
}

#[cfg(test)]
pub(crate) mod tests;

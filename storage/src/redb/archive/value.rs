//! The small values of the archive: its state, ids, generations, bases, heads before a sealing.
//! The structs with `Body` in their name are the format: never reorder or change their fields.

use bincode::{BorrowDecode, Encode};

use crate::limits::NUMBERING_MAX;
use crate::record::{Kind, RecordError, decode_head, decode_value, encode_frame, encode_head};
use crate::{Head, Position};

/// What the archive says of itself. Moves only in the commit that closes a sealing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The last journal row whose contents are in the archive; 0 before the first sealing.
    pub(crate) sealed_row: u64,
    /// The last position that is in the archive, or was trimmed or deleted.
    pub(crate) sealed_position: Position,
    /// The number of the next execution, as far as the archive knows; from 1.
    pub(crate) next_number: u64,
    /// How many executions exist.
    pub(crate) executions: u64,
    /// Bytes in use, without what redb needs for itself.
    pub(crate) used_bytes: u64,
}

/// To whom an id belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdRow {
    pub(super) number: u64,
    pub(super) deleted: bool,
}

/// A generation, under its first position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GenerationRow {
    pub(super) last_position: Position,
    pub(super) raw_bytes: u64,
}

/// The head of an execution before a sealing that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BeforeRow {
    pub(super) id: String,
    pub(super) head: Option<Head>,
}

/// One piece of a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BasePart<'a> {
    pub(super) number: u64,
    /// The row at which the sealing that brought it ends.
    pub(super) row: u64,
    pub(super) part: u32,
    pub(super) parts: u32,
    pub(super) bytes: &'a [u8],
}

#[derive(Encode, BorrowDecode)]
struct StateBody {
    sealed_row: u64,
    sealed_position: u64,
    next_number: u64,
    executions: u64,
    used_bytes: u64,
}

#[derive(Encode, BorrowDecode)]
struct IdBody {
    number: u64,
    deleted: bool,
}

#[derive(Encode, BorrowDecode)]
struct GenerationBody {
    first_position: u64,
    last_position: u64,
    raw_bytes: u64,
}

#[derive(Encode, BorrowDecode)]
struct BeforeBody<'a> {
    number: u64,
    id: &'a str,
    head: Option<&'a [u8]>,
}

#[derive(Encode, BorrowDecode)]
struct BaseBody<'a> {
    number: u64,
    row: u64,
    part: u32,
    parts: u32,
    bytes: &'a [u8],
}

fn frame(kind: Kind, body: &impl Encode) -> Vec<u8> {
    let mut out = Vec::new();
    encode_frame(&mut out, kind, body);
    out
}

fn impossible() -> RecordError {
    RecordError::Body("its numbers cannot be right".to_owned())
}

fn misplaced() -> RecordError {
    RecordError::Body("the value stands under another key".to_owned())
}

impl Meta {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { sealed_row, sealed_position, next_number, executions, used_bytes } = *self;
        frame(Kind::Meta, &StateBody { sealed_row, sealed_position, next_number, executions, used_bytes })
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let StateBody { sealed_row, sealed_position, next_number, executions, used_bytes } =
            decode_value(Kind::Meta, bytes)?;
        let highest = sealed_row.max(sealed_position).max(next_number).max(used_bytes);
        if highest >= NUMBERING_MAX || executions >= next_number {
            return Err(impossible());
        }
        Ok(Self { sealed_row, sealed_position, next_number, executions, used_bytes })
    }
}

impl IdRow {
    pub(super) fn encode(self) -> Vec<u8> {
        frame(Kind::Id, &IdBody { number: self.number, deleted: self.deleted })
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let IdBody { number, deleted } = decode_value(Kind::Id, bytes)?;
        Ok(Self { number, deleted })
    }
}

impl GenerationRow {
    pub(super) fn encode(self, first_position: Position) -> Vec<u8> {
        let Self { last_position, raw_bytes } = self;
        frame(Kind::Generation, &GenerationBody { first_position, last_position, raw_bytes })
    }

    pub(super) fn decode(key: Position, bytes: &[u8]) -> Result<Self, RecordError> {
        let GenerationBody { first_position, last_position, raw_bytes } =
            decode_value(Kind::Generation, bytes)?;
        if first_position != key {
            return Err(misplaced());
        }
        if first_position == 0 || !(first_position..NUMBERING_MAX).contains(&last_position) {
            return Err(impossible());
        }
        Ok(Self { last_position, raw_bytes })
    }
}

impl BeforeRow {
    pub(super) fn encode(number: u64, id: &str, head: Option<&Head>) -> Vec<u8> {
        let head = head.map(|head| {
            let mut frame = Vec::new();
            encode_head(&mut frame, head);
            frame
        });
        frame(Kind::Before, &BeforeBody { number, id, head: head.as_deref() })
    }

    pub(super) fn decode(key: u64, bytes: &[u8]) -> Result<Self, RecordError> {
        let BeforeBody { number, id, head } = decode_value(Kind::Before, bytes)?;
        if number != key {
            return Err(misplaced());
        }
        Ok(Self { id: id.to_owned(), head: head.map(decode_head).transpose()? })
    }
}

impl<'a> BasePart<'a> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { number, row, part, parts, bytes } = *self;
        frame(Kind::Base, &BaseBody { number, row, part, parts, bytes })
    }

    pub(super) fn decode(key: (u64, u64, u32), value: &'a [u8]) -> Result<Self, RecordError> {
        let BaseBody { number, row, part, parts, bytes } = decode_value(Kind::Base, value)?;
        if (number, row, part) != key || part >= parts {
            return Err(misplaced());
        }
        Ok(Self { number, row, part, parts, bytes })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn small_values_are_decoded_as_they_were_encoded(
            numbers in [1..NUMBERING_MAX, 1..NUMBERING_MAX, 1..NUMBERING_MAX, 0..NUMBERING_MAX, 0..NUMBERING_MAX],
            id in ".{0,50}",
            deleted: bool,
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let [sealed_row, sealed_position, next_number, executions, used_bytes] = numbers;
            let executions = executions % next_number;
            let meta = Meta { sealed_row, sealed_position, next_number, executions, used_bytes };
            prop_assert_eq!(Meta::decode(&meta.encode()), Ok(meta));
            let row = IdRow { number: sealed_row, deleted };
            prop_assert_eq!(IdRow::decode(&row.encode()), Ok(row));
            let row = GenerationRow { last_position: NUMBERING_MAX - 1, raw_bytes: sealed_row };
            prop_assert_eq!(GenerationRow::decode(sealed_row, &row.encode(sealed_row)), Ok(row));
            let row = BeforeRow { id, head: None };
            prop_assert_eq!(BeforeRow::decode(3, &BeforeRow::encode(3, &row.id, None)), Ok(row));
            let part = BasePart { number: 1, row: sealed_row, part: 2, parts: 3, bytes: &bytes };
            let value = part.encode();
            prop_assert_eq!(BasePart::decode((1, sealed_row, 2), &value), Ok(part));
            prop_assert!(BasePart::decode((1, sealed_row, 1), &value).is_err());
        }

        #[test]
        fn a_state_whose_numbers_cannot_be_is_refused(field in 0..5usize, number in NUMBERING_MAX..) {
            let mut numbers = [3, 3, 3, 2, 3];
            numbers[field] = number;
            let [sealed_row, sealed_position, next_number, executions, used_bytes] = numbers;
            let meta = Meta { sealed_row, sealed_position, next_number, executions, used_bytes };
            prop_assert!(Meta::decode(&meta.encode()).is_err());
            let row = GenerationRow { last_position: number, raw_bytes: 1 };
            prop_assert!(GenerationRow::decode(5, &row.encode(5)).is_err());
        }

        #[test]
        fn arbitrary_bytes_are_no_value_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Meta::decode(&bytes).is_err());
            prop_assert!(IdRow::decode(&bytes).is_err());
            prop_assert!(GenerationRow::decode(1, &bytes).is_err());
            prop_assert!(BeforeRow::decode(1, &bytes).is_err());
            prop_assert!(BasePart::decode((1, 1, 0), &bytes).is_err());
        }
    }
}

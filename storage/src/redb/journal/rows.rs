//! How a commit stands in rows: cut into pieces, each behind a header that says where it belongs.
//!
//! ```text
//! offset  size  field, all little endian
//!      0     1  version, 1
//!      1     8  number of the commit
//!      9     4  part, from 0
//!     13     4  parts of this commit
//!     17     4  crc32c of the 17 bytes before and of the piece
//!     21     …  the piece
//! ```
//!
//! Pieces are cut so that each row but the last fills its pages: see [`ROW_PAGE_SLACK`]. Nothing is
//! padded. The records inside have checksums of their own; the one here also covers the header, and
//! tells a damaged row before anything of it is decoded.

use super::super::error::EngineError;
use crate::limits::NUMBERING_MAX;

/// The version of a row.
const ROW_VERSION: u8 = 1;
/// Bytes in front of a piece.
pub(super) const HEADER_BYTES: usize = 21;
const CHECKSUM_AT: usize = 17;
const PAGE_BYTES: usize = 4096;
/// What redb needs of a value's pages for itself.
const ROW_PAGE_SLACK: usize = 64;
/// The longest row: the pages of the largest commit, in one row.
const ROW_BYTES_MAX: usize = (32 << 20) - ROW_PAGE_SLACK;

/// The pieces of a commit, each with the header in front of it; at least one.
pub(super) fn cut(commit: u64, bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let lengths = piece_lengths(bytes.len());
    let parts = u32::try_from(lengths.len()).expect("a commit has a few rows");
    let mut rest = bytes;
    lengths.into_iter().zip(0..).map(move |(length, part)| {
        let (piece, tail) = rest.split_at(length);
        rest = tail;
        row(commit, part, parts, piece)
    })
}

/// Greedily the largest rows of 2^k pages that are filled; the last one has what is left.
fn piece_lengths(length: usize) -> Vec<usize> {
    let mut lengths = Vec::new();
    let mut left = length;
    while left + HEADER_BYTES > PAGE_BYTES - ROW_PAGE_SLACK {
        let pages_bytes = prev_power_of_two(left + HEADER_BYTES + ROW_PAGE_SLACK);
        let piece = (pages_bytes - ROW_PAGE_SLACK).min(ROW_BYTES_MAX) - HEADER_BYTES;
        lengths.push(piece);
        left -= piece;
    }
    if left > 0 || lengths.is_empty() {
        lengths.push(left);
    }
    lengths
}

fn prev_power_of_two(number: usize) -> usize {
    1 << number.ilog2()
}

fn row(commit: u64, part: u32, parts: u32, piece: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(HEADER_BYTES + piece.len());
    row.push(ROW_VERSION);
    row.extend_from_slice(&commit.to_le_bytes());
    row.extend_from_slice(&part.to_le_bytes());
    row.extend_from_slice(&parts.to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&row), piece);
    row.extend_from_slice(&checksum.to_le_bytes());
    row.extend_from_slice(piece);
    row
}

/// A row that was read and whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    pub(super) commit: u64,
    pub(super) part: u32,
    pub(super) parts: u32,
    pub(super) piece: &'a [u8],
}

impl<'a> Row<'a> {
    /// Reads what stands in a row. The number of the row is for the error only.
    pub(super) fn decode(number: u64, bytes: &'a [u8]) -> Result<Self, EngineError> {
        let Some((header, piece)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(damaged(number, "is shorter than its header"));
        };
        if header[0] != ROW_VERSION {
            return Err(damaged(number, &format!("has version {}, which is not known", header[0])));
        }
        let (covered, stored) = header.split_at(CHECKSUM_AT);
        let found = crc32c::crc32c_append(crc32c::crc32c(covered), piece);
        if stored != found.to_le_bytes() {
            return Err(damaged(number, "has a wrong checksum"));
        }
        let (commit, part, parts) = (u64_at(header, 1), u32_at(header, 9), u32_at(header, 13));
        if part >= parts {
            return Err(damaged(number, &format!("is part {part} of {parts}")));
        }
        if commit >= NUMBERING_MAX {
            return Err(damaged(number, &format!("says that it is of commit {commit}")));
        }
        Ok(Self { commit, part, parts, piece })
    }
}

/// A row that must not be as it is.
pub(super) fn damaged(row: u64, what: &str) -> EngineError {
    EngineError::corrupt(0, 0, 0, format!("journal row {row} {what}"))
}

fn u32_at(header: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|index| header[at + index]))
}

fn u64_at(header: &[u8; HEADER_BYTES], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|index| header[at + index]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::tests::golden;

    #[test]
    fn every_row_but_the_last_fills_its_pages() {
        for length in [0, 1, 4011, 4012, 8107, 8108, 12_000, 1 << 20, (17 << 20) + 5, 70 << 20] {
            let lengths = piece_lengths(length);
            assert_eq!(lengths.iter().sum::<usize>(), length);
            let (_, all_but_last) = lengths.split_last().expect("at least one");
            for piece in all_but_last {
                assert!((piece + HEADER_BYTES + ROW_PAGE_SLACK).is_power_of_two(), "{length}: {lengths:?}");
            }
        }
    }

    #[test]
    fn a_row_has_the_bytes_it_has_always_had() {
        let stored = golden::stored("journal-row");
        let expected = Row { commit: 0x0102_0304_0506_0708, part: 0, parts: 1, piece: b"a commit" };
        assert_eq!(Row::decode(7, &stored).expect("a golden row"), expected);
        let row = cut(expected.commit, expected.piece).next().expect("at least one");
        golden::check("journal-row", &row);
    }

    proptest! {
        #[test]
        fn what_was_cut_is_read_back(
            commit in 0..NUMBERING_MAX,
            bytes in proptest::collection::vec(any::<u8>(), 0..30_000),
        ) {
            let mut joined = Vec::new();
            let rows: Vec<_> = cut(commit, &bytes).collect();
            for (index, row) in rows.iter().enumerate() {
                let row = Row::decode(7, row).expect("it was just written");
                prop_assert_eq!(row.commit, commit);
                prop_assert_eq!((row.part as usize, row.parts as usize), (index, rows.len()));
                joined.extend_from_slice(row.piece);
            }
            prop_assert_eq!(joined, bytes);
        }

        #[test]
        fn a_wrong_byte_is_told(
            bytes in proptest::collection::vec(any::<u8>(), 0..3_000),
            at in any::<prop::sample::Index>(),
            flip in 1_u8..,
        ) {
            let mut row = cut(3, &bytes).next().expect("at least one");
            let at = at.index(row.len());
            row[at] ^= flip;
            prop_assert!(Row::decode(7, &row).is_err());
        }

        #[test]
        fn any_bytes_are_an_error_or_a_row(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            // What is asserted is that it returns.
            let _ = Row::decode(7, &bytes);
        }
    }
}

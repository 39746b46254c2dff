//! How redb lays values out in pages, as far as the size of a value should follow from it.

use crate::limits::ARCHIVE_VALUE_BYTES_MAX;

/// The page size of redb.
const PAGE_BYTES: usize = 4096;
/// What redb needs of a page for itself, key and offsets included, with some room.
const PAGE_OVERHEAD_BYTES: usize = 64;
/// About what a small entry costs besides its key and value.
const ENTRY_BYTES: usize = 8;

/// The longest value that shares a leaf page with others; a longer one has pages of its own.
pub(super) const LEAF_VALUE_BYTES_MAX: usize = PAGE_BYTES - PAGE_OVERHEAD_BYTES;

/// The longest value in the pages that a value of this length takes: 4096·2^k − 64.
pub(super) fn room(value_bytes: usize) -> usize {
    own_pages(value_bytes) - PAGE_OVERHEAD_BYTES
}

/// The room in half as many pages; 0 if there is no smaller one.
pub(super) fn room_below(value_bytes: usize) -> usize {
    match own_pages(value_bytes) / 2 {
        half if half < PAGE_BYTES => 0,
        half => half - PAGE_OVERHEAD_BYTES,
    }
}

/// Bytes that an entry takes in the file.
pub(super) fn footprint(key_bytes: usize, value_bytes: usize) -> usize {
    if value_bytes <= LEAF_VALUE_BYTES_MAX {
        key_bytes + value_bytes + ENTRY_BYTES
    } else {
        own_pages(value_bytes)
    }
}

/// Bytes of pages that are written anew for an entry which stands far from all others of its
/// commit: its own pages, and the leaf it is put into or beside.
pub(super) fn scattered(value_bytes: usize) -> usize {
    if value_bytes <= LEAF_VALUE_BYTES_MAX { PAGE_BYTES } else { PAGE_BYTES + own_pages(value_bytes) }
}

/// The pieces of something that is too long for one value; at least one.
pub(super) fn pieces(bytes: &[u8]) -> impl ExactSizeIterator<Item = (u32, &[u8])> {
    let count = bytes.len().div_ceil(ARCHIVE_VALUE_BYTES_MAX).max(1);
    (0..count).map(move |part| {
        let start = part * ARCHIVE_VALUE_BYTES_MAX;
        let end = bytes.len().min(start + ARCHIVE_VALUE_BYTES_MAX);
        (part as u32, &bytes[start..end])
    })
}

fn own_pages(value_bytes: usize) -> usize {
    (value_bytes + PAGE_OVERHEAD_BYTES).next_power_of_two().max(PAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_a_power_of_two_of_pages_less_what_redb_needs() {
        for (bytes, expected) in [(0, 4032), (4032, 4032), (4033, 8128), (8128, 8128), (8129, 16_320)] {
            assert_eq!(room(bytes), expected);
        }
        assert_eq!(room_below(4032), 0);
        assert_eq!(room_below(4033), 4032);
        assert_eq!(room_below(16_320), 8128);
    }
}

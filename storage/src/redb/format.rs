//! What each of the two files says of itself: the version of its tables, and the store it belongs to.
//! Checked before anything else is read; its fields never change.

use bincode::{BorrowDecode, Encode};
use redb::{Database, ReadableDatabase, TableDefinition};

use super::error::EngineError;
use crate::StoreId;
use crate::record::{Kind, RecordError, VERSION, decode_value, encode_frame};

/// The version of both files' tables.
pub(crate) const FORMAT: u32 = 1;

/// Key: `"format"`, in the archive also `"state"`. Value: format and store id; or the archive's state.
pub(super) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
pub(super) const FORMAT_KEY: &str = "format";

/// Why a file is not one of this store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormatError {
    /// It was written by a newer version of the program.
    #[error("it has format version {found}; this program reads up to {FORMAT}")]
    Newer {
        /// The version in the file.
        found: u32,
    },
    /// It belongs to another store.
    #[error("it belongs to the store {found}")]
    OtherStore {
        /// The store in the file.
        found: StoreId,
    },
    /// redb failed, or what the file says of itself is damaged.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The format: never reorder or change its fields.
#[derive(Encode, BorrowDecode)]
struct FormatBody {
    format: u32,
    store_id: [u8; 16],
}

/// What a file of this version says of itself.
pub(super) fn encode_format(store_id: StoreId) -> Vec<u8> {
    let mut out = Vec::new();
    encode_frame(&mut out, Kind::Meta, &FormatBody { format: FORMAT, store_id: store_id.0.to_le_bytes() });
    out
}

/// Reads what [`encode_format`] wrote.
pub(super) fn decode_format(bytes: &[u8]) -> Result<(u32, StoreId), RecordError> {
    let FormatBody { format, store_id } = decode_value(Kind::Meta, bytes)?;
    Ok((format, StoreId(u128::from_le_bytes(store_id))))
}

/// Whether a file is of this store and of a version that can be read.
pub(super) fn check_format(db: &Database, store_id: StoreId) -> Result<(), FormatError> {
    let damaged = |what: &str| FormatError::Engine(EngineError::corrupt(0, 0, 0, what));
    let txn = db.begin_read().map_err(EngineError::from)?;
    let meta = txn.open_table(META).map_err(EngineError::from)?;
    let row = meta.get(FORMAT_KEY).map_err(EngineError::from)?;
    let row = row.ok_or_else(|| damaged("the format is missing"))?;
    match decode_format(row.value()) {
        Err(RecordError::Version(found)) if found > VERSION => {
            Err(FormatError::Newer { found: u32::from(found) })
        }
        Err(error) => Err(damaged(&format!("the format: {error}"))),
        Ok((found, _)) if found > FORMAT => Err(FormatError::Newer { found }),
        Ok((_, found)) if found != store_id => Err(FormatError::OtherStore { found }),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::disk::Disk;
    use super::*;

    const STORE: StoreId = StoreId(77);

    /// A database that says this of itself.
    fn saying(bytes: &[u8]) -> Database {
        let db = Disk::default().open_repairing();
        let txn = db.begin_write().expect("writes");
        txn.open_table(META).expect("opens").insert(FORMAT_KEY, bytes).expect("inserts");
        txn.commit().expect("commits");
        db
    }

    #[test]
    fn a_file_of_another_store_or_a_newer_format_is_told_as_such() {
        check_format(&saying(&encode_format(STORE)), STORE).expect("its own");
        let other = check_format(&saying(&encode_format(STORE)), StoreId(5));
        assert!(matches!(other, Err(FormatError::OtherStore { found: STORE })), "{other:?}");
        let mut newer = Vec::new();
        let body = FormatBody { format: FORMAT + 6, store_id: [0; 16] };
        encode_frame(&mut newer, Kind::Meta, &body);
        let newer = check_format(&saying(&newer), STORE);
        assert!(matches!(newer, Err(FormatError::Newer { found: 7 })), "{newer:?}");
        let mut frame = encode_format(STORE);
        frame[0] = VERSION + 1;
        let newer = check_format(&saying(&frame), STORE);
        assert!(matches!(newer, Err(FormatError::Newer { .. })), "{newer:?}");
    }

    proptest! {
        #[test]
        fn a_format_is_decoded_as_it_was_encoded_and_arbitrary_bytes_are_none(
            store: u128,
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            prop_assert_eq!(decode_format(&encode_format(StoreId(store))), Ok((FORMAT, StoreId(store))));
            prop_assert!(decode_format(&bytes).is_err());
        }
    }
}

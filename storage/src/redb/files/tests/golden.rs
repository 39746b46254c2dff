//! The bytes of the sidecar are what they have always been.

use super::super::dir::{Dir, SIDECAR};
use super::super::disk::standard;
use super::super::sidecar::{Contents, read, write};
use crate::StoreId;
use crate::record::tests::golden::{check, stored};

#[test]
fn the_sidecar_has_the_bytes_it_has_always_had() {
    let temporary = tempfile::tempdir().expect("a directory");
    let dir = Dir::make(temporary.path(), standard()).expect("it is there");
    let contents = Contents { store_id: StoreId(42), position: 70_000 };
    std::fs::write(dir.file(SIDECAR), stored("sidecar")).expect("writes");
    assert_eq!(read(&dir).expect("a golden sidecar"), contents);
    write(&dir, contents).expect("writes");
    check("sidecar", &std::fs::read(dir.file(SIDECAR)).expect("reads"));
}

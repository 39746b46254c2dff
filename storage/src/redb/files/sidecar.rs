//! The sidecar, a small file beside the two databases: which store this is, and a position that was
//! durable when it was written. With it a database that is older than it was, empty or another one is
//! noticed. It is not on the append path, and an older copy of the whole directory is not noticed.
//!
//! ```text
//! offset  size  field
//!      0     8  "tapeline"
//!      8     4  format version of the data directory, little endian
//!     12    16  store id, little endian
//!     28     8  low-water position, little endian
//!     36     4  crc32c of the 36 bytes before, little endian
//! ```
//!
//! A newer version may have any length and any bytes behind its number.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::dir::{Dir, SIDECAR};
use super::disk::Place;
use crate::limits::SIDECAR_INTERVAL_MS;
use crate::{OpenError, Position, StoreId};

/// The newest format of a data directory that this program reads and writes.
pub(super) const FORMAT: u32 = 1;
const MAGIC: &[u8; 8] = b"tapeline";
const BYTES: usize = 40;
const CHECKED: usize = BYTES - 4;

/// The sidecar of an open store.
#[derive(Debug)]
pub(crate) struct Sidecar {
    dir: Dir,
    store_id: StoreId,
    /// The newest position that is known to be durable.
    position: AtomicU64,
    /// What the file says and since when. Held while it is written, by one thread at a time.
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    position: Position,
    at: Instant,
}

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) store_id: StoreId,
    pub(super) position: Position,
}

impl Sidecar {
    pub(super) fn new(dir: Dir, contents: Contents) -> Self {
        let Contents { store_id, position } = contents;
        let written = Mutex::new(Written { position, at: Instant::now() });
        Self { dir, store_id, position: AtomicU64::new(position), written }
    }

    /// Notes that everything up to `position` is durable. Costs nothing.
    pub(crate) fn note(&self, position: Position) {
        self.position.fetch_max(position, Ordering::Relaxed);
    }

    /// Writes the file if positions have moved and the last write is some time ago.
    pub(crate) fn write_if_due(&self) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        match written.at.elapsed() >= Duration::from_millis(SIDECAR_INTERVAL_MS) {
            true => self.write(&mut written),
            false => Ok(()),
        }
    }

    /// Writes the file if positions have moved: after a sealing, and when the store is closed.
    pub(crate) fn write_now(&self) -> io::Result<()> {
        self.write(&mut self.written.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, written: &mut Written) -> io::Result<()> {
        let position = self.position.load(Ordering::Relaxed);
        if position == written.position {
            return Ok(());
        }
        // Also after an error: the next try is as far away as after a success.
        written.at = Instant::now();
        write(&self.dir, Contents { store_id: self.store_id, position })?;
        written.position = position;
        Ok(())
    }

    /// Checks that the store, of which `tail` is the last position, is not older than it was.
    pub(crate) fn check(&self, tail: Position) -> Result<(), OpenError> {
        let low_water = self.written.lock().unwrap_or_else(PoisonError::into_inner).position;
        if tail >= low_water {
            return Ok(());
        }
        let what = format!("its events end at position {tail}, but position {low_water} was durable");
        Err(self.dir.damaged(what))
    }
}

/// Writes the file of a store, durably.
pub(super) fn write(dir: &Dir, contents: Contents) -> io::Result<()> {
    dir.replace(Place::Sidecar, SIDECAR, &encode(contents))
}

/// Reads the file of a store.
pub(super) fn read(dir: &Dir) -> Result<Contents, OpenError> {
    let bytes = std::fs::read(dir.file(SIDECAR)).map_err(dir.error("read", SIDECAR))?;
    match decode(&bytes) {
        Ok(contents) => Ok(contents),
        Err(Wrong::Newer(found)) => {
            Err(OpenError::NewerFormat { path: dir.path().to_owned(), found, supported: FORMAT })
        }
        Err(Wrong::Damaged(what)) => Err(dir.damaged(format!("the file {SIDECAR}: {what}"))),
    }
}

enum Wrong {
    Newer(u32),
    Damaged(String),
}

fn encode(contents: Contents) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[12..28].copy_from_slice(&contents.store_id.0.to_le_bytes());
    bytes[28..36].copy_from_slice(&contents.position.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[..CHECKED]);
    bytes[CHECKED..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Result<Contents, Wrong> {
    let damaged = |what: String| Err(Wrong::Damaged(what));
    let Some((magic, rest)) = bytes.split_first_chunk::<8>() else {
        return damaged(format!("it has {} bytes, should have {BYTES}", bytes.len()));
    };
    if magic != MAGIC {
        return damaged("it does not begin as one".to_owned());
    }
    match rest.first_chunk::<4>().map(|version| u32::from_le_bytes(*version)) {
        Some(version) if version > FORMAT => return Err(Wrong::Newer(version)),
        Some(FORMAT) => {}
        _ => return damaged("its format version is missing or has never been".to_owned()),
    }
    let Ok(bytes) = <&[u8; BYTES]>::try_from(bytes) else {
        return damaged(format!("it has {} bytes, should have {BYTES}", bytes.len()));
    };
    let found = crc32c::crc32c(&bytes[..CHECKED]);
    let stored = u32::from_le_bytes(field(bytes, CHECKED));
    if found != stored {
        return damaged(format!("checksum is {found:08x}, should be {stored:08x}"));
    }
    let store_id = StoreId(u128::from_le_bytes(field(bytes, 12)));
    Ok(Contents { store_id, position: u64::from_le_bytes(field(bytes, 28)) })
}

fn field<const N: usize>(bytes: &[u8; BYTES], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

//! Snapshots: files beside the store, each with the state of one execution after some event, so that
//! after a restart nobody folds a long log from its beginning. They are derived: written without a sync,
//! checked by a checksum and against the log when read, and thrown away on any doubt. So many bytes of
//! them are kept; more: the oldest go.
//!
//! A file: `TLSS`, version (1 byte), store id and log id (16 bytes each, big-endian), position and record
//! time of the last event in it (8 bytes each, little-endian), a base as `execution::fold` writes it, a
//! CRC-32C of all that (4 bytes, little-endian). Secrets are in it as they are in the log.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::{Buf, Bytes};
use tapeline_storage::{Head, LogId, StoreId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Mark, State};
use crate::execution::fold::Folded;
use crate::limits::{SNAPSHOT_FREE_BYTES_MIN, SNAPSHOTS_BYTES_MAX, STATE_BYTES_MAX};

const MAGIC: &[u8; 4] = b"TLSS";
const VERSION: u8 = 1;
/// Everything before the base.
const FIXED_LENGTH: usize = 4 + 1 + 16 + 16 + 8 + 8;
const CRC_LENGTH: usize = 4;
/// The end of a file's name.
const SUFFIX: &str = ".state";

/// A state as a file had it.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) folded: Folded,
    pub(super) mark: Mark,
}

/// The right to write a snapshot.
#[derive(Debug)]
pub(super) struct Place(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit);

/// The snapshots of one store.
#[derive(Debug)]
pub struct Snapshots {
    directory: PathBuf,
    store_id: StoreId,
    /// One is written at a time; whoever comes meanwhile goes without.
    writing: Arc<Semaphore>,
    /// Bytes of all files, as far as known.
    bytes: AtomicU64,
}

impl Snapshots {
    /// The snapshots in a directory, which is made when the first one is written. Looks at what is there,
    /// so it is not for an async thread.
    pub fn open(directory: PathBuf, store_id: StoreId) -> Self {
        let bytes = files(&directory).iter().map(|file| file.bytes).sum();
        Self { directory, store_id, writing: Arc::new(Semaphore::new(1)), bytes: AtomicU64::new(bytes) }
    }

    /// The snapshot of a log, if there is one that can be read.
    pub(super) async fn read(self: &Arc<Self>, head: &Head) -> Option<Snapshot> {
        let (this, log_id) = (self.clone(), head.execution.log_id);
        let read = tokio::task::spawn_blocking(move || this.read_file(log_id)).await;
        read.ok().flatten()
    }

    fn read_file(&self, log_id: LogId) -> Option<Snapshot> {
        let path = self.path(&log_id.to_string());
        let length = fs::metadata(&path).ok()?.len();
        if length > (STATE_BYTES_MAX + FIXED_LENGTH + CRC_LENGTH) as u64 {
            return None;
        }
        let snapshot = decode(fs::read(&path).ok()?.into(), self.store_id, log_id);
        if snapshot.is_none() {
            tracing::debug!(path = %path.display(), "a snapshot is damaged, or of another store; it is not used");
        }
        snapshot
    }

    /// Removes the snapshot of a log, after what is being written now.
    pub(super) async fn remove(self: &Arc<Self>, log_id: String) {
        let (this, path) = (self.clone(), self.path(&log_id));
        // The semaphore is never closed.
        let place = self.writing.clone().acquire_owned().await.ok();
        let removed = tokio::task::spawn_blocking(move || {
            this.remove_file(&path);
            drop(place);
        });
        // What cannot be removed is not used either.
        let _ = removed.await;
    }

    fn remove_file(&self, path: &Path) {
        let length = fs::metadata(path).map_or(0, |metadata| metadata.len());
        if fs::remove_file(path).is_ok() {
            self.forget_bytes(length);
        }
    }

    /// The place of whoever writes; none while another one is being written.
    pub(super) fn place(&self) -> Option<Place> {
        self.writing.clone().try_acquire_owned().ok().map(Place)
    }

    /// Writes a state. It is encoded and written aside: a long one takes its time.
    pub(super) async fn write(self: &Arc<Self>, place: Place, state: Arc<State>) {
        let this = self.clone();
        let written = tokio::task::spawn_blocking(move || {
            let log_id = state.head.execution.log_id;
            let bytes = encode(this.store_id, log_id, state.mark, &state.folded);
            // Whoever brings it up to the tail meanwhile need not copy it.
            drop(state);
            if let Err(error) = this.write_file(&log_id.to_string(), &bytes) {
                tracing::debug!(%error, "a snapshot was not written");
            }
            drop(place);
        });
        // What is not written costs a reader time.
        let _ = written.await;
    }

    fn write_file(&self, log_id: &str, bytes: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        if free_bytes(&self.directory)? < SNAPSHOT_FREE_BYTES_MIN {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.make_room(bytes.len() as u64);
        let (path, temporary) = (self.path(log_id), self.directory.join("new"));
        let before = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        let written = file.write_all(bytes).and_then(|()| fs::rename(&temporary, &path));
        if written.is_err() {
            // Left over, it would be overwritten by the next one.
            let _ = fs::remove_file(&temporary);
            return written;
        }
        self.forget_bytes(before);
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Removes the oldest files until there is room for one more.
    fn make_room(&self, bytes: u64) {
        if self.bytes.load(Ordering::Relaxed) + bytes <= SNAPSHOTS_BYTES_MAX {
            return;
        }
        let mut files = files(&self.directory);
        files.sort_by_key(|file| file.written);
        for file in files {
            if self.bytes.load(Ordering::Relaxed) + bytes <= SNAPSHOTS_BYTES_MAX {
                return;
            }
            self.remove_file(&file.path);
        }
    }

    /// The logs that have a snapshot. Not for an async thread.
    pub(super) fn logs(&self) -> Vec<String> {
        let names = files(&self.directory).into_iter().map(|file| file.path);
        names.filter_map(|path| path.file_stem()?.to_str().map(str::to_owned)).collect()
    }

    fn forget_bytes(&self, bytes: u64) {
        // Others may have changed the directory: never below nothing.
        let less = |all: u64| Some(all.saturating_sub(bytes));
        let _ = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    fn path(&self, log_id: &str) -> PathBuf {
        self.directory.join(format!("{log_id}{SUFFIX}"))
    }
}

struct File {
    path: PathBuf,
    bytes: u64,
    written: SystemTime,
}

/// The snapshots in a directory; none if it cannot be read.
fn files(directory: &Path) -> Vec<File> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let file = |entry: fs::DirEntry| {
        let metadata = entry.metadata().ok()?;
        let is_ours = metadata.is_file() && entry.file_name().to_str()?.ends_with(SUFFIX);
        let written = metadata.modified().ok()?;
        is_ours.then(|| File { path: entry.path(), bytes: metadata.len(), written })
    };
    entries.flatten().filter_map(file).collect()
}

fn free_bytes(directory: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(directory)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

fn encode(store_id: StoreId, log_id: LogId, mark: Mark, folded: &Folded) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FIXED_LENGTH + folded.base_len() + CRC_LENGTH);
    bytes.extend_from_slice(MAGIC);
    bytes.push(VERSION);
    bytes.extend_from_slice(&store_id.0.to_be_bytes());
    bytes.extend_from_slice(&log_id.0.to_be_bytes());
    bytes.extend_from_slice(&mark.position.to_le_bytes());
    bytes.extend_from_slice(&mark.record_time_ns.to_le_bytes());
    folded.write_base(&mut bytes);
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// `None` on the slightest doubt.
fn decode(mut bytes: Bytes, store_id: StoreId, log_id: LogId) -> Option<Snapshot> {
    if bytes.len() < FIXED_LENGTH + CRC_LENGTH {
        return None;
    }
    let mut crc = bytes.split_off(bytes.len() - CRC_LENGTH);
    if crc.get_u32_le() != crc32c::crc32c(&bytes) || !bytes.starts_with(MAGIC) {
        return None;
    }
    bytes.advance(MAGIC.len());
    if bytes.get_u8() != VERSION || bytes.get_u128() != store_id.0 || bytes.get_u128() != log_id.0 {
        return None;
    }
    let mark = Mark { position: bytes.get_u64_le(), record_time_ns: bytes.get_u64_le() };
    Some(Snapshot { folded: Folded::from_base(bytes).ok()?, mark })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The checksum is from elsewhere.
    #[test]
    fn the_bytes_of_a_snapshot_are_those_of_the_format() {
        let store_id = StoreId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
        let log_id = LogId(0x1112_1314_1516_1718_191a_1b1c_1d1e_1f20);
        let mark = Mark { position: 7, record_time_ns: 9 };
        let bytes = encode(store_id, log_id, mark, &Folded::default());
        let ids: Vec<u8> = (1..=32).collect();
        let marks = [7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0];
        let base = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let crc = [0x0a, 0x44, 0x71, 0x05];
        assert_eq!(bytes, [&b"TLSS\x01"[..], &ids, &marks, &base, &crc].concat());
        let read = decode(bytes.into(), store_id, log_id).expect("it is whole");
        assert_eq!((read.mark, read.folded), (mark, Folded::default()));
    }
}

//! A ballast: a file of allocated blocks beside a database, thrown off when the disk is full. It must
//! never be sparse, or throwing it off would give nothing back.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::dir::Dir;
use super::disk::{Disk, Op, Place};
use crate::limits::MIB;

/// The ballast of one database. Its one descriptor is opened at the start, so that no name has to be
/// looked up on a full disk.
#[derive(Debug)]
pub(super) struct Ballast {
    file: File,
    disk: Arc<dyn Disk>,
    place: Place,
}

impl Ballast {
    /// Opens the file, as large as it is.
    pub(super) fn open(dir: &Dir, place: Place, name: &str) -> io::Result<Self> {
        let file = dir.open_or_create(place, name)?;
        Ok(Self { file, disk: dir.disk.clone(), place })
    }

    /// Any file of the file system, to ask about it and to sync it.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Whether every block of it is allocated.
    pub(super) fn is_whole(&self) -> io::Result<bool> {
        let (found, bytes) = (self.file.metadata()?, self.disk.ballast_bytes());
        Ok(found.len() >= bytes && found.blocks() * 512 >= bytes)
    }

    /// Allocates it, unless it is whole. An error leaves nothing allocated.
    pub(super) fn make(&self) -> io::Result<()> {
        if self.is_whole()? {
            return Ok(());
        }
        self.allocate().inspect_err(|_| {
            // What was allocated so far is worth nothing. If this fails too, the next try finds it.
            let _ = rustix::fs::ftruncate(&self.file, 0);
        })
    }

    fn allocate(&self) -> io::Result<()> {
        let bytes = self.disk.ballast_bytes();
        self.disk.before(self.place, Op::Allocate)?;
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.fill(bytes)?,
            Err(errno) => return Err(errno.into()),
        }
        self.disk.before(self.place, Op::Sync)?;
        self.file.sync_all()?;
        match self.is_whole()? {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::Unsupported, "the file system allocates nothing")),
        }
    }

    /// Writes what cannot be allocated. The bytes are not zero, which some file systems would not store.
    fn fill(&self, bytes: u64) -> io::Result<()> {
        let block: Vec<u8> =
            (0..MIB as u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut at = 0;
        while at < bytes {
            let length = (bytes - at).min(block.len() as u64);
            self.file.write_all_at(&block[..length as usize], at)?;
            at += length;
        }
        Ok(())
    }

    /// Gives its blocks back to the file system.
    pub(super) fn throw_off(&self) -> io::Result<()> {
        self.disk.before(self.place, Op::SetLen)?;
        rustix::fs::ftruncate(&self.file, 0)?;
        self.disk.before(self.place, Op::Sync)?;
        self.file.sync_all()
    }
}

//! A small file system of its own for a test that fills the disk. Needs root.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FallocateFlags, fallocate};

/// A mounted file system, unmounted when it is dropped.
pub(super) struct Mount {
    dir: tempfile::TempDir,
}

impl Mount {
    /// A file system in memory.
    pub(super) fn tmpfs(mib: u64) -> Option<Self> {
        Self::mounted(&["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
    }

    /// A file system in memory that holds nothing and takes nothing.
    pub(super) fn read_only() -> Option<Self> {
        Self::mounted(&["-t", "tmpfs", "-o", "ro,size=1m", "tmpfs"])
    }

    /// An ext4 file system in a file.
    pub(super) fn ext4(mib: u64) -> Option<Self> {
        let images = tempfile::tempdir().expect("a place for files");
        let image = images.path().join("image");
        File::create(&image).and_then(|file| file.set_len(mib << 20)).expect("makes the image");
        let image = image.to_str().expect("temporary names are text");
        if !done(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0", image])) {
            return None;
        }
        // The image has no name from here on, but the file system keeps it.
        Self::mounted(&["-t", "ext4", "-o", "loop", image])
    }

    fn mounted(options: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a place for files");
        done(Command::new("mount").args(options).arg(dir.path())).then_some(Self { dir })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Takes everything that is free.
    pub(super) fn fill(&self) {
        let file = File::options().create(true).append(true).open(self.filler()).expect("makes the filler");
        let mut end = 0;
        for block in [64 << 20, 1 << 20, 1 << 12] {
            while fallocate(&file, FallocateFlags::empty(), end, block).is_ok() {
                end += block;
            }
        }
        file.sync_all().expect("syncs the filler");
    }

    /// Gives it back.
    pub(super) fn relieve(&self) {
        fs::remove_file(self.filler()).expect("removes the filler");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        done(Command::new("umount").arg("-l").arg(self.dir.path()));
    }
}

fn done(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

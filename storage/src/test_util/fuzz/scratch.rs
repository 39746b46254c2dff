//! A data directory that is gone when it is no longer used.

use std::fs;
use std::path::{Path, PathBuf};

/// Removed when dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tapeline-fuzz-{}", ulid::Ulid::generate()));
        fs::create_dir(&path).expect("the directory for temporary files can be written");
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// A copy of what the files hold now. Ballast is left out; it is made again.
    pub(super) fn copy(&self) -> Self {
        let copy = Self::new();
        for entry in fs::read_dir(&self.0).expect("the directory is readable") {
            let entry = entry.expect("an entry is readable");
            if !entry.file_name().to_string_lossy().contains("ballast") {
                fs::copy(entry.path(), copy.0.join(entry.file_name())).expect("a file can be copied");
            }
        }
        copy
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing depends on it: the directory is one for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

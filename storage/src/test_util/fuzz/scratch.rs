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
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing depends on it: the directory is one for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

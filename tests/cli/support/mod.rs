//! What the tests of the command line share: a daemon for one test, the shell that talks to it, and what
//! it says. Nothing here waits without a deadline.

mod daemon;
mod shell;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) use self::daemon::Daemon;
pub(crate) use self::shell::{Done, Running, finish, tapeline};

/// How long anything may take before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(40);

/// Waits until something is so.
pub(crate) fn eventually(mut is_so: impl FnMut() -> bool, otherwise: &dyn Fn() -> String) {
    let until = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < until, "it never came to be so: {}", otherwise());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The seqs of these events.
pub(crate) fn seqs(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["seq"].as_u64().unwrap()).collect()
}

/// The data of the custom events among these, as numbers.
pub(crate) fn numbers(events: &[Value]) -> Vec<u64> {
    events.iter().filter_map(|event| event["custom"]["data"].as_str()?.parse().ok()).collect()
}

/// The only file in a directory.
pub(crate) fn only_file_in(directory: &Path) -> PathBuf {
    let files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

//! What the tests of the real daemon share: the child process, the appends and the watchers, and what
//! a reader has seen. Nothing here waits without a deadline.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub(crate) mod daemon;
pub(crate) mod append;
pub(crate) mod log;
pub(crate) mod watcher;

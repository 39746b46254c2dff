//! The command line as a shell sees it: the real binary, the real daemon, real signals. Every test has a
//! daemon of its own on a directory of its own.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on stops")]

mod support;

mod verbs;
mod lists;
mod watch;
mod agent;
mod run;
mod demo;
mod scripted;
mod json;

//! Torture of the real binary: killed under load, watched by stopped and by very many watchers. What
//! is asserted here are promises, never speeds.
//!
//! `cargo test` runs a small dose on the development build; `just torture` runs the whole one on the
//! release build, with the sizes of [`dose`].

mod dose;
mod daemon;
mod log;
mod producer;
mod watcher;
mod kill;
mod stopped;
mod many;
mod ended;

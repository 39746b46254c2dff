//! Torture of the real binary: killed under load, watched by stopped and by very many watchers. What
//! is asserted here are promises, never speeds.
//!
//! `cargo test` runs a small dose on the development build; `just torture` runs the whole one on the
//! release build, with the sizes of [`dose`].

#[path = "../support/mod.rs"]
mod support;
mod dose;
mod producer;
mod kill;
mod stopped;
mod many;
mod silent;
mod ended;

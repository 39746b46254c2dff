//! The read path against the real store: each promise to a watcher, and its order under load.

mod support;
mod replay;
mod starts;
mod lagging;
mod trimmed;
mod creation;
mod filters;
mod silence;
mod refused;
mod all;
mod registry;
mod stress;

//! The embedded engine: a journal and an archive, both redb files.
//! No type of redb leaves this module.

mod error;
#[allow(dead_code, reason = "the engine takes of it what it needs")]
mod files;
#[allow(dead_code, reason = "the engine takes of it what it needs")]
mod journal;
#[allow(dead_code, unused_imports, reason = "the engine takes of it what it needs")]
mod archive;
#[allow(dead_code, reason = "the engine takes of it what it needs")]
mod admit;
#[allow(dead_code, reason = "the engine takes of it what it needs")]
mod pack;
mod slots;
mod unsealed;
mod queue;
mod answer;
mod batch;
mod writer;
mod signals;
mod failure;
mod shared;
mod recover;
mod sealer;
mod runs;
mod reader;
mod read_all;
mod older;
mod list;
mod open;
mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

#[cfg(any(test, feature = "test-util"))]
pub(crate) use files::{Disk, Op, Place};
pub use open::OpenOptions;
pub use store::RedbStore;

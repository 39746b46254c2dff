//! The embedded engine: a journal and an archive, both redb files.
//! No type of redb leaves this module.

mod error;
mod files;
mod format;
mod journal;
mod archive;
mod admit;
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
mod submit;
mod trim;
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

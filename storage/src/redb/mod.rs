//! The embedded engine: a journal and an archive, both redb files.
//! No type of redb leaves this module.

mod error;
#[allow(dead_code, unused_imports, reason = "the engine takes of it what it needs")]
mod archive;

//! The embedded engine: a journal and an archive, both redb files.
//! No type of redb leaves this module.

mod error;
#[cfg_attr(not(test), allow(dead_code, unused_imports, reason = "the engine around it is built on it"))]
mod archive;

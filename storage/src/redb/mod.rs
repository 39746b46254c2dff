//! The embedded engine: a journal and an archive, both redb files.
//! No type of redb leaves this module.

mod error;

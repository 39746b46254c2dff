//! What the tests of both files share.

pub(crate) mod disk;

//! The files of a data directory: creating, locking, opening and closing them, and keeping a full disk away from redb.

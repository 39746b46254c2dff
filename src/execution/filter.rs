//! Which events a watcher wants, by type.

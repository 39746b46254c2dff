//! When to stop: signals, and the order in which the daemon winds down.

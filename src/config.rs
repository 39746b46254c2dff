//! The checked configuration of the daemon.

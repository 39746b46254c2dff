//! Every bound of the daemon and the command line, by name, with its answer to "and when it is full?".
//! The engine's bounds are in `tapeline_storage::limits`.

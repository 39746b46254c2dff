//! The daemon: opens the store, wires the parts, serves until it is told to stop.

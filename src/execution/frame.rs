//! Encodes events into wire-ready frames, once for all watchers.

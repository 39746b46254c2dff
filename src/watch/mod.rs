//! The read path: one state machine from replay to live for each watcher.

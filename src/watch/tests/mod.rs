//! The read path against a store.

//! Empties secrets in events before any native reader gets them.

//! What the daemon logs, and how: structured, on stderr, never a payload.

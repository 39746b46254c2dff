//! The kinds of events: their numbers, names, and the way from a wire body to a `NewEvent`.

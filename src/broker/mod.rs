//! The broadcast: hands each durable commit to the subscriptions it concerns; never blocks the writer, never loses silently.

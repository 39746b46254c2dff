//! The domain: what an event means and how it looks on the wire. Pure: no I/O, no async, no clock.

pub mod phase;
pub mod time;
pub(crate) mod kind;
pub mod event;
mod head_change;
pub mod invalid;
mod nesting;
pub mod rules;
pub mod fold;
pub mod redact;
pub mod filter;
pub mod frame;

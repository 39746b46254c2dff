//! The codec is tested here: every record comes back as it was written, no bytes make it panic, what
//! it did not write is refused, and the bytes of version 1 never change.

mod samples;
mod round_trip;
mod hostile;
mod longest;
pub(crate) mod golden;
pub(crate) mod wincode;

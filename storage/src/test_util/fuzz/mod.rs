//! The bodies of the engine's fuzz targets: functions that take any bytes and panic if a promise is
//! broken. `fuzz/` feeds them for as long as one likes; ordinary tests replay the corpus.

mod record_decode;
mod store_ops;
mod choose;
mod input;
mod model;
mod check;
mod scratch;

pub use record_decode::record_decode;
pub use store_ops::store_ops;

#[cfg(test)]
mod tests;

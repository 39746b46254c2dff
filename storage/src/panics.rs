//! Panics that are told in place of ending their thread. Nothing that one may have left halfway must be used
//! again: a reader drops it and goes on, whoever writes ends the store or the daemon.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does something. A panic in it is an error: the words of the panic.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| words(&*panic).to_owned())
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic")
}

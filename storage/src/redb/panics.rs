//! Panics over what stands in a file. redb trusts the bytes of its own pages, and panics over some that are
//! wrong. Who only reads makes an error of that; who writes must let it end the store.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Reads something. A panic in it is an error, with the words of the panic.
pub(super) fn caught<T>(read: impl FnOnce() -> T) -> Result<T, String> {
    // What a reader leaves behind is dropped with it: it shares nothing that it changes halfway.
    catch_unwind(AssertUnwindSafe(read)).map_err(|panic| words(&*panic).to_owned())
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic")
}

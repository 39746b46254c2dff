//! Times: nanoseconds since 1970-01-01 UTC in the store, seconds and nanoseconds on the wire. Pure.

use prost_types::Timestamp;

/// Nanoseconds in a second.
pub const NS_PER_S: u64 = 1_000_000_000;

/// A time of the store on the wire.
pub fn timestamp(ns: u64) -> Timestamp {
    let seconds = i64::try_from(ns / NS_PER_S).unwrap_or(i64::MAX);
    Timestamp { seconds, nanos: (ns % NS_PER_S) as i32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_nanoseconds() {
        assert_eq!(timestamp(0), Timestamp { seconds: 0, nanos: 0 });
        assert_eq!(timestamp(1_999_999_999), Timestamp { seconds: 1, nanos: 999_999_999 });
        assert_eq!(timestamp(u64::MAX).seconds, 18_446_744_073);
    }
}

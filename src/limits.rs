//! Every bound of the daemon and the command line, by name, with its answer to "and when it is full?".
//! The engine's bounds are in `tapeline_storage::limits`.

use std::time::Duration;

use tapeline_storage::limits::{
    COMMIT_BYTES_MAX, CUSTOM_TYPE_BYTES_MAX, LABEL_KEY_BYTES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_MAX, MIB,
};

// ---- broadcast and watch ----

/// Commits that wait for the broker's thread. More: every subscription is marked as lagged and its
/// watcher reads from the store.
pub const BROKER_COMMITS_MAX: usize = 1_024;
/// Payload bytes of the commits that wait for the broker's thread. More: as above. A commit that finds
/// nothing waiting is taken whatever its size.
pub const BROKER_BYTES_MAX: usize = 64 * MIB;
/// Slices that wait in one subscription. More: it is marked as lagged, nothing is sent to it any more,
/// and its watcher reads from the store.
pub const SUBSCRIPTION_SLICES_MAX: usize = 32;
/// Bytes of the slices that wait in one subscription. More: as above. A slice that finds nothing
/// waiting is taken whatever its size.
pub const SUBSCRIPTION_BYTES_MAX: usize = MIB;

/// Streams of `Watch` and `WatchAll` that are open at once. One more: `TOO_MANY_WATCHERS`.
pub const WATCHERS_MAX: usize = 20_000;
/// Bytes of one frame of events. More: another frame follows. A larger event has a frame of its own.
pub const FRAME_BYTES: usize = 32 << 10;
/// Events of one page of a replay. More: the next page, once this one was taken.
pub const REPLAY_PAGE_EVENTS: usize = 1_024;
/// Payload bytes of one page of a replay, the event that passes it included. More: as above.
pub const REPLAY_PAGE_BYTES: usize = 128 << 10;
/// Events between a replay and the tail above which the watcher holds no subscription: what would wait
/// in it would be read from the store anyway.
pub const REPLAY_FAR_EVENTS: u64 = 4 * REPLAY_PAGE_EVENTS as u64;
/// How long a watch stays silent before a heartbeat, unless the client says otherwise.
pub const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(15);
/// The shortest interval between heartbeats. Less: `INVALID_FIELD`.
pub const HEARTBEAT_MIN: Duration = Duration::from_millis(100);
/// The longest interval between heartbeats. More: taken as this.
pub const HEARTBEAT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Names in a filter by type. More: `INVALID_FIELD`.
pub const EVENT_TYPES_MAX: usize = 64;
/// Longest name in a filter by type, its `*` included, in bytes. Longer: `INVALID_FIELD`.
pub const EVENT_TYPE_BYTES_MAX: usize = CUSTOM_TYPE_BYTES_MAX;
/// Labels in a filter. More: `INVALID_FIELD`; no execution has more.
pub const FILTER_LABELS_MAX: usize = LABELS_MAX;
/// Longest key of a label in a filter, in bytes. Longer: `INVALID_FIELD`.
pub const FILTER_LABEL_KEY_BYTES_MAX: usize = LABEL_KEY_BYTES_MAX;
/// Longest value of a label in a filter, in bytes. Longer: `INVALID_FIELD`.
pub const FILTER_LABEL_VALUE_BYTES_MAX: usize = LABEL_VALUE_BYTES_MAX;

const _: () = {
    assert!(FRAME_BYTES <= MIB);
    assert!(FRAME_BYTES <= REPLAY_PAGE_BYTES);
    assert!(SUBSCRIPTION_BYTES_MAX <= BROKER_BYTES_MAX);
    assert!(COMMIT_BYTES_MAX <= BROKER_BYTES_MAX);
    assert!(HEARTBEAT_MIN.as_millis() <= HEARTBEAT_DEFAULT.as_millis());
    assert!(HEARTBEAT_DEFAULT.as_millis() <= HEARTBEAT_MAX.as_millis());
};

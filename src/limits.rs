//! Every bound of the daemon, by name, with its answer to "and when it is full?".
//! The engine's bounds are in `tapeline_storage::limits`, the command line's in `cli::limits`.

use std::time::Duration;

pub use tapeline_storage::limits::MIB;
use tapeline_storage::limits::{COMMIT_BYTES_MAX, CUSTOM_TYPE_BYTES_MAX};

/// Events in one append of a client. More: `BATCH_TOO_LARGE`.
pub const BATCH_EVENTS_MAX: usize = 1_000;
/// Bytes of all events in one append of a client, as we encode them. More: `BATCH_TOO_LARGE`.
pub const BATCH_BYTES_MAX: usize = 4 * MIB;
/// Bytes of one event, as we encode it. More: `EVENT_TOO_LARGE`.
pub const EVENT_BYTES_MAX: usize = MIB;

/// The longest request that is decoded at all, so that the checks above answer and not the decoder.
/// Longer: refused by the transport, with a code and without details.
pub const REQUEST_BYTES_MAX: usize = 16 * MIB;
/// Bytes on the wire from which a request is weighed: below, nothing can come to much.
pub const WEIGHED_BYTES_MIN: usize = 64 << 10;
/// Bytes of memory that a request takes when it is decoded, as far as its bytes tell before that. More:
/// `BATCH_TOO_LARGE`.
pub const REQUEST_MEMORY_BYTES_MAX: usize = 128 * MIB;
/// Events in one page of `ReadEvents`. More are asked for: this many are given.
pub const READ_EVENTS_MAX: u32 = 1_000;
/// Events in one page of `ReadEvents` when the caller does not say.
pub const READ_EVENTS_DEFAULT: u32 = 100;
/// Payload bytes in one page of `ReadEvents`, the event that passes it included.
pub const READ_BYTES_MAX: usize = MIB;
/// Executions in one page of a list. More are asked for: this many are given.
pub const LIST_PAGE_MAX: usize = 1_000;
/// Executions in one page of a list when the caller does not say.
pub const LIST_PAGE_DEFAULT: usize = 50;
/// Bytes of the executions in one page of a list, the one that passes it included. More: the next page.
pub const LIST_BYTES_MAX: usize = MIB;
/// Watchers in one page of a list. More are asked for, or no number is named: this many are given.
pub const WATCHERS_PAGE_MAX: usize = 10_000;
/// Bytes of one watcher in a list at most, as it is encoded.
pub const WATCHER_BYTES_MAX: usize = 320;
/// What a client takes in one reply unless it says otherwise, in bytes; so it is with gRPC everywhere.
pub const CLIENT_REPLY_BYTES_MAX: usize = 4 * MIB;

/// Appends of one stream that wait for their acknowledgement. More: the stream is not read further.
pub const STREAM_APPENDS_MAX: usize = 4_096;
/// Payload bytes of one stream that wait for their acknowledgement. More: as above.
pub const STREAM_BYTES_MAX: usize = 8 * MIB;

/// Trims that fold at a time. More: they wait.
pub const TRIMS_MAX: usize = 1;
/// Bytes of memory that a state takes: its texts, and what each entry takes besides. More at the tail:
/// `STATE_TOO_LARGE`, and no change of the Stigmer contract leads there; the events can still be read.
pub const STATE_BYTES_MAX: usize = 64 * MIB;
/// Bytes of memory that a state takes at any time while it is folded, by a trim too. More: as above; a trim
/// is answered with `INVALID_FIELD`, and nothing is removed. What a trim keeps must also fit the engine's
/// limit for a base.
pub const FOLDED_BYTES_MAX: usize = 2 * STATE_BYTES_MAX;

/// States of executions that are kept in memory. More: the one asked for longest ago goes.
pub const STATES_MAX: usize = 4_096;
/// Bytes of memory that the kept states take. More: as above; the newest stays whatever its size.
pub const STATES_BYTES_MAX: usize = 64 * MIB;
/// States that are being folded from their logs at once. More: they wait.
pub const STATE_LOADS_MAX: usize = 8;
/// Events up to which a state that is kept in memory is brought up to the tail without such a place. More:
/// as above.
pub const STATE_NEAR_EVENTS: u64 = 1_024;
/// How many times as long as it took to see that a state is too large nobody looks again, though there are
/// new events.
pub const TOO_LARGE_PAUSE_FACTOR: u32 = 9;
/// Bytes of a state up to which it is encoded where it is asked for; a longer one on a thread of its own.
pub const ENCODED_INLINE_BYTES_MAX: usize = 64 << 10;
/// How many times as long as encoding a state took no other state of that execution is encoded for its
/// subscribers, unless it is the last one. They get a newer one then.
pub const ENCODING_PAUSE_FACTOR: u32 = 4;
/// Bytes of the states that were handed out to subscribers and not taken by them. More: a subscriber waits
/// for its state, and after the next limit its stream ends with `TOO_MANY_WATCHERS`.
pub const SUBSCRIBED_BYTES_MAX: usize = 512 * MIB;
/// How long a subscriber waits for room. Longer: as above.
pub const SUBSCRIBED_WAIT_MAX: Duration = Duration::from_secs(5);
/// Events between two snapshots of a state, at first; later as many as are in it already, up to the next
/// limit.
pub const SNAPSHOT_EVENTS_MIN: u64 = 4_096;
/// Events between two snapshots of a state at most.
pub const SNAPSHOT_EVENTS_MAX: u64 = 8_192;
/// Bytes of events after which there is a snapshot though they are few, and half the state at least.
pub const SNAPSHOT_BYTES_MIN: usize = 4 * MIB;
/// Bytes of all snapshots. More: the oldest are removed.
pub const SNAPSHOTS_BYTES_MAX: u64 = 256 * MIB as u64;
/// Free bytes of the file system below which no snapshot is written: the log needs them more.
pub const SNAPSHOT_FREE_BYTES_MIN: u64 = 256 * MIB as u64;
/// Executions that are to have a snapshot, or none any more, and wait. More: they are not noted, which
/// costs a reader time.
pub const SNAPSHOT_WISHES_MAX: usize = 1_024;
/// Bytes of text in one event that a difference of states makes. More: the text is cut, and the rest
/// follows in events of its own.
pub const DIFF_TEXT_BYTES_MAX: usize = 512 << 10;
/// How long a change that is decided on a state waits for its turn, and is decided anew when others were
/// faster. Longer: `WRITER_BUSY` while it waits, else `SEQ_MISMATCH`.
pub const CHANGE_RETRY_MAX: Duration = Duration::from_secs(5);
/// Changes of one execution that wait for their turn. More: `WRITER_BUSY`.
pub const TURN_WAITERS_MAX: usize = 64;
/// How long an append of a client waits for a change that it would overtake. Longer: it goes on, and the
/// change is decided anew.
pub const APPEND_HELD_BACK_MAX: Duration = CHANGE_RETRY_MAX;
/// Bytes of one reply of the Stigmer contract; its clients take 4 MiB. More: see `agentexecution::fit`.
pub const REPLY_BYTES_MAX: usize = 7 * MIB / 2;
/// Executions in one page of a list of the Stigmer contract. More are asked for: this many are given.
pub const CONTRACT_LIST_PAGE_MAX: usize = 100;
/// Executions that a list of the Stigmer contract counts to say how many pages there are.
pub const LIST_COUNTED_MAX: usize = 10_000;
/// Executions whose tags one page looks at. More: the page is short, and there is a next one.
pub const LIST_EXAMINED_MAX: usize = 1_000;
/// Tags in a filter. More: `INVALID_FIELD`.
pub const LIST_TAGS_MAX: usize = 32;

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

/// Connections at a time, unless configured. More: they wait in the system's queue.
pub const CONNECTIONS_MAX_DEFAULT: usize = 16_384;
/// Streams on one connection at a time. More: the client waits, as HTTP/2 tells it to.
pub const CONNECTION_STREAMS_MAX: u32 = 4_096;
/// Bytes of one stream that the client may send ahead of our reading. More: the client waits.
pub const STREAM_RECEIVE_WINDOW_BYTES: u32 = 64 << 10;
/// Bytes of one connection that the client may send ahead of our reading. More: the client waits. The
/// HTTP/2 library takes half of it as its bound on small frames that wait, and closes the connection
/// where that is passed; so it is large against the window of one stream.
pub const CONNECTION_RECEIVE_WINDOW_BYTES: u32 = 4 << 20;
/// What the HTTP/2 library counts for a waiting frame of less than this many bytes: the difference.
const SMALL_FRAME_BYTES: u32 = 256;
/// Bytes that are buffered for one stream whose client does not read. More: the stream waits.
pub const STREAM_SEND_BUFFER_BYTES: usize = 64 << 10;
/// Headers of one request, in bytes. More: refused by the transport.
pub const HEADERS_BYTES_MAX: u32 = 16 << 10;
/// How long a connection may be silent before it has said what it speaks. Longer: closed.
pub const FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a silent connection is asked for a sign of life, and how long it has to answer.
pub const KEEPALIVE: Duration = Duration::from_secs(20);
/// Streams that a client may have reset before they were accepted, and that we reset for its errors.
/// More: the connection is closed. A stream that ends early is ordinary for watchers.
pub const RESET_STREAMS_MAX: usize = 1_024;
/// How long no connection is accepted when the process has no file descriptor left.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long the daemon takes to stop. Longer: it exits anyway; what was acknowledged is on disk.
pub const STOP_MAX: Duration = Duration::from_millis(4_500);
/// How long the daemon takes to end when its store has failed.
pub const FAIL_MAX: Duration = Duration::from_millis(300);

const _: () = {
    assert!(EVENT_BYTES_MAX <= BATCH_BYTES_MAX);
    assert!(BATCH_BYTES_MAX < REQUEST_BYTES_MAX);
    assert!(WATCHERS_PAGE_MAX * WATCHER_BYTES_MAX < CLIENT_REPLY_BYTES_MAX);
    // A small request may wait on every stream of a connection, and one stream may be full of messages
    // of 32 bytes, without the library's bound being passed.
    assert!(CONNECTION_STREAMS_MAX * SMALL_FRAME_BYTES <= CONNECTION_RECEIVE_WINDOW_BYTES / 2);
    assert!(STREAM_RECEIVE_WINDOW_BYTES / 32 * SMALL_FRAME_BYTES <= CONNECTION_RECEIVE_WINDOW_BYTES / 2);
    assert!(BATCH_BYTES_MAX <= STREAM_BYTES_MAX);
    assert!(BATCH_BYTES_MAX <= tapeline_storage::limits::APPEND_BYTES_MAX);
    assert!(STREAM_BYTES_MAX <= tapeline_storage::limits::QUEUE_BYTES_MAX);
    assert!(tapeline_storage::limits::APPEND_BYTES_MAX <= STATE_BYTES_MAX);
    // Between two states that are small enough there is none that cannot be folded: it has nothing that is
    // in neither of them.
    assert!(2 * STATE_BYTES_MAX <= FOLDED_BYTES_MAX);
    assert!(FRAME_BYTES <= MIB);
    // One subscriber can always be given its state.
    assert!(2 * REPLY_BYTES_MAX <= SUBSCRIBED_BYTES_MAX && SUBSCRIBED_BYTES_MAX <= u32::MAX as usize);
    assert!(FRAME_BYTES <= REPLAY_PAGE_BYTES);
    assert!(SUBSCRIPTION_BYTES_MAX <= BROKER_BYTES_MAX);
    assert!(COMMIT_BYTES_MAX <= BROKER_BYTES_MAX);
    assert!(HEARTBEAT_MIN.as_millis() <= HEARTBEAT_DEFAULT.as_millis());
    assert!(HEARTBEAT_DEFAULT.as_millis() <= HEARTBEAT_MAX.as_millis());
};

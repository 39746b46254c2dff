//! Every bound of the command line, by name, with its answer to "and when it is full?" or "and when it
//! is over?".

use std::time::Duration;

/// Where the daemon is looked for when nobody says otherwise.
pub(crate) const ADDR_DEFAULT: &str = "http://127.0.0.1:50051";

/// How long one attempt to connect may take. Over: it counts as failed.
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How long one call may take, its answer included. Over: it counts as failed.
pub(crate) const CALL_MAX: Duration = Duration::from_secs(20);
/// How often an idle connection is asked for a sign of life.
pub(crate) const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
/// How long that sign may take. Over: the connection is dropped.
pub(crate) const KEEPALIVE_MAX: Duration = Duration::from_secs(5);
/// Largest reply that is taken, in bytes: a page of a list with all its labels. Larger: an error.
pub(crate) const REPLY_BYTES_MAX: usize = 32 << 20;

/// How long a call that the daemon asks to repeat is repeated. Over: its last error stands.
pub(crate) const CALL_RETRY_MAX: Duration = Duration::from_secs(10);
/// The first pause before trying again; it doubles each time.
pub(crate) const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// The longest pause.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The heartbeat a watch asks for.
pub(crate) const HEARTBEAT_EVERY: Duration = Duration::from_secs(10);
/// How long a watch may be silent: three heartbeats. Over: the connection is taken for dead.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How often a watch looks whether its reader is still there.
pub(crate) const READER_LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often a cursor file is synced to disk at most, while it is written. In between: at the end.
pub(crate) const CURSOR_SYNC_EVERY: Duration = Duration::from_millis(100);
/// How long the first connection of a watch is tried. Over: exit code 5.
pub(crate) const FIRST_CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long a watch that has begun is resumed without success, unless the user says otherwise. Over:
/// exit code 5.
pub(crate) const RECONNECT_MAX: Duration = Duration::from_secs(300);

/// Messages, tool calls, sub-agents and entries of the to-do list of which a transcript remembers what it
/// has shown. More: the one that nothing was said of for longest is forgotten; if it changes after all, it
/// is shown as one whose beginning was not seen.
pub(crate) const SHOWN_ENTRIES_MAX: usize = 8_192;
/// Letters of a tool's result that are shown as it grows. More: only how much it has become, each time
/// that has doubled.
pub(crate) const SHOWN_RESULT_LETTERS_MAX: usize = 1_000;

/// Lines of standard input that wait to be appended. Full: reading waits.
pub(crate) const APPEND_LINES_MAX: usize = 64;
/// Longest line of standard input that is read, in bytes: an event of 1 MiB with every byte escaped.
/// Longer: an error that names the line.
pub(crate) const APPEND_LINE_BYTES_MAX: usize = 8 << 20;
/// Events in one append. More: the next append takes them.
pub(crate) const BATCH_EVENTS_MAX: usize = 1_000;
/// Bytes of events in one append, the event that passes it excluded. More: the next append takes them.
pub(crate) const BATCH_BYTES_MAX: usize = 1 << 20;

/// Largest piece of output in one event, in bytes. A flood without newlines is cut there; no byte is
/// given up.
pub(crate) const OUTPUT_BYTES_MAX: usize = 32 << 10;
/// Length of a cursor file, in bytes. Longer: it is refused as none.
pub(crate) const CURSOR_FILE_BYTES_MAX: u64 = 4 << 10;
/// Bytes of events a `run` keeps in memory. Full: they go to the spool file.
pub(crate) const SPOOL_MEMORY_BYTES_MAX: usize = 1 << 20;
/// Length of the spool file, in bytes. Full: the program's pipes are not read until there is room.
pub(crate) const SPOOL_FILE_BYTES_MAX: u64 = 256 << 20;
/// How long the last events of a `run` are tried after its program ended, counted from the last success.
/// Over: the spool file is kept and the command is printed that delivers it.
pub(crate) const DELIVER_MAX: Duration = Duration::from_secs(30);
/// How long the user waits for the daemon before being told so. Over: it is said what is waited for.
pub(crate) const QUIET_MAX: Duration = Duration::from_secs(1);
/// How long one call may take when the user does not want to wait any more: a daemon that is well takes the
/// rest. Over: as above.
pub(crate) const IMPATIENT_CALL_MAX: Duration = Duration::from_secs(1);
/// How long the pipes are read after the program ended, if somebody else still holds them open. Over:
/// what is in them is read, then they are closed.
pub(crate) const PIPES_AFTER_EXIT_MAX: Duration = Duration::from_secs(2);
/// Bytes that are read from a pipe after that time: as much as a pipe holds. More: given up, and flagged.
pub(crate) const PIPE_DRAIN_BYTES_MAX: usize = 64 << 10;

const _: () = assert!(BATCH_BYTES_MAX + (1 << 20) <= 4 << 20, "a batch with one more event fits an append");
const _: () = assert!(OUTPUT_BYTES_MAX < SPOOL_MEMORY_BYTES_MAX, "a piece of output fits the memory");

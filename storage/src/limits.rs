//! Every bound of the engine, by name, with its answer to "and when it is full?".
//! Relations between bounds are asserted at compile time, at the end of the file.

/// One mebibyte, in bytes.
pub const MIB: usize = 1 << 20;

/// What seqs, positions, rows, commits, numbers of executions and counts of bytes stay below: no disk holds so
/// many. Stored bytes that say more are damaged, so arithmetic on what was read cannot overflow.
pub const NUMBERING_MAX: u64 = 1 << 62;

/// Longest execution id, in bytes. Longer: refused by [`crate::ExecutionId`].
pub const EXECUTION_ID_BYTES_MAX: usize = 128;
/// Longest producer id, in bytes. Longer: the append is rejected.
pub const PRODUCER_ID_BYTES_MAX: usize = 128;
/// Producers one execution remembers. One more: the append is rejected, nothing is written.
pub const PRODUCERS_MAX: usize = 64;
/// Longest rule state, in bytes. Longer: the append is rejected.
pub const RULE_STATE_BYTES_MAX: usize = 64;
/// Longest custom type name, in bytes. Longer: the append is rejected.
pub const CUSTOM_TYPE_BYTES_MAX: usize = 256;
/// Longest text of a head field (session, agent, name), in bytes. Longer: the append is rejected.
pub const HEAD_TEXT_BYTES_MAX: usize = 1024;
/// Longest error text kept in a head, in bytes; the append path shortens longer ones at a
/// character boundary, the event itself keeps the whole text.
pub const HEAD_ERROR_BYTES_MAX: usize = 4096;
/// Labels of one execution. More: the creation is rejected.
pub const LABELS_MAX: usize = 32;
/// Longest label key, in bytes.
pub const LABEL_KEY_BYTES_MAX: usize = 63;
/// Longest label value, in bytes.
pub const LABEL_VALUE_BYTES_MAX: usize = 256;

/// Most events one append may hold. More: the append is rejected.
pub const APPEND_EVENTS_MAX: usize = 100_000;
/// Largest payload of one append, in bytes. Clients get 4 MiB (the daemon's check); an append that
/// the daemon composes from a whole agent state may hold this much. More: rejected.
pub const APPEND_BYTES_MAX: usize = 16 * MIB;
/// Largest body of one record, in bytes: one append in one event, and room for the fields around it.
pub const RECORD_BODY_BYTES_MAX: usize = APPEND_BYTES_MAX + MIB;

/// Requests that wait for the writer. More: the caller waits, see [`QUEUE_WAIT_MAX_MS`].
pub const QUEUE_REQUESTS_MAX: usize = 65_536;
/// Payload bytes that wait for the writer. More: the caller waits, see [`QUEUE_WAIT_MAX_MS`].
pub const QUEUE_BYTES_MAX: usize = 64 * MIB;
/// What an event takes in the queue besides its bytes, so that many empty ones count too.
pub const QUEUE_EVENT_OVERHEAD_BYTES: usize = 96;
/// How long a caller waits for a place in the queue, in milliseconds, and how long the writer waits for
/// the sealer when [`UNSEALED_BYTES_MAX`] is met; then `WriteError::Busy`.
pub const QUEUE_WAIT_MAX_MS: u64 = 5_000;
/// Events the writer takes into one commit; what is left waits for the next one.
pub const COMMIT_EVENTS_MAX: usize = 4_096;
/// Payload bytes the writer takes into one commit; what is left waits for the next one. A single
/// larger append makes a commit of its own.
pub const COMMIT_BYTES_MAX: usize = MIB;

/// Events in one page of a read. A reader asks again for more.
pub const PAGE_EVENTS_MAX: usize = 256;
/// Bytes in one page of a read, the event that passes it included. A reader asks again for more.
pub const PAGE_BYTES_MAX: usize = MIB;
/// Heads one page of a list examines; then the page is returned short, with a token.
pub const LIST_EXAMINED_MAX: usize = 10_000;

/// Clean slots kept in memory. More: the least recently used one is dropped and read again later.
pub const CLEAN_SLOTS_MAX: usize = 65_536;
/// Journal bytes kept in memory. Older unsealed rows are read from the file.
pub const JOURNAL_CACHE_BYTES_MAX: usize = 32 * MIB;
/// What each execution with something unsealed counts for in the three bounds that follow, besides its
/// bytes: its head is in memory meanwhile, and a start makes it anew.
pub const UNSEALED_EXECUTION_BYTES: usize = 512;
/// Unsealed bytes at which sealing starts.
pub const SEAL_START_BYTES: usize = 32 * MIB;
/// Unsealed bytes from which the writer delays each commit, so that the sealer can keep up.
pub const BACK_PRESSURE_BYTES: usize = 64 * MIB;
/// Unsealed bytes above which nothing is written until the sealer has caught up; appends wait
/// in the queue meanwhile, see [`QUEUE_WAIT_MAX_MS`].
pub const UNSEALED_BYTES_MAX: usize = 128 * MIB;
/// Raw bytes of one sealed generation, the commit that passes it included.
pub const GENERATION_BYTES_MAX: usize = 16 * MIB;
/// Raw bytes of one chunk; a single larger record makes a chunk of its own.
pub const CHUNK_RAW_BYTES_MAX: usize = 32 << 10;
/// Bytes of chunks in one slice of a sealing, see `redb::archive`.
pub const SEAL_SLICE_BYTES: usize = 512 << 10;
/// Bytes of pages that one durable commit of the archive writes anew, all its slices included. More:
/// the sealing goes on in another durable commit. Half of what the ballast beside the file can give.
pub const SEAL_UNIT_BYTES: usize = 4 * MIB;
/// Bytes of one value in the archive. A longer block or base is cut into parts of this length.
pub const ARCHIVE_VALUE_BYTES_MAX: usize = (256 << 10) - 64;
/// Durable commits that free deleted and trimmed chunks after each sealing. More: the next sealing,
/// or a call of `clean`, goes on.
pub const CLEAN_UNITS_MAX: usize = 8;
/// Decompressed generations kept for the readers of all executions. More: the oldest goes.
pub const GENERATIONS_CACHED_MAX: usize = 4;
/// redb's page cache for each of the two files, in bytes.
pub const REDB_CACHE_BYTES: usize = 32 * MIB;

/// Bytes really allocated beside each of the two files, given up when the disk is full so that the
/// running unit can finish. See `redb::files::space`.
pub const BALLAST_BYTES: u64 = 32 * MIB as u64;
/// Free bytes of the file system below which nothing new is begun: `WriteError::DiskFull`.
pub const FREE_BYTES_MIN: u64 = 16 * MIB as u64;
/// Free bytes from which a ballast that was given up is made again.
pub const FREE_BYTES_RESUME: u64 = 48 * MIB as u64;
/// How often it is tried to leave a full disk, and whether the sidecar is due, in milliseconds.
pub const KEEPER_TICK_MS: u64 = 200;
/// How long the sidecar waits at least between two writes while positions move, in milliseconds.
pub const SIDECAR_INTERVAL_MS: u64 = 5_000;

/// How long a failed store waits for the mark that it leaves for the next start, in milliseconds. Longer:
/// the failure is told without it.
pub const IO_FAILED_MARK_MAX_MS: u64 = 150;

const _: () = {
    assert!(FREE_BYTES_RESUME >= BALLAST_BYTES + FREE_BYTES_MIN);
    assert!(BALLAST_BYTES + FREE_BYTES_MIN > 2 * APPEND_BYTES_MAX as u64 + MIB as u64);
    assert!(SEAL_START_BYTES < BACK_PRESSURE_BYTES);
    assert!(BACK_PRESSURE_BYTES + APPEND_BYTES_MAX < UNSEALED_BYTES_MAX);
    assert!(GENERATION_BYTES_MAX <= SEAL_START_BYTES);
    assert!(COMMIT_BYTES_MAX <= JOURNAL_CACHE_BYTES_MAX);
    assert!(SEAL_SLICE_BYTES <= SEAL_UNIT_BYTES);
    assert!(CHUNK_RAW_BYTES_MAX < ARCHIVE_VALUE_BYTES_MAX);
    assert!(ARCHIVE_VALUE_BYTES_MAX < SEAL_SLICE_BYTES);
    assert!(APPEND_BYTES_MAX < RECORD_BODY_BYTES_MAX);
    assert!(APPEND_BYTES_MAX <= QUEUE_BYTES_MAX);
    assert!(QUEUE_BYTES_MAX <= u32::MAX as usize);
};

//! How much torture there is: small by default, `TAPELINE_TORTURE=full` for the whole dose.

/// Sizes of one run.
pub(crate) struct Dose {
    /// Times the daemon is killed under load.
    pub(crate) kills: usize,
    /// Events appended while a watcher is stopped.
    pub(crate) events_while_stopped: usize,
    /// Watchers on one execution, and again as many on executions of their own.
    pub(crate) watchers: usize,
    /// Watchers that never read.
    pub(crate) silent_watchers: usize,
    /// Bytes of the events that they do not read.
    pub(crate) silent_bytes: usize,
}

/// The sizes of this run.
pub(crate) fn dose() -> Dose {
    match std::env::var("TAPELINE_TORTURE").as_deref() {
        Ok("full") => Dose {
            kills: 50,
            events_while_stopped: 100_000,
            watchers: 1_000,
            silent_watchers: 1_000,
            silent_bytes: 100_000_000,
        },
        _ => Dose {
            kills: 5,
            events_while_stopped: 20_000,
            watchers: 100,
            silent_watchers: 100,
            silent_bytes: 20_000_000,
        },
    }
}

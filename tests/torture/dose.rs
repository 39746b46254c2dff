//! How much torture there is: small by default, `TAPELINE_TORTURE=full` for the whole dose.

/// Sizes of one run.
pub struct Dose {
    /// Times the daemon is killed under load.
    pub kills: usize,
    /// Events appended while a watcher is stopped.
    pub events_while_stopped: usize,
    /// Watchers on one execution, and again as many on executions of their own.
    pub watchers: usize,
}

/// The sizes of this run.
pub fn dose() -> Dose {
    match std::env::var("TAPELINE_TORTURE").as_deref() {
        Ok("full") => Dose { kills: 50, events_while_stopped: 100_000, watchers: 1_000 },
        _ => Dose { kills: 5, events_while_stopped: 20_000, watchers: 100 },
    }
}

//! What the writer does while much is unsealed: it slows down, waits for the sealer, and when that does
//! not get on refuses what comes until it does. It must never keep a caller waiting who could be told:
//! the wait is counted from where the bound was met, whatever was asked since.

use std::time::{Duration, Instant};

use super::super::queue::Shut;
use super::super::shared::{SealPlan, Shared};
use crate::WriteError;
use crate::limits::QUEUE_WAIT_MAX_MS;

/// The longest delay of one commit under back-pressure.
const DELAY_MAX: Duration = Duration::from_millis(20);
/// How often a writer that waits looks whether there is still reason to.
const LOOK: Duration = Duration::from_millis(50);

/// Whether the bound on unsealed bytes keeps the writer from writing, and since when.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    stopped: Option<Stopped>,
}

#[derive(Debug)]
struct Stopped {
    since: Instant,
    /// Whether callers are refused by now, and the log says so.
    told: bool,
}

impl Pressure {
    /// Waits while too much is unsealed. There is no room if the store has failed, if the archive's disk is
    /// full, or if the sealer had its time; then at once, until it has sealed something.
    pub(super) fn wait_for_room(&mut self, shared: &Shared) -> Result<(), WriteError> {
        let SealPlan { delay_bytes, stop_bytes, .. } = shared.seal_plan;
        loop {
            if shared.failure.is_failed() {
                return Err(WriteError::Failed);
            }
            let unsealed = shared.unsealed.weight();
            // What is in the queue when the store is closed is little, and whoever closes it waits.
            if unsealed < delay_bytes || shared.queue.reason() == Some(Shut::Closing) {
                self.goes_on();
                return Ok(());
            }
            if unsealed < stop_bytes {
                self.goes_on();
                let share = (unsealed - delay_bytes) as f64 / (stop_bytes - delay_bytes) as f64;
                shared.signals.wait_for_sealed(DELAY_MAX.mul_f64(share));
                return Ok(());
            }
            if !shared.archive_space.may_write() {
                return Err(WriteError::DiskFull);
            }
            self.stops()?;
            shared.signals.wait_for_sealed(LOOK);
        }
    }

    /// Whether to wait on. Says so once when it is too long.
    fn stops(&mut self) -> Result<(), WriteError> {
        let stopped = self.stopped.get_or_insert_with(|| Stopped { since: Instant::now(), told: false });
        if stopped.since.elapsed() < Duration::from_millis(QUEUE_WAIT_MAX_MS) {
            return Ok(());
        }
        if !stopped.told {
            stopped.told = true;
            tracing::warn!("sealing does not get on; writes are refused until it does");
        }
        Err(WriteError::Busy)
    }

    fn goes_on(&mut self) {
        if self.stopped.take().is_some_and(|stopped| stopped.told) {
            tracing::info!("sealing gets on again; writing goes on");
        }
    }
}

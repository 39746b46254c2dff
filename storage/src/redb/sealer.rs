//! The thread that seals: it takes whole commits from the oldest end of the journal, makes them part of
//! the archive, and then lets go of them in memory.
//!
//! It never holds up the writer except through the bounds on unsealed bytes. One execution whose head is
//! damaged holds up nobody else. Other wrong bytes do not end the process either: they are reported, and
//! tried again later, more and more seldom.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::archive::{SealError, SealInput, SealOutcome, SealPaused};
use super::error::EngineError;
use super::runs::read_place;
use super::shared::{FileError, OpenFiles, Shared};
use super::unsealed::Place;

/// How long the sealer sleeps when nobody calls it.
const SLEEP: Duration = Duration::from_secs(1);
/// How long the sealer waits for room on the disk before it looks again.
const FULL_PAUSE: Duration = Duration::from_millis(200);
/// The first pause after wrong bytes were met, doubled with each time.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The sealer's own state.
pub(super) struct Sealer {
    shared: Arc<Shared>,
    /// Whether trimmed or deleted chunks are left to free.
    cleaning_left: bool,
    pause: Duration,
}

/// What one round did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// A generation is sealed.
    Sealed,
    /// There was nothing to do.
    Nothing,
    /// The disk is full: when there is room.
    Full,
    /// Bytes are wrong: later.
    Later,
    /// The store has failed or is closed.
    End,
}

impl Sealer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        // What an earlier process left to free is not known: look once.
        Self { shared, cleaning_left: true, pause: PAUSE }
    }

    /// Seals until the store is closed or has failed.
    pub(super) fn run(&mut self) {
        loop {
            let round = self.round(self.shared.seal_plan.start_bytes);
            self.shared.signals.sealed();
            let go_on = match round {
                Round::Sealed => {
                    self.pause = PAUSE;
                    !self.shared.signals.is_stopped()
                }
                Round::Nothing => self.shared.signals.wait_for_enough(SLEEP),
                Round::Full => self.shared.signals.pause(FULL_PAUSE),
                Round::Later => {
                    let pause = self.pause;
                    self.pause = (pause * 2).min(PAUSE_MAX);
                    self.shared.signals.pause(pause)
                }
                Round::End => false,
            };
            if !go_on {
                return;
            }
        }
    }

    /// Seals one generation, if so many bytes are unsealed; else frees something.
    fn round(&mut self, start_bytes: usize) -> Round {
        if self.shared.unsealed.weight() < start_bytes {
            return if self.cleaning_left { self.clean() } else { Round::Nothing };
        }
        match seal_oldest(&self.shared) {
            Ok(Some(outcome)) => {
                self.cleaning_left |= outcome.cleaning_left;
                Round::Sealed
            }
            Ok(None) => Round::Nothing,
            Err(error) => later(error),
        }
    }

    fn clean(&mut self) -> Round {
        let shared = &self.shared;
        let cleaned = attempt(shared, |files| files.archive.clean(&|| gate(shared)));
        match cleaned {
            Ok(left) => {
                self.cleaning_left = left;
                if left { Round::Sealed } else { Round::Nothing }
            }
            Err(error) => later(error),
        }
    }
}

/// Why a round ended early.
#[derive(Debug)]
pub(super) enum Attempt {
    Paused,
    Files(FileError),
}

fn later(error: Attempt) -> Round {
    match error {
        Attempt::Files(FileError::Failed | FileError::Closed) => Round::End,
        Attempt::Paused => Round::Full,
        Attempt::Files(FileError::Corrupt(error)) => {
            tracing::error!(%error, "cannot seal: stored bytes are wrong");
            Round::Later
        }
    }
}

fn gate(shared: &Shared) -> Result<(), SealPaused> {
    if shared.archive_space.may_write() { Ok(()) } else { Err(SealPaused) }
}

/// Does something with the archive that can be paused.
fn attempt<T>(shared: &Shared, work: impl FnOnce(&OpenFiles) -> Result<T, SealError>) -> Result<T, Attempt> {
    let done = shared.with_files(|files| match work(files) {
        Ok(value) => Ok(Some(value)),
        Err(SealError::Paused) => Ok(None),
        Err(SealError::Engine(error)) => Err(error),
    });
    done.map_err(Attempt::Files)?.ok_or(Attempt::Paused)
}

/// Seals the oldest commits as one generation. `None` if there are none.
pub(super) fn seal_oldest(shared: &Shared) -> Result<Option<SealOutcome>, Attempt> {
    let _alone = shared.sealing.lock().unwrap_or_else(PoisonError::into_inner);
    let places = shared.unsealed.oldest(shared.seal_plan.generation_bytes);
    let (Some(first), Some(last)) = (places.first(), places.last()) else { return Ok(None) };
    let (first_position, last_position, last_row) = (first.first_position, last.last_position, last.rows.1);
    let outcome = attempt(shared, |files| {
        let commits = read_all(files, &places)?;
        files.archive.seal(&SealInput { last_row, first_position, last_position, commits }, &|| gate(shared))
    })?;
    // The archive has it: first the index lets go of it, then the slots, then the journal may.
    shared.unsealed.sealed(last_row);
    for damage in &outcome.damaged {
        tracing::error!(%damage, "an execution is sealed without its head, which is damaged");
        shared.slots.damaged(damage.number, &damage.what);
    }
    shared.slots.sealed(last_row);
    shared.counts.sealed_row.store(last_row, Ordering::Release);
    if let Err(error) = shared.sidecar.write_now() {
        tracing::warn!(%error, "cannot write the sidecar; trying again later");
    }
    tracing::debug!(last_row, last_position, chunks = outcome.chunks, "sealed");
    Ok(Some(outcome))
}

fn read_all(files: &OpenFiles, places: &[Place]) -> Result<Vec<Bytes>, EngineError> {
    let gone = |place: &Place| EngineError::corrupt(0, 0, place.first_position, "an unsealed row is missing");
    places.iter().map(|place| read_place(files, place)?.ok_or_else(|| gone(place))).collect()
}

//! Decoding for recovery, on threads of its own: one reads the rows, two decode the records, commit by
//! commit in turn, and the caller folds what comes out. A journal full of small events has millions of
//! them, and a start takes as long as the slowest thread instead of all together.

use std::thread::{Builder, Scope, ScopedJoinHandle};

use crossbeam_channel::{Receiver, bounded};

use super::super::error::EngineError;
use super::super::journal::{Journal, Next, RawCommit};
use crate::record::{BatchStart, EventRecord, Record, RecordError};
use crate::{Applied, BatchApplied, HeadChange, Position, Seq};

/// Threads that decode. Decoding takes most of the time, and about as much as all the rest.
const DECODERS: usize = 2;
/// Commits between two of the threads; more would only take memory.
const COMMITS_AHEAD: usize = 4;
/// A guess, for the room of the steps: what a small event takes.
const BYTES_A_RECORD: usize = 64;

/// A commit with its records decoded, up to the first one that does not decode.
pub(super) struct DecodedCommit {
    pub(super) raw: RawCommit,
    pub(super) steps: Vec<Step>,
    /// Why the record behind the last step does not decode, if one is there.
    pub(super) damage: Option<RecordError>,
}

/// What one record asks of the fold.
pub(super) enum Step {
    Event(Event),
    /// A record of another kind, which are few: it stands at this offset.
    Other(usize),
}

/// What the fold needs of an event. It is small on purpose.
pub(super) struct Event {
    pub(super) number: u64,
    pub(super) seq: Seq,
    pub(super) position: Position,
    pub(super) record_time_ns: u64,
    pub(super) offset: usize,
    pub(super) payload_bytes: usize,
    pub(super) change: Option<Box<HeadChange>>,
    pub(super) batch: Option<Box<BatchStart>>,
}

/// The threads at work.
pub(super) struct Decoding<'scope> {
    /// Commits come from each in turn.
    decoders: Vec<Receiver<DecodedCommit>>,
    scanning: ScopedJoinHandle<'scope, Result<Next, ScanEnd>>,
}

/// Why a scan ended early.
enum ScanEnd {
    Damage(EngineError),
    /// The fold wants no more; it knows why.
    Stopped,
}

impl From<EngineError> for ScanEnd {
    fn from(error: EngineError) -> Self {
        Self::Damage(error)
    }
}

impl<'scope> Decoding<'scope> {
    /// Begins to read and decode the journal above a row.
    pub(super) fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        journal: &'env Journal,
        sealed_row: u64,
    ) -> Result<Self, EngineError> {
        let failed = |error| EngineError::Redb(redb::Error::Io(error));
        let named = |name: &str| Builder::new().name(name.to_owned());
        let (mut rows, mut decoders) = (Vec::new(), Vec::new());
        for _ in 0..DECODERS {
            let (to_decode, raw) = bounded(COMMITS_AHEAD);
            let (decoded, commits) = bounded(COMMITS_AHEAD);
            let decode = move || raw.into_iter().try_for_each(|commit| decoded.send(decode(commit)));
            named("tapeline-decode").spawn_scoped(scope, decode).map_err(failed)?;
            rows.push(to_decode);
            decoders.push(commits);
        }
        let scan = move || {
            let mut turns = rows.iter().cycle();
            journal.scan(sealed_row, |commit| {
                let next = turns.next().ok_or(ScanEnd::Stopped)?;
                next.send(commit).map_err(|_| ScanEnd::Stopped)
            })
        };
        let scanning = named("tapeline-scan").spawn_scoped(scope, scan).map_err(failed)?;
        Ok(Self { decoders, scanning })
    }

    /// The commits in order, up to the end or to a row that is damaged.
    pub(super) fn commits(&self) -> impl Iterator<Item = DecodedCommit> {
        self.decoders.iter().cycle().map_while(|decoder| decoder.recv().ok())
    }

    /// Where the journal goes on, when all its commits have been taken; or what is wrong with its rows.
    pub(super) fn end(self) -> Result<Next, EngineError> {
        match self.scanning.join() {
            Ok(Ok(next)) => Ok(next),
            Ok(Err(ScanEnd::Damage(error))) => Err(error),
            Ok(Err(ScanEnd::Stopped)) => unreachable!("who stops the scan does not ask how it ended"),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn decode(raw: RawCommit) -> DecodedCommit {
    let (mut steps, mut offset) = (Vec::with_capacity(raw.bytes.len() / BYTES_A_RECORD), 0);
    while let Some(rest) = raw.bytes.get(offset..).filter(|rest| !rest.is_empty()) {
        let decoded = match EventRecord::decode(rest) {
            Ok((event, length)) => Ok((Step::Event(Event::new(event, offset)), length)),
            Err(RecordError::Kind(_)) => {
                Record::decode(rest).map(|(_, length)| (Step::Other(offset), length))
            }
            Err(error) => Err(error),
        };
        match decoded {
            Ok((step, length)) => {
                steps.push(step);
                offset += length;
            }
            Err(error) => return DecodedCommit { raw, steps, damage: Some(error) },
        }
    }
    DecodedCommit { raw, steps, damage: None }
}

impl Event {
    fn new(event: EventRecord<'_>, offset: usize) -> Self {
        Self {
            number: event.number,
            seq: event.seq,
            position: event.position,
            record_time_ns: event.record_time_ns,
            offset,
            payload_bytes: event.payload.len(),
            change: event.head_change.map(Box::new),
            batch: event.batch.map(Box::new),
        }
    }

    /// What a head is folded from.
    pub(super) fn applied(&self) -> Applied<'_> {
        Applied {
            seq: self.seq,
            position: self.position,
            record_time_ns: self.record_time_ns,
            payload_bytes: self.payload_bytes,
            change: self.change.as_deref(),
            batch: self.batch.as_ref().map(|batch| BatchApplied {
                events: batch.events,
                producer: batch.producer.as_ref().map(|stamp| (&stamp.producer, stamp.digest)),
                rule_state: batch.rule_state.as_deref(),
            }),
        }
    }
}

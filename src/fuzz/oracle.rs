//! What a watch should have said, worked out from the request in the plainest way.

use tapeline_storage::StoredEvent;

use super::fixture::{Fixture, Log};
use crate::execution::kind;
use crate::proto::v1::end::Reason;
use crate::proto::v1::watch_request::{OnTrimmed, Start};
use crate::proto::v1::watch_response::Frame;
use crate::proto::v1::{End, Event, Gap, WatchAllRequest, WatchRequest};
use crate::watch::WatchError;

/// What a watch said, up to its end or to where it waits.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) events: Vec<Event>,
    gaps: Vec<Gap>,
    caught_up: Option<u64>,
    end: Option<End>,
}

impl Seen {
    /// Takes a frame; true if nothing more is to be waited for. `ends` says whether an end is to come.
    pub(super) fn take(&mut self, frame: Frame, ends: bool) -> bool {
        match frame {
            Frame::Events(batch) => self.events.extend(batch.events),
            Frame::Gap(gap) => self.gaps.push(gap),
            Frame::CaughtUp(at) => self.caught_up = Some(at.seq),
            Frame::End(end) => self.end = Some(end),
            Frame::Hello(_) | Frame::Heartbeat(_) | Frame::FellBehind(_) => {}
        }
        self.end.is_some() || (self.caught_up.is_some() && !ends)
    }
}

/// Compares the answer about one execution with its log.
pub(super) fn check_one(log: &Log, request: &WatchRequest, answer: Result<Seen, WatchError>) {
    let before_floor = log.floor - 1;
    let cursor = match &request.start {
        Some(Start::AfterSeq(seq)) => *seq,
        Some(Start::Tail(events)) => log.tail.saturating_sub(u64::from(*events)).max(before_floor),
        Some(Start::Live(_)) => log.tail,
        Some(Start::Since(time)) => {
            since(log, i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos))
        }
        None => before_floor,
    };
    let trimmed = cursor < before_floor;
    let seen = match answer {
        Ok(seen) => seen,
        Err(WatchError::Trimmed { floor_seq, tail_seq }) => {
            assert!(trimmed && request.on_trimmed() != OnTrimmed::Gap);
            return assert_eq!((floor_seq, tail_seq), (log.floor, log.tail));
        }
        Err(WatchError::Ahead { .. }) => return assert!(cursor > log.tail),
        Err(WatchError::Invalid(_) | WatchError::LogReplaced { .. } | WatchError::StoreReplaced { .. }) => {
            return;
        }
        Err(error) => panic!("{error:?}"),
    };
    assert!(cursor <= log.tail, "a cursor beyond the tail was accepted");
    let gaps: Vec<_> = trimmed.then_some((cursor + 1, before_floor)).into_iter().collect();
    assert_eq!(seen.gaps.iter().map(|gap| (gap.from_seq, gap.to_seq)).collect::<Vec<_>>(), gaps);
    let wanted = log.events.iter().filter(|event| event.seq > cursor && wants(&request.event_types, event));
    let seqs: Vec<u64> = seen.events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, wanted.map(|event| event.seq).collect::<Vec<_>>(), "{request:?}");
    match seen.end {
        Some(end) => {
            let reason = if log.ended { Reason::Terminal } else { Reason::Tail };
            assert_eq!((end.reason(), end.seq), (reason, log.tail));
        }
        None => assert_eq!(seen.caught_up, Some(log.tail), "a log that goes on is caught up with"),
    }
}

/// Compares the answer about all executions with all logs.
pub(super) fn check_all(fixture: &Fixture, request: &WatchAllRequest, answer: Result<Seen, WatchError>) {
    let Ok(seen) = answer else { return };
    let of_log = |log: &Log| request.labels.iter().all(|(key, value)| log.labels.get(key) == Some(value));
    let logs = fixture.logs.iter().filter(|log| !request.live && of_log(log));
    let events = logs.flat_map(|log| &log.events);
    let wanted =
        events.filter(|event| event.position > request.after_position && wants(&request.event_types, event));
    let mut positions: Vec<u64> = wanted.map(|event| event.position).collect();
    positions.sort_unstable();
    assert_eq!(seen.events.iter().map(|event| event.position).collect::<Vec<_>>(), positions, "{request:?}");
    assert!(seen.end.is_none(), "a watch of everything has no end");
}

/// The cursor before the first event of this time or later.
fn since(log: &Log, time_ns: i128) -> u64 {
    let first = log.events.iter().find(|event| i128::from(event.record_time_ns) >= time_ns);
    first.map_or(log.tail, |event| event.seq - 1)
}

fn wants(names: &[String], event: &StoredEvent) -> bool {
    let field = match event.type_tag {
        kind::CREATED => "created",
        kind::PHASE_CHANGED => "phase_changed",
        kind::OUTPUT => "output",
        _ => "custom",
    };
    let own = [Some(field), event.custom_type.as_deref()];
    let matches = |name: &String| match name.strip_suffix('*') {
        Some(prefix) => own.iter().flatten().any(|own| own.starts_with(prefix)),
        None => own.iter().flatten().any(|own| own == name),
    };
    names.is_empty() || names.iter().any(matches)
}

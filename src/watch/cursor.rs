//! Requests, parsed: what comes out of here is checked and needs no second look. Also where a watch
//! starts, once the log is known.

use std::collections::BTreeMap;
use std::time::Duration;

use tapeline_storage::limits::EXECUTION_ID_BYTES_MAX;
use tapeline_storage::{ExecutionId, Head, Seq};

use super::error::WatchError;
use crate::execution::filter::TypeFilter;
use crate::execution::invalid::{Excess, Invalid};
use crate::execution::time::NS_PER_S;
use crate::limits::{HEARTBEAT_DEFAULT, HEARTBEAT_MAX, HEARTBEAT_MIN};
use crate::proto::v1::watch_request::{OnTrimmed as WireOnTrimmed, Start as WireStart};
use crate::proto::v1::{WatchAllRequest, WatchRequest};

/// A checked `WatchRequest`.
#[derive(Debug)]
pub(super) struct WatchPlan {
    pub(super) execution: ExecutionId,
    pub(super) start: Start,
    pub(super) log_id: Option<String>,
    pub(super) store_id: Option<String>,
    pub(super) stop_at_tail: bool,
    pub(super) wait_for_create: bool,
    pub(super) on_trimmed: OnTrimmed,
    pub(super) heartbeat: Duration,
    pub(super) filter: TypeFilter,
}

/// A checked `WatchAllRequest`.
#[derive(Debug)]
pub(super) struct WatchAllPlan {
    /// The cursor; `None` for the tail.
    pub(super) after_position: Option<u64>,
    pub(super) store_id: Option<String>,
    pub(super) heartbeat: Duration,
    pub(super) filter: TypeFilter,
    pub(super) labels: BTreeMap<String, String>,
}

/// Where to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// With the first event that is kept.
    Floor,
    /// After this seq.
    After(Seq),
    /// With the last events, this many.
    Last(u32),
    /// With what comes from now on.
    Live,
    /// With the first event of this time, in nanoseconds since 1970-01-01 UTC, or later.
    Since(u64),
}

/// What to do when the cursor is older than what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnTrimmed {
    /// End the watch.
    Error,
    /// Say what is missing and go on from the floor.
    Gap,
}

impl TryFrom<WatchRequest> for WatchPlan {
    type Error = WatchError;

    fn try_from(request: WatchRequest) -> Result<Self, WatchError> {
        Invalid::check_length("execution_id", &request.execution_id, 1, EXECUTION_ID_BYTES_MAX)?;
        let execution = ExecutionId::parse(&request.execution_id)
            .map_err(|error| WatchError::invalid("execution_id", error.to_string()))?;
        let on_trimmed = match WireOnTrimmed::try_from(request.on_trimmed) {
            Ok(WireOnTrimmed::Unspecified | WireOnTrimmed::Error) => OnTrimmed::Error,
            Ok(WireOnTrimmed::Gap) => OnTrimmed::Gap,
            Err(_) => return Err(WatchError::invalid("on_trimmed", "it is none of the known values")),
        };
        Ok(Self {
            execution,
            start: request.start.map_or(Ok(Start::Floor), parse_start)?,
            log_id: non_empty(request.log_id),
            store_id: non_empty(request.store_id),
            stop_at_tail: request.stop_at_tail,
            wait_for_create: request.wait_for_create,
            on_trimmed,
            heartbeat: parse_heartbeat(request.heartbeat_interval)?,
            filter: TypeFilter::compile(&request.event_types)?,
        })
    }
}

impl TryFrom<WatchAllRequest> for WatchAllPlan {
    type Error = WatchError;

    fn try_from(request: WatchAllRequest) -> Result<Self, WatchError> {
        if request.live && request.after_position != 0 {
            return Err(WatchError::invalid("after_position", "it must be 0 when live is set"));
        }
        Invalid::check_labels(&request.labels)?;
        Ok(Self {
            after_position: (!request.live).then_some(request.after_position),
            store_id: non_empty(request.store_id),
            heartbeat: parse_heartbeat(request.heartbeat_interval)?,
            filter: TypeFilter::compile(&request.event_types)?,
            labels: request.labels,
        })
    }
}

fn parse_start(start: WireStart) -> Result<Start, WatchError> {
    match start {
        WireStart::AfterSeq(seq) => Ok(Start::After(seq)),
        WireStart::Tail(events) => Ok(Start::Last(events)),
        WireStart::Live(true) => Ok(Start::Live),
        WireStart::Live(false) => Err(WatchError::invalid("live", "it must be true when it is set")),
        WireStart::Since(time) => match u64::try_from(time.nanos) {
            Ok(nanos) if nanos < NS_PER_S => {
                // A time before 1970 is before the first event of any log.
                let seconds = u64::try_from(time.seconds).ok();
                let since_ns = seconds.map(|s| s.saturating_mul(NS_PER_S).saturating_add(nanos));
                Ok(Start::Since(since_ns.unwrap_or(0)))
            }
            _ => Err(WatchError::invalid("since.nanos", "it must be from 0 to 999,999,999")),
        },
    }
}

fn parse_heartbeat(interval: Option<prost_types::Duration>) -> Result<Duration, WatchError> {
    let Some(interval) = interval else { return Ok(HEARTBEAT_DEFAULT) };
    // By hand: the conversion of the generated type overflows on the smallest numbers.
    let interval = match (u64::try_from(interval.seconds), u32::try_from(interval.nanos)) {
        (Ok(seconds), Ok(nanos)) if u64::from(nanos) < NS_PER_S => Some(Duration::new(seconds, nanos)),
        _ => None,
    };
    let (field, description) = ("heartbeat_interval", format!("it must be at least {HEARTBEAT_MIN:?}"));
    match interval {
        None => Err(WatchError::invalid(field, description)),
        Some(interval) if interval < HEARTBEAT_MIN => {
            let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            let excess = Excess { limit: millis(HEARTBEAT_MIN), actual: millis(interval) };
            Err(Invalid::beyond(field, description, excess).into())
        }
        Some(interval) => Ok(interval.min(HEARTBEAT_MAX)),
    }
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

impl Start {
    /// The cursor of this start in a log; `None` if the store must be asked for a time. Whether an
    /// explicit one can be right is not decided here.
    pub(super) fn cursor(self, head: &Head) -> Option<Seq> {
        let before_floor = head.floor_seq.saturating_sub(1);
        match self {
            Self::Floor => Some(before_floor),
            Self::After(seq) => Some(seq),
            Self::Last(events) => Some(head.tail_seq.saturating_sub(events.into()).max(before_floor)),
            Self::Live => Some(head.tail_seq),
            Self::Since(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use tapeline_storage::limits::{LABEL_VALUE_BYTES_MAX, LABELS_MAX};

    use super::*;

    fn request() -> WatchRequest {
        WatchRequest { execution_id: "run-1".into(), ..Default::default() }
    }

    fn start(start: WireStart) -> Result<Start, WatchError> {
        WatchPlan::try_from(WatchRequest { start: Some(start), ..request() }).map(|plan| plan.start)
    }

    fn since(seconds: i64, nanos: i32) -> WireStart {
        WireStart::Since(prost_types::Timestamp { seconds, nanos })
    }

    fn refused(refused: Result<impl Sized, WatchError>) -> (String, Option<Excess>) {
        match refused.map(|_| ()).expect_err("it is refused") {
            WatchError::Invalid(Invalid::Field { field, excess, .. }) => (field, excess),
            other => panic!("another error: {other}"),
        }
    }

    fn field(result: Result<impl Sized, WatchError>) -> String {
        refused(result).0
    }

    #[test]
    fn an_empty_request_starts_at_the_floor_with_the_defaults() {
        let plan = WatchPlan::try_from(request()).expect("it is fine");
        assert_eq!(plan.start, Start::Floor);
        assert_eq!(plan.heartbeat, HEARTBEAT_DEFAULT);
        assert_eq!(plan.on_trimmed, OnTrimmed::Error);
        assert!(plan.filter.wants_all() && plan.log_id.is_none() && plan.store_id.is_none());
    }

    #[test]
    fn every_start_is_understood() {
        assert_eq!(start(WireStart::AfterSeq(u64::MAX)), Ok(Start::After(u64::MAX)));
        assert_eq!(start(WireStart::Tail(7)), Ok(Start::Last(7)));
        assert_eq!(start(WireStart::Live(true)), Ok(Start::Live));
        assert_eq!(start(since(3, 5)), Ok(Start::Since(3_000_000_005)));
        assert_eq!(start(since(-3, 5)), Ok(Start::Since(0)));
        assert_eq!(start(since(i64::MAX, 0)), Ok(Start::Since(u64::MAX)));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_name_of_its_field() {
        assert_eq!(field(start(WireStart::Live(false))), "live");
        assert_eq!(field(start(since(0, -1))), "since.nanos");
        assert_eq!(field(start(since(0, 1_000_000_000))), "since.nanos");
        let watch = |request| field(WatchPlan::try_from(request));
        assert_eq!(watch(WatchRequest { execution_id: "a b".into(), ..request() }), "execution_id");
        assert_eq!(watch(WatchRequest { on_trimmed: 77, ..request() }), "on_trimmed");
        assert_eq!(
            watch(WatchRequest { event_types: vec!["a".into(), "".into()], ..request() }),
            "event_types[1]"
        );
        for (seconds, nanos) in [(0, 99_999_999), (-1, 0), (0, 0), (i64::MIN, i32::MIN)] {
            let heartbeat_interval = Some(prost_types::Duration { seconds, nanos });
            assert_eq!(watch(WatchRequest { heartbeat_interval, ..request() }), "heartbeat_interval");
        }
        let all = |request| field(WatchAllPlan::try_from(request));
        assert_eq!(
            all(WatchAllRequest { live: true, after_position: 1, ..Default::default() }),
            "after_position"
        );
        let labels = [("k".into(), "v".repeat(LABEL_VALUE_BYTES_MAX + 1))].into();
        assert_eq!(all(WatchAllRequest { labels, ..Default::default() }), "labels.value");
        let labels = (0..=LABELS_MAX).map(|n| (n.to_string(), String::new())).collect();
        assert_eq!(all(WatchAllRequest { labels, ..Default::default() }), "labels");
    }

    #[test]
    fn a_limit_that_is_passed_is_told_with_what_passes_it() {
        let watch =
            |request| refused(WatchPlan::try_from(request)).1.map(|excess| (excess.limit, excess.actual));
        assert_eq!(watch(WatchRequest { execution_id: "x".repeat(129), ..request() }), Some((128, 129)));
        assert_eq!(watch(WatchRequest { event_types: vec!["x".into(); 65], ..request() }), Some((64, 65)));
        assert_eq!(watch(WatchRequest { event_types: vec!["x".repeat(257)], ..request() }), Some((256, 257)));
        let heartbeat_interval = Some(prost_types::Duration { seconds: 0, nanos: 99_999_999 });
        assert_eq!(watch(WatchRequest { heartbeat_interval, ..request() }), Some((100, 99)));
        let all = |labels| {
            let request = WatchAllRequest { labels, ..Default::default() };
            refused(WatchAllPlan::try_from(request)).1.map(|excess| (excess.limit, excess.actual))
        };
        assert_eq!(all((0..33).map(|n| (n.to_string(), String::new())).collect()), Some((32, 33)));
        assert_eq!(all([("k".repeat(64), String::new())].into()), Some((63, 64)));
        assert_eq!(all([("k".into(), "v".repeat(257))].into()), Some((256, 257)));
    }

    #[test]
    fn a_heartbeat_interval_beyond_any_use_is_taken_as_the_longest() {
        let heartbeat_interval = Some(prost_types::Duration { seconds: i64::MAX, nanos: 0 });
        let plan = WatchPlan::try_from(WatchRequest { heartbeat_interval, ..request() }).expect("it is fine");
        assert_eq!(plan.heartbeat, HEARTBEAT_MAX);
    }
}

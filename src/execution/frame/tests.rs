//! What is framed by hand against what prost encodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use tapeline_storage::{ExecutionId, ExecutionRef, LogId, StoredEvent};

use super::*;
use crate::limits::FRAME_BYTES;
use crate::proto::v1::watch_response::Frame;
use crate::proto::v1::{CustomEvent, Event, EventBatch, Output, ReadEventsResponse, WatchResponse, event};

fn stored(seq: u64, position: u64, record_time_ns: u64, data: Vec<u8>, custom: Option<&str>) -> StoredEvent {
    let (type_tag, body) = match custom {
        Some(name) => {
            let custom = CustomEvent { r#type: name.into(), data: data.into(), ..Default::default() };
            (30, event::Body::Custom(custom))
        }
        None => (21, event::Body::Output(Output { stream: 1, data: data.into(), truncated: false })),
    };
    let payload = Event { body: Some(body), ..Default::default() }.encode_to_vec().into();
    let custom_type = custom.map(Arc::from);
    StoredEvent { seq, position, record_time_ns, type_tag, custom_type, payload }
}

/// The same event as prost would build it.
fn on_the_wire(event: &StoredEvent, execution: Option<&ExecutionId>) -> Event {
    let body = Event::decode(event.payload.clone()).expect("the payload is a body").body;
    Event {
        seq: event.seq,
        record_time: Some(prost_types::Timestamp {
            seconds: (event.record_time_ns / 1_000_000_000) as i64,
            nanos: (event.record_time_ns % 1_000_000_000) as i32,
        }),
        position: event.position,
        execution_id: execution.map(ToString::to_string).unwrap_or_default(),
        body,
    }
}

fn execution(id: &str) -> Arc<ExecutionRef> {
    let id = ExecutionId::parse(id).expect("the id is fine");
    Arc::new(ExecutionRef { id, log_id: LogId(7), labels: BTreeMap::new() })
}

fn decode(frame: &Bytes) -> Vec<Event> {
    match WatchResponse::decode(frame.clone()).expect("a frame is a response").frame {
        Some(Frame::Events(batch)) => batch.events,
        other => panic!("not a frame of events: {other:?}"),
    }
}

/// Consecutive events with any sizes, times and types, small ones mostly.
fn events() -> impl Strategy<Value = Vec<StoredEvent>> {
    let size = prop_oneof![8 => 0..300_usize, 1 => 0..3 * FRAME_BYTES];
    let one = (any::<u64>(), size, prop_oneof![Just(None), Just(Some("a.b")), Just(Some(""))]);
    (1..u64::MAX / 2, 1..u64::MAX / 2, prop::collection::vec(one, 1..80)).prop_map(|(seq, position, all)| {
        let numbered = all.into_iter().enumerate();
        let event = |(index, (time, size, custom)): (usize, (u64, usize, Option<&str>))| {
            stored(seq + index as u64, position + index as u64, time, vec![index as u8; size], custom)
        };
        numbered.map(event).collect()
    })
}

proptest! {
    #[test]
    fn frames_are_byte_for_byte_what_prost_encodes(events in events(), named: bool) {
        let run = execution("run-1");
        let name = named.then_some(&run.id);
        let mut writer = FrameWriter::default();
        events.iter().for_each(|event| writer.push(event, name));
        let mut left = events.iter();
        for frame in writer.finish() {
            let decoded = decode(&frame.bytes);
            let expected: Vec<_> = left.by_ref().take(decoded.len()).map(|event| on_the_wire(event, name)).collect();
            let last = expected.last().expect("no frame is empty");
            prop_assert_eq!(frame.last, if named { last.position } else { last.seq });
            let response = WatchResponse { frame: Some(Frame::Events(EventBatch { events: expected })) };
            prop_assert_eq!(&frame.bytes, &response.encode_to_vec());
        }
        prop_assert!(left.next().is_none(), "every event is in a frame");
    }

    #[test]
    fn no_frame_passes_its_limit_unless_it_is_one_event(events in events()) {
        let mut writer = FrameWriter::default();
        events.iter().for_each(|event| writer.push(event, None));
        let frames = writer.finish();
        for frame in &frames {
            prop_assert!(frame.bytes.len() <= FRAME_BYTES || decode(&frame.bytes).len() == 1);
        }
        let filled = frames.windows(2).all(|pair| pair[0].bytes.len() + pair[1].bytes.len() > FRAME_BYTES);
        prop_assert!(filled, "neighbours that fit into one frame are in one frame");
    }

    #[test]
    fn a_selection_holds_exactly_the_wanted_events_after_the_cursor(
        events in events(), cut in 0..80_usize, named: bool, skip in 0..90_u64, custom_only: bool,
    ) {
        let axis = if named { Axis::Position } else { Axis::Seq };
        let (one, other) = (execution("run-1"), execution("run-2"));
        let second = if named { &other } else { &one };
        let (before, after) = events.split_at(cut.min(events.len()));
        let mut encoder = EventsEncoder::new(axis);
        encoder.push(&one, before);
        encoder.push(second, after);
        let encoded = encoder.finish().expect("there are events");
        let cursor_of = |event: &StoredEvent| if named { event.position } else { event.seq };
        let cursor = encoded.first() - 1 + skip;

        let selected = encoded.select(cursor, |run, type_tag, custom| {
            assert_eq!(custom.is_some(), type_tag == 30);
            (!custom_only || type_tag == 30) && run.id != other.id
        });

        let wanted = |event: &&StoredEvent| cursor_of(event) > cursor && (!custom_only || event.type_tag == 30);
        let of_one = if named { before } else { &events[..] };
        let expected: Vec<_> = of_one
            .iter()
            .filter(wanted)
            .map(|event| on_the_wire(event, named.then_some(&one.id)))
            .collect();
        let found: Vec<_> = selected.iter().flat_map(|frame| decode(&frame.bytes)).collect();
        prop_assert_eq!(found, expected);
        let all: usize = encoded.frames().iter().map(|frame| decode(&frame.bytes).len()).sum();
        prop_assert_eq!(all, events.len());
        prop_assert_eq!(encoded.last() - encoded.first() + 1, events.len() as u64);
    }

    #[test]
    fn a_page_of_events_is_what_prost_encodes_and_decodes(events in events()) {
        let expected: Vec<_> = events.iter().map(|event| on_the_wire(event, None)).collect();
        let page = ReadEventsResponse::decode(encode_events(&events)).expect("it is a page");
        prop_assert_eq!(&page.events, &expected);
        for (event, expected) in events.iter().zip(expected) {
            prop_assert_eq!(wire_event(event, None).expect("it is an event"), expected);
        }
    }
}

#[test]
fn nothing_added_is_no_frame() {
    assert!(FrameWriter::default().finish().is_empty());
    assert!(EventsEncoder::new(Axis::Seq).finish().is_none());
}

#[test]
fn small_events_share_a_frame_of_64_and_more() {
    let mut writer = FrameWriter::default();
    for seq in 1..=256 {
        writer.push(&stored(seq, seq, 1, vec![1; 256], None), None);
    }
    let frames = writer.finish();
    assert!(frames[..frames.len() - 1].iter().all(|frame| decode(&frame.bytes).len() >= 64));
}

//! The events of one commit in wire form, shared by all watchers that want them. Most take the frames
//! as they are; who wants some of the events only gets their bytes copied, never encoded again.

use std::ops::Range;
use std::sync::Arc;

use tapeline_storage::{ExecutionRef, StoredEvent};

use super::writer::{EventFrame, FrameWriter, Place};

/// What a cursor over the events counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// The seqs of one execution; events do not name it.
    Seq,
    /// The positions of the store; each event names its execution.
    Position,
}

/// Consecutive events in wire form.
#[derive(Debug)]
pub struct EncodedEvents {
    first: u64,
    last: u64,
    bytes: usize,
    frames: Box<[EventFrame]>,
    entries: Box<[Entry]>,
    runs: Box<[Run]>,
}

/// One event: what filters look at, and where its bytes are.
#[derive(Debug)]
struct Entry {
    place: Place,
    type_tag: u32,
    custom_type: Option<Arc<str>>,
}

/// Neighbours of one execution.
#[derive(Debug)]
struct Run {
    execution: Arc<ExecutionRef>,
    entries: Range<usize>,
}

impl EncodedEvents {
    /// The cursor of the first event.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The cursor of the last event.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Bytes of all frames.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Frames with all the events.
    pub fn frames(&self) -> &[EventFrame] {
        &self.frames
    }

    /// Frames with those events after `cursor` that `wanted` says yes to: it is asked with the
    /// execution, the type tag and the custom type.
    pub fn select(
        &self,
        cursor: u64,
        wanted: impl Fn(&ExecutionRef, u32, Option<&str>) -> bool,
    ) -> Vec<EventFrame> {
        let mut writer = FrameWriter::default();
        let sent_already = cursor.saturating_add(1).saturating_sub(self.first);
        let sent_already = usize::try_from(sent_already).unwrap_or(usize::MAX);
        for run in &self.runs {
            for index in run.entries.clone().skip(sent_already.saturating_sub(run.entries.start)) {
                let entry = &self.entries[index];
                if wanted(&run.execution, entry.type_tag, entry.custom_type.as_deref()) {
                    let written = &self.frames[entry.place.frame].events()[entry.place.range.clone()];
                    writer.push_written(written, self.first + index as u64);
                }
            }
        }
        writer.finish()
    }
}

/// Collects the events of one commit, in order.
#[derive(Debug)]
pub struct EventsEncoder {
    axis: Axis,
    writer: FrameWriter,
    first: u64,
    entries: Vec<Entry>,
    runs: Vec<Run>,
}

impl EventsEncoder {
    /// Nothing yet.
    pub fn new(axis: Axis) -> Self {
        Self { axis, writer: FrameWriter::default(), first: 0, entries: Vec::new(), runs: Vec::new() }
    }

    /// Adds events of one execution. They must follow the ones before without a hole, on the axis.
    pub fn push(&mut self, execution: &Arc<ExecutionRef>, events: &[StoredEvent]) {
        let start = self.entries.len();
        let name = (self.axis == Axis::Position).then_some(&execution.id);
        for event in events {
            let cursor = if name.is_some() { event.position } else { event.seq };
            if self.entries.is_empty() {
                self.first = cursor;
            }
            debug_assert_eq!(cursor, self.first + self.entries.len() as u64, "events have no hole");
            let place = self.writer.place(event, name);
            let custom_type = event.custom_type.clone();
            self.entries.push(Entry { place, type_tag: event.type_tag, custom_type });
        }
        self.runs.push(Run { execution: Arc::clone(execution), entries: start..self.entries.len() });
    }

    /// The events in wire form; `None` if there are none.
    pub fn finish(self) -> Option<EncodedEvents> {
        let frames = self.writer.finish();
        let last = frames.last()?.last;
        Some(EncodedEvents {
            first: self.first,
            last,
            bytes: frames.iter().map(|frame| frame.bytes.len()).sum(),
            frames: frames.into(),
            entries: self.entries.into(),
            runs: self.runs.into(),
        })
    }
}

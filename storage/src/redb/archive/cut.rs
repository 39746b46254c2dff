//! Cuts the records of one execution into chunks whose values just fit their pages.
//!
//! A value that is longer than a leaf takes pages of its own, rounded up to a power of two. So a
//! chunk is compressed, and if too much of its last page would stay empty, it is compressed again
//! with more or fewer records, a bounded number of times.

use std::sync::Arc;

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use super::chunk::{Chunk, Header, Mark};
use super::pages;
use crate::limits::{ARCHIVE_VALUE_BYTES_MAX, CHUNK_RAW_BYTES_MAX};
use crate::record::{EventRecord, FRAME_BYTES};
use crate::{Head, Position, Seq};

/// How often one chunk is compressed at most.
const ATTEMPTS_MAX: usize = 3;
/// A value that fills this part of its pages is not tried again, in percent.
const FILL_GOOD_PERCENT: usize = 85;
/// What a new attempt aims at, of the room it should fill, in percent.
const FILL_AIM_PERCENT: usize = 97;

/// A chunk that is ready to be stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CutChunk {
    pub(super) header: Header,
    /// The value in `chunks`.
    pub(super) value: Vec<u8>,
    /// The block, if it is too long for the value; its pieces go to `chunk_parts`.
    pub(super) parted_block: Option<Vec<u8>>,
}

/// Takes the records of one execution in order and gives back chunks.
pub(super) struct Cutter<'t> {
    number: u64,
    /// Each producer as of the end of the last chunk.
    marks: Vec<OwnMark>,
    raw: Vec<u8>,
    pending: Vec<Pending>,
    /// Raw bytes with which the last chunk filled its pages, where the next one begins to try.
    guess: usize,
    scratch: &'t mut Scratch,
}

/// What is used again from execution to execution.
pub(super) struct Scratch {
    table: CompressTable,
    block: Vec<u8>,
}

#[derive(Clone)]
struct OwnMark {
    id: Arc<str>,
    epoch: u64,
    seq: u64,
}

struct Pending {
    /// Where the record ends in the raw bytes.
    end: usize,
    seq: Seq,
    position: Position,
    time_ns: u64,
    mark: Option<OwnMark>,
}

/// One way to cut: so many records make a value of this length.
struct Attempt {
    records: usize,
    raw_bytes: usize,
    /// The compressed block, if it is shorter than the raw one.
    block: Option<Vec<u8>>,
    /// Bytes of the value around the block.
    around: usize,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { table: CompressTable::small(), block: Vec::new() }
    }
}

impl<'t> Cutter<'t> {
    /// For an execution whose head is this before the first record.
    pub(super) fn new(head: &Head, scratch: &'t mut Scratch) -> Self {
        let own = |state: &crate::ProducerState| OwnMark::new(&state.producer);
        let marks = head.producers.iter().map(own).collect();
        Self { marks, ..Self::without_head(head.number, scratch) }
    }

    /// For an execution whose head is damaged: its chunks know of no producers before the first record.
    pub(super) fn without_head(number: u64, scratch: &'t mut Scratch) -> Self {
        Self {
            number,
            marks: Vec::new(),
            raw: Vec::new(),
            pending: Vec::new(),
            guess: CHUNK_RAW_BYTES_MAX,
            scratch,
        }
    }

    /// A chunk, if the next record no longer fits. Ask until there is none, then push the record.
    pub(super) fn make_room(&mut self, frame: &[u8]) -> Option<CutChunk> {
        let full = !self.pending.is_empty() && self.raw.len() + frame.len() > CHUNK_RAW_BYTES_MAX;
        full.then(|| self.cut())
    }

    /// Takes the next record, which is stored.
    pub(super) fn push(&mut self, frame: &[u8], event: &EventRecord<'_>) {
        self.raw.extend_from_slice(frame);
        self.pending.push(Pending {
            end: self.raw.len(),
            seq: event.seq,
            position: event.position,
            time_ns: event.record_time_ns,
            mark: mark_of(event),
        });
    }

    /// Notes the producer of a record that is not stored, because a trim already covers it.
    pub(super) fn pass(&mut self, event: &EventRecord<'_>) {
        debug_assert!(self.pending.is_empty(), "trimmed records come before those that are kept");
        if let Some(mark) = mark_of(event) {
            put_mark(&mut self.marks, mark);
        }
    }

    /// The next chunk of what is left. Ask until there is none.
    pub(super) fn finish(&mut self) -> Option<CutChunk> {
        (!self.pending.is_empty()).then(|| self.cut())
    }

    fn cut(&mut self) -> CutChunk {
        let attempt = self.fit();
        self.guess = attempt.raw_bytes;
        let rest = self.pending.split_off(attempt.records);
        let taken = std::mem::replace(&mut self.pending, rest);
        let (Some(first), Some(last)) = (taken.first(), taken.last()) else {
            unreachable!("an attempt takes at least one record");
        };
        let header = self.header(first, last, &attempt);
        for mark in taken.into_iter().filter_map(|record| record.mark) {
            put_mark(&mut self.marks, mark);
        }
        let chunk = self.build(header, attempt);
        self.raw.drain(..header.raw_bytes as usize);
        for record in &mut self.pending {
            record.end -= header.raw_bytes as usize;
        }
        chunk
    }

    fn header(&self, first: &Pending, last: &Pending, attempt: &Attempt) -> Header {
        Header {
            number: self.number,
            first_seq: first.seq,
            last_seq: last.seq,
            first_position: first.position,
            last_position: last.position,
            first_time_ns: first.time_ns,
            last_time_ns: last.time_ns,
            raw_bytes: u32::try_from(attempt.raw_bytes).expect("a record is at most 17 MiB"),
            compressed: attempt.block.is_some(),
            parts: attempt.parts(),
        }
    }

    fn build(&self, header: Header, attempt: Attempt) -> CutChunk {
        let value_bytes_max = attempt.value_bytes();
        let block = attempt.block.unwrap_or_else(|| self.raw[..attempt.raw_bytes].to_vec());
        let marks = self.marks.iter().map(OwnMark::borrow).collect();
        if header.parts == 0 {
            let value = Chunk { header, marks, block: &block }.encode();
            debug_assert!(value.len() <= value_bytes_max, "what is around a block has an upper bound");
            CutChunk { header, value, parted_block: None }
        } else {
            let value = Chunk { header, marks, block: &[] }.encode();
            CutChunk { header, value, parted_block: Some(block) }
        }
    }

    /// Finds how many records fill their pages well, in a bounded number of attempts.
    fn fit(&mut self) -> Attempt {
        let mut best = self.attempt(self.records_within(self.guess));
        for _ in 1..ATTEMPTS_MAX {
            if best.fills_well(self.pending.len()) {
                break;
            }
            let records = self.records_within(best.aim(self.raw.len()));
            if records == best.records {
                break;
            }
            let next = self.attempt(records);
            if next.value_bytes() <= pages::LEAF_VALUE_BYTES_MAX || next.fill() > best.fill() {
                best = next;
            }
        }
        best
    }

    /// How many records these raw bytes hold; at least one.
    fn records_within(&self, raw_bytes: usize) -> usize {
        self.pending.partition_point(|record| record.end <= raw_bytes).max(1)
    }

    fn attempt(&mut self, records: usize) -> Attempt {
        let raw_bytes = self.pending[records - 1].end;
        let raw = &self.raw[..raw_bytes];
        let scratch = &mut *self.scratch;
        scratch.block.resize(get_maximum_output_size(raw_bytes), 0);
        let length = compress_into_with_table(raw, &mut scratch.block, &mut scratch.table)
            .expect("the buffer has the maximum output size");
        let block = (length < raw_bytes).then(|| scratch.block[..length].to_vec());
        Attempt { records, raw_bytes, block, around: self.around(records) }
    }

    /// An upper bound of the bytes around the block of so many records: the frame, the fixed fields, the
    /// marks of the producers that are known and of those whose first append is among the records.
    fn around(&self, records: usize) -> usize {
        const FIXED_FIELDS_BYTES: usize = 7 * 9 + 3 * 5 + 2 + 5;
        const MARK_NUMBERS_BYTES: usize = 9 + 9 + 2;
        let mut ids: Vec<&str> = self.marks.iter().map(|mark| &*mark.id).collect();
        for mark in self.pending[..records].iter().filter_map(|record| record.mark.as_ref()) {
            if !ids.contains(&&*mark.id) {
                ids.push(&mark.id);
            }
        }
        let marks: usize = ids.iter().map(|id| id.len() + MARK_NUMBERS_BYTES).sum();
        FRAME_BYTES + FIXED_FIELDS_BYTES + marks
    }
}

impl Attempt {
    fn block_bytes(&self) -> usize {
        self.block.as_ref().map_or(self.raw_bytes, Vec::len)
    }

    fn value_bytes(&self) -> usize {
        self.around + self.block_bytes()
    }

    fn parts(&self) -> u32 {
        if self.value_bytes() <= ARCHIVE_VALUE_BYTES_MAX {
            return 0;
        }
        u32::try_from(self.block_bytes().div_ceil(ARCHIVE_VALUE_BYTES_MAX))
            .expect("a block is at most 17 MiB")
    }

    /// Percent of its pages that the value fills.
    fn fill(&self) -> usize {
        self.value_bytes() * 100 / pages::room(self.value_bytes())
    }

    /// Whether no other cut is worth a try: it is full enough, or it is a small one with nothing left.
    fn fills_well(&self, pending: usize) -> bool {
        let small = self.value_bytes() <= pages::LEAF_VALUE_BYTES_MAX && self.records == pending;
        small || self.fill() >= FILL_GOOD_PERCENT
    }

    /// With how many raw bytes the value should come close to a page boundary: the one above if there
    /// is enough, else the one below.
    fn aim(&self, available: usize) -> usize {
        let scaled = |room: usize| {
            let room = room.saturating_sub(self.around) * FILL_AIM_PERCENT / 100;
            self.raw_bytes * room / self.block_bytes().max(1)
        };
        let above = scaled(pages::room(self.value_bytes()));
        if above <= available { above } else { scaled(pages::room_below(self.value_bytes())) }
    }
}

impl OwnMark {
    fn new(producer: &crate::Producer) -> Self {
        Self { id: producer.id.clone(), epoch: producer.epoch, seq: producer.seq }
    }

    fn borrow(&self) -> Mark<'_> {
        Mark { id: &self.id, epoch: self.epoch, seq: self.seq }
    }
}

fn mark_of(event: &EventRecord<'_>) -> Option<OwnMark> {
    let stamp = event.batch.as_ref()?.producer.as_ref()?;
    Some(OwnMark::new(&stamp.producer))
}

fn put_mark(marks: &mut Vec<OwnMark>, mark: OwnMark) {
    match marks.iter_mut().find(|known| known.id == mark.id) {
        Some(known) => *known = mark,
        None => marks.push(mark),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::{BatchStart, ProducerStamp};
    use crate::{Creation, ExecutionId, LogId, Producer};

    fn head() -> Head {
        let id = ExecutionId::parse("cut").expect("allowed");
        Head::new(&Creation { number: 7, id, log_id: LogId(1), digest: 0, labels: Default::default() })
    }

    fn payload(seed: u64, length: usize, random: bool) -> Vec<u8> {
        let mut state = seed | 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        (0..length).map(|_| if random { next() as u8 } else { b"{\"text\": \"abc"[next() % 13] }).collect()
    }

    /// The frames of records with these payloads, each an append of one of three producers.
    fn frames(payloads: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let frame = |(index, payload): (usize, &Vec<u8>)| {
            let seq = index as u64 + 1;
            let producer = Producer { id: format!("p{}", seq % 3).into(), epoch: 1, seq: seq / 3 };
            let stamp = Some(ProducerStamp { producer, digest: 5 });
            let batch = Some(BatchStart { events: 1, producer: stamp, rule_state: None });
            let record = EventRecord {
                number: 7,
                seq,
                position: seq * 2,
                record_time_ns: seq,
                type_tag: 1,
                custom_type: None,
                head_change: None,
                batch,
                payload,
            };
            let mut frame = Vec::new();
            record.encode(&mut frame);
            frame
        };
        payloads.iter().enumerate().map(frame).collect()
    }

    fn cut_all(frames: &[Vec<u8>]) -> Vec<CutChunk> {
        let mut scratch = Scratch::default();
        let mut cutter = Cutter::new(&head(), &mut scratch);
        let mut chunks = Vec::new();
        for frame in frames {
            let (event, _) = EventRecord::decode(frame).expect("just encoded");
            chunks.extend(std::iter::from_fn(|| cutter.make_room(frame)));
            cutter.push(frame, &event);
        }
        chunks.extend(std::iter::from_fn(|| cutter.finish()));
        chunks
    }

    fn check(frames: &[Vec<u8>], chunks: &[CutChunk]) {
        let mut next = 0;
        for cut in chunks {
            let chunk = Chunk::decode((7, next as u64 + 1), &cut.value).expect("just encoded");
            assert_eq!(chunk.header, cut.header);
            assert!(cut.value.len() <= ARCHIVE_VALUE_BYTES_MAX, "{} bytes", cut.value.len());
            let raw = chunk.header.expand(cut.parted_block.as_deref().unwrap_or(chunk.block)).expect("sound");
            let records = cut.header.records() as usize;
            assert!(records == 1 || raw.len() <= CHUNK_RAW_BYTES_MAX);
            assert_eq!(raw, frames[next..next + records].concat());
            chunk.header.events(&raw).for_each(|event| drop(event.expect("sound")));
            next += records;
            for mark in &chunk.marks {
                let last = (1..=next as u64).rfind(|seq| format!("p{}", seq % 3) == mark.id);
                assert_eq!(Some(mark.seq), last.map(|seq| seq / 3));
            }
            assert_eq!(chunk.marks.len(), next.min(3));
        }
        assert_eq!(next, frames.len());
    }

    proptest! {
        #[test]
        fn chunks_hold_exactly_the_records_that_were_given_in_order(
            events in proptest::collection::vec(
                (any::<u64>(), prop_oneof![9 => 0..900usize, 1 => 900..600_000usize], any::<bool>()),
                1..150,
            ),
        ) {
            let payloads: Vec<_> =
                events.into_iter().map(|(seed, length, random)| payload(seed, length, random)).collect();
            let frames = frames(&payloads);
            check(&frames, &cut_all(&frames));
        }
    }

    #[test]
    fn a_chunk_knows_the_producers_of_trimmed_records_before_it() {
        let frames = frames(&vec![vec![0; 100]; 4]);
        let mut scratch = Scratch::default();
        let mut cutter = Cutter::new(&head(), &mut scratch);
        for (index, frame) in frames.iter().enumerate() {
            let (event, _) = EventRecord::decode(frame).expect("just encoded");
            if index < 3 { cutter.pass(&event) } else { cutter.push(frame, &event) }
        }
        let cut = cutter.finish().expect("a record was pushed");
        let marks = Chunk::decode((7, 4), &cut.value).expect("just encoded").marks;
        let marks: Vec<_> = marks.iter().map(|mark| (mark.id, mark.seq)).collect();
        assert_eq!(marks, [("p1", 1), ("p2", 0), ("p0", 1)]);
    }

    /// The bound once left out producers whose first append is in the chunk, so that its value could pass
    /// its pages.
    #[test]
    fn the_marks_of_new_producers_count_as_bytes_of_the_value() {
        let frames: Vec<Vec<u8>> = (0..60_u64)
            .map(|index| {
                let producer = Producer { id: format!("{index:0128}").into(), epoch: 1, seq: 0 };
                let stamp = Some(ProducerStamp { producer, digest: 5 });
                let batch = Some(BatchStart { events: 1, producer: stamp, rule_state: None });
                let (seq, position) = (index + 1, index + 1);
                let record = EventRecord { seq, position, batch, payload: b"x", ..plain() };
                let mut frame = Vec::new();
                record.encode(&mut frame);
                frame
            })
            .collect();
        for cut in cut_all(&frames) {
            let bytes = cut.value.len();
            assert!(bytes <= pages::LEAF_VALUE_BYTES_MAX || bytes * 100 / pages::room(bytes) > 50, "{bytes}");
        }
    }

    fn plain() -> EventRecord<'static> {
        EventRecord {
            number: 7,
            seq: 1,
            position: 1,
            record_time_ns: 1,
            type_tag: 1,
            custom_type: None,
            head_change: None,
            batch: None,
            payload: b"",
        }
    }

    #[test]
    fn chunks_of_many_alike_records_fill_their_pages() {
        for (length, random) in [(256, true), (256, false), (1_000, true), (1_000, false), (60, false)] {
            let payloads: Vec<_> =
                (0..2_000_000 / length as u64).map(|seed| payload(seed, length, random)).collect();
            let frames = frames(&payloads);
            let chunks = cut_all(&frames);
            check(&frames, &chunks);
            let values: usize = chunks.iter().map(|chunk| chunk.value.len()).sum();
            let pages: usize = chunks.iter().map(|chunk| pages::room(chunk.value.len())).sum();
            assert!(values * 100 / pages >= FILL_GOOD_PERCENT, "{values} of {pages} with {length}, {random}");
        }
    }
}

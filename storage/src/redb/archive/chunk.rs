//! A chunk: consecutive events of one execution, as the record frames that stood in the journal,
//! compressed with LZ4 unless that would make them longer. Each record is checked again when it is
//! read. Decoding must never panic, nor allocate more than a chunk may hold, on any bytes.

use bincode::{BorrowDecode, Encode};
use bytes::Bytes;

use super::super::error::EngineError;
use crate::limits::{CHUNK_RAW_BYTES_MAX, RECORD_BODY_BYTES_MAX};
use crate::record::{EventRecord, FRAME_BYTES, Kind, RecordError, decode_value, encode_frame};
use crate::{Position, Seq};

/// Longest raw block: one record of the largest size.
const RAW_BYTES_LIMIT: usize = RECORD_BODY_BYTES_MAX + FRAME_BYTES;

/// What a chunk says of the events inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The number of the execution.
    pub(super) number: u64,
    pub(super) first_seq: Seq,
    pub(super) last_seq: Seq,
    /// The position of the first event; positions of one execution rise, with holes.
    pub(super) first_position: Position,
    pub(super) last_position: Position,
    /// The time of the first event; times of one execution never fall.
    pub(super) first_time_ns: u64,
    pub(super) last_time_ns: u64,
    /// Bytes of the records.
    pub(super) raw_bytes: u32,
    /// Whether the block is LZ4, or the records themselves.
    pub(super) compressed: bool,
    /// How many parts the block has in `chunk_parts`; 0 if it stands in the chunk.
    pub(super) parts: u32,
}

/// The last append that a producer had begun by the end of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, BorrowDecode)]
pub(super) struct Mark<'a> {
    pub(super) id: &'a str,
    pub(super) epoch: u64,
    pub(super) seq: u64,
}

/// A chunk as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    pub(super) header: Header,
    /// Of each producer that the execution knew at the end of the chunk, older ones included.
    pub(super) marks: Vec<Mark<'a>>,
    pub(super) block: &'a [u8],
}

#[derive(Encode, BorrowDecode)]
struct ChunkBody<'a> {
    number: u64,
    first_seq: u64,
    last_seq: u64,
    first_position: u64,
    last_position: u64,
    first_time_ns: u64,
    last_time_ns: u64,
    raw_bytes: u32,
    compressed: bool,
    parts: u32,
    marks: Vec<Mark<'a>>,
    block: &'a [u8],
}

#[derive(Encode, BorrowDecode)]
struct PartBody<'a> {
    number: u64,
    first_seq: u64,
    part: u32,
    bytes: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// The value in `chunks`.
    pub(super) fn encode(&self) -> Vec<u8> {
        let header = &self.header;
        let body = ChunkBody {
            number: header.number,
            first_seq: header.first_seq,
            last_seq: header.last_seq,
            first_position: header.first_position,
            last_position: header.last_position,
            first_time_ns: header.first_time_ns,
            last_time_ns: header.last_time_ns,
            raw_bytes: header.raw_bytes,
            compressed: header.compressed,
            parts: header.parts,
            marks: self.marks.clone(),
            block: self.block,
        };
        let mut out = Vec::with_capacity(self.block.len() + 128);
        encode_frame(&mut out, Kind::Chunk, &body);
        out
    }

    /// Decodes the value under a key of `chunks`.
    pub(super) fn decode(key: (u64, Seq), value: &'a [u8]) -> Result<Self, EngineError> {
        let (number, first_seq) = key;
        let body: ChunkBody<'_> = decode_value(Kind::Chunk, value)
            .map_err(|error| EngineError::record(number, first_seq, &error))?;
        let header = Header {
            number: body.number,
            first_seq: body.first_seq,
            last_seq: body.last_seq,
            first_position: body.first_position,
            last_position: body.last_position,
            first_time_ns: body.first_time_ns,
            last_time_ns: body.last_time_ns,
            raw_bytes: body.raw_bytes,
            compressed: body.compressed,
            parts: body.parts,
        };
        header.check(key)?;
        Ok(Self { header, marks: body.marks, block: body.block })
    }
}

impl Header {
    /// An error at this chunk's first event.
    pub(super) fn corrupt(&self, what: impl ToString) -> EngineError {
        EngineError::corrupt(self.number, self.first_seq, self.first_position, what)
    }

    /// How many events are inside.
    pub(super) fn records(&self) -> u64 {
        self.last_seq - self.first_seq + 1
    }

    /// Refuses what no chunk can say, so that no arithmetic on a header can overflow.
    fn check(&self, (number, first_seq): (u64, Seq)) -> Result<(), EngineError> {
        let sound = self.number == number
            && self.first_seq == first_seq
            && (1..u64::MAX).contains(&self.first_seq)
            && (self.first_seq..u64::MAX).contains(&self.last_seq)
            && (1..u64::MAX).contains(&self.first_position)
            && (self.first_position..u64::MAX).contains(&self.last_position)
            && self.last_position - self.first_position >= self.last_seq - self.first_seq
            && self.first_time_ns <= self.last_time_ns
            && self.records() <= u64::from(self.raw_bytes)
            && self.raw_bytes as usize <= RAW_BYTES_LIMIT
            && (self.records() == 1 || self.raw_bytes as usize <= CHUNK_RAW_BYTES_MAX);
        if sound {
            Ok(())
        } else {
            Err(EngineError::corrupt(number, first_seq, 0, "the chunk's header cannot be right"))
        }
    }

    /// The records of the chunk, from its whole block.
    pub(super) fn expand(&self, block: &[u8]) -> Result<Bytes, EngineError> {
        let raw_bytes = self.raw_bytes as usize;
        if !self.compressed {
            let whole = block.len() == raw_bytes;
            return if whole {
                Ok(Bytes::copy_from_slice(block))
            } else {
                Err(self.wrong_length(block.len()))
            };
        }
        let mut raw = vec![0; raw_bytes];
        let length = lz4_flex::block::decompress_into(block, &mut raw)
            .map_err(|error| self.corrupt(format!("the block does not decompress: {error}")))?;
        if length == raw_bytes { Ok(Bytes::from(raw)) } else { Err(self.wrong_length(length)) }
    }

    fn wrong_length(&self, actual: usize) -> EngineError {
        self.corrupt(format!("the block holds {actual} bytes, should be {}", self.raw_bytes))
    }

    /// Walks the records of an expanded chunk.
    pub(super) fn events<'a>(&self, raw: &'a [u8]) -> Events<'a> {
        Events { header: *self, raw, offset: 0, next_seq: self.first_seq, next_position: self.first_position }
    }
}

/// The value of one part in `chunk_parts`.
pub(super) fn encode_part(number: u64, first_seq: Seq, part: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 64);
    encode_frame(&mut out, Kind::ChunkPart, &PartBody { number, first_seq, part, bytes });
    out
}

/// The piece of a block that stands under a key of `chunk_parts`.
pub(super) fn decode_part(key: (u64, Seq, u32), value: &[u8]) -> Result<&[u8], EngineError> {
    let (number, first_seq, _) = key;
    let body: PartBody<'_> = decode_value(Kind::ChunkPart, value)
        .map_err(|error| EngineError::record(number, first_seq, &error))?;
    if (body.number, body.first_seq, body.part) != key {
        return Err(EngineError::corrupt(number, first_seq, 0, "a part stands under another key"));
    }
    Ok(body.bytes)
}

/// Iterates over the records of a chunk, each with its offset, and checks that they are what the
/// header says. After an error it ends.
pub(super) struct Events<'a> {
    header: Header,
    raw: &'a [u8],
    offset: usize,
    next_seq: Seq,
    next_position: Position,
}

impl<'a> Events<'a> {
    fn step(&mut self) -> Result<(usize, EventRecord<'a>), EngineError> {
        let (number, seq, at) = (self.header.number, self.next_seq, self.offset);
        let wrong = |error: &RecordError| EngineError::record(number, seq, error);
        let rest = self.raw.get(at..).unwrap_or_default();
        let (event, length) = EventRecord::decode(rest).map_err(|error| wrong(&error))?;
        let placed = event.number == number
            && event.seq == seq
            && (self.next_position..=self.header.last_position).contains(&event.position)
            && (self.header.first_time_ns..=self.header.last_time_ns).contains(&event.record_time_ns);
        if !placed {
            return Err(EngineError::corrupt(number, seq, event.position, "another event stands here"));
        }
        self.offset += length;
        self.next_seq += 1;
        self.next_position = event.position + 1;
        if seq == self.header.last_seq && self.offset != self.raw.len() {
            return Err(wrong(&RecordError::Trailing(self.raw.len() - self.offset)));
        }
        Ok((at, event))
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<(usize, EventRecord<'a>), EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next_seq > self.header.last_seq {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.next_seq = u64::MAX;
        }
        Some(step)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> impl Strategy<Value = Header> {
        let numbers = (any::<u64>(), 1..1_000_000u64, 0..500u64, 1..1_000_000u64, 0..1_000u64);
        (numbers, any::<u64>(), any::<u64>(), any::<u32>(), any::<bool>(), 0..3u32).prop_map(
            |(
                (number, first_seq, more, first_position, hole),
                time,
                duration,
                raw_bytes,
                compressed,
                parts,
            )| Header {
                number,
                first_seq,
                last_seq: first_seq + more,
                first_position,
                last_position: first_position + more + hole,
                first_time_ns: time,
                last_time_ns: time.saturating_add(duration),
                raw_bytes: raw_bytes % 32_000 + 501,
                compressed,
                parts,
            },
        )
    }

    fn whole() -> impl Strategy<Value = (Header, Vec<(String, u64, u64)>, Vec<u8>)> {
        let marks = proptest::collection::vec((".{0,20}", any::<u64>(), any::<u64>()), 0..5);
        (header(), marks, proptest::collection::vec(any::<u8>(), 0..2_000))
    }

    fn encode(header: Header, marks: &[(String, u64, u64)], block: &[u8]) -> Vec<u8> {
        let marks = marks.iter().map(|(id, epoch, seq)| Mark { id, epoch: *epoch, seq: *seq }).collect();
        Chunk { header, marks, block }.encode()
    }

    /// Everything a reader does with a value.
    fn read(key: (u64, Seq), value: &[u8]) -> Result<usize, EngineError> {
        let chunk = Chunk::decode(key, value)?;
        let raw = chunk.header.expand(chunk.block)?;
        assert_eq!(raw.len(), chunk.header.raw_bytes as usize);
        chunk.header.events(&raw).try_fold(0, |count, event| event.map(|_| count + 1))
    }

    proptest! {
        #[test]
        fn a_chunk_is_decoded_as_it_was_encoded((header, marks, block) in whole()) {
            let value = encode(header, &marks, &block);
            let chunk = Chunk::decode((header.number, header.first_seq), &value).expect("just encoded");
            prop_assert_eq!(chunk.header, header);
            prop_assert_eq!(chunk.block, &block[..]);
            let decoded: Vec<_> = chunk.marks.iter().map(|m| (m.id.to_owned(), m.epoch, m.seq)).collect();
            prop_assert_eq!(decoded, marks);
        }

        #[test]
        fn any_flipped_bit_of_a_chunk_is_an_error((header, marks, block) in whole(), bit in any::<usize>()) {
            let mut value = encode(header, &marks, &block);
            let bit = bit % (value.len() * 8);
            value[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Chunk::decode((header.number, header.first_seq), &value).is_err());
        }

        #[test]
        fn arbitrary_bytes_are_never_a_chunk_and_never_panic(value in proptest::collection::vec(any::<u8>(), 0..500)) {
            prop_assert!(read((1, 1), &value).is_err());
            prop_assert!(decode_part((1, 1, 0), &value).is_err());
        }

        #[test]
        fn a_block_that_is_not_what_its_header_says_is_an_error_and_never_panics(
            (header, marks, block) in whole(),
        ) {
            // The checksum is right here, so whatever is wrong was written wrong.
            let value = encode(header, &marks, &block);
            prop_assert!(read((header.number, header.first_seq), &value).is_err());
        }

        #[test]
        fn a_header_that_cannot_be_right_is_refused(
            header in header(),
            change in 0..8usize,
        ) {
            let key = (header.number, header.first_seq);
            let changes: [fn(&mut Header); 8] = [
                |header| header.number ^= 1,
                |header| header.first_seq += 1,
                |header| header.last_seq = u64::MAX,
                |header| header.last_seq = header.first_seq - 1,
                |header| header.last_position = header.first_position.wrapping_sub(1),
                |header| header.raw_bytes = u32::MAX,
                |header| header.raw_bytes = RAW_BYTES_LIMIT as u32 + 1,
                |header| (header.last_seq, header.last_position) = (u64::MAX - 1, 0),
            ];
            let mut wrong = header;
            changes[change](&mut wrong);
            prop_assert!(Chunk::decode(key, &encode(wrong, &[], &[])).is_err());
        }
    }
}

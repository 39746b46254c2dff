//! A generation in memory: the records of everything that was sealed at once, in order of position.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use redb::{Database, ReadTransaction, ReadableDatabase};

use super::super::error::EngineError;
use super::chunk::{Chunk, Header};
use super::heads::HeadTables;
use super::schema::{EventTables, GENERATION_CHUNKS, GENERATIONS};
use super::value::GenerationRow;
use crate::limits::{CHUNK_RAW_BYTES_MAX, RECORD_BODY_BYTES_MAX, UNSEALED_BYTES_MAX};
use crate::record::EventRecord;
use crate::{ExecutionRef, Position, Seq, StoredEvent};

/// Where a generation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GenerationSpan {
    pub(super) first_position: Position,
    pub(super) last_position: Position,
    raw_bytes: u64,
}

/// The generation that holds a position, or else the first one after it.
pub(super) fn generation_from(
    txn: &ReadTransaction,
    position: Position,
) -> Result<Option<GenerationSpan>, EngineError> {
    let table = txn.open_table(GENERATIONS)?;
    let decode = |key: u64, value: &[u8]| {
        let row = GenerationRow::decode(key, value)
            .map_err(|error| EngineError::corrupt(0, 0, key, format!("the generation: {error}")))?;
        let GenerationRow { last_position, raw_bytes } = row;
        Ok::<_, EngineError>(GenerationSpan { first_position: key, last_position, raw_bytes })
    };
    if let Some((key, value)) = table.range(..=position)?.next_back().transpose()? {
        let span = decode(key.value(), value.value())?;
        if span.last_position >= position {
            return Ok(Some(span));
        }
    }
    let next = table.range(position..)?.next().transpose()?;
    next.map(|(key, value)| decode(key.value(), value.value())).transpose()
}

/// A decompressed generation. Holds no event that was trimmed or deleted when it was loaded.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) span: GenerationSpan,
    chunks: Vec<Loaded>,
    /// Each event, in order of position.
    places: Vec<Place>,
}

#[derive(Debug)]
struct Loaded {
    number: u64,
    execution: Arc<ExecutionRef>,
    raw: Bytes,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    position: Position,
    chunk: u32,
    offset: u32,
}

/// An event of a generation, with the number and the name of its execution.
pub(super) struct Placed {
    pub(super) number: u64,
    pub(super) execution: Arc<ExecutionRef>,
    pub(super) event: StoredEvent,
}

impl Generation {
    /// Loads a generation; everything is checked.
    pub(super) fn load(db: &Database, span: GenerationSpan) -> Result<Self, EngineError> {
        let txn = db.begin_read()?;
        let mut loading = Loading {
            tables: EventTables::open(&txn)?,
            heads: HeadTables::open(&txn)?,
            known: HashMap::new(),
            raw_bytes_left: raw_bytes_limit(&span)?,
            generation: Self { span, chunks: Vec::new(), places: Vec::new() },
        };
        let first = span.first_position;
        let all = (first, 0, 0)..=(first, u64::MAX, u64::MAX);
        for row in txn.open_table(GENERATION_CHUNKS)?.range(all)? {
            let (_, number, first_seq) = row?.0.value();
            loading.chunk(number, first_seq)?;
        }
        let mut generation = loading.generation;
        generation.places.sort_unstable_by_key(|place| place.position);
        Ok(generation)
    }

    /// The events after a position.
    pub(super) fn after(&self, after: Position) -> impl Iterator<Item = Result<Placed, EngineError>> {
        let start = self.places.partition_point(|place| place.position <= after);
        self.places[start..].iter().map(|place| self.event(*place))
    }

    fn event(&self, place: Place) -> Result<Placed, EngineError> {
        let Loaded { number, execution, raw } = &self.chunks[place.chunk as usize];
        let (record, _) = EventRecord::decode(&raw[place.offset as usize..])
            .map_err(|error| EngineError::corrupt(*number, 0, place.position, error))?;
        Ok(Placed { number: *number, execution: execution.clone(), event: record.to_stored(raw) })
    }
}

/// A generation holds what one sealing was given; a row that says more must not make us allocate it.
fn raw_bytes_limit(span: &GenerationSpan) -> Result<u64, EngineError> {
    if span.raw_bytes <= UNSEALED_BYTES_MAX as u64 {
        return Ok(span.raw_bytes);
    }
    let what = format!("the generation says it has {} bytes", span.raw_bytes);
    Err(EngineError::corrupt(0, 0, span.first_position, what))
}

const _: () =
    assert!(CHUNK_RAW_BYTES_MAX < RECORD_BODY_BYTES_MAX && RECORD_BODY_BYTES_MAX < u32::MAX as usize);

struct Loading {
    tables: EventTables,
    heads: HeadTables,
    /// Of each execution its name and its floor; `None` if it was deleted.
    known: HashMap<u64, Option<(Arc<ExecutionRef>, Seq)>>,
    raw_bytes_left: u64,
    generation: Generation,
}

impl Loading {
    fn chunk(&mut self, number: u64, first_seq: Seq) -> Result<(), EngineError> {
        let Some((execution, floor_seq)) = self.execution(number)? else { return Ok(()) };
        let row = self.tables.chunks.get((number, first_seq))?;
        let row = row.ok_or_else(|| EngineError::corrupt(number, first_seq, 0, "the chunk is missing"))?;
        let chunk = Chunk::decode((number, first_seq), row.value())?;
        let header = chunk.header;
        if header.last_seq < floor_seq {
            return Ok(());
        }
        self.check(&header)?;
        let raw = self.tables.expand(&chunk)?;
        let index = u32::try_from(self.generation.chunks.len()).expect("a generation is at most 128 MiB");
        for event in header.events(&raw) {
            let (offset, event) = event?;
            if event.seq >= floor_seq {
                let offset = u32::try_from(offset).expect("a chunk is at most 17 MiB");
                self.generation.places.push(Place { position: event.position, chunk: index, offset });
            }
        }
        self.generation.chunks.push(Loaded { number, execution, raw });
        Ok(())
    }

    fn check(&mut self, header: &Header) -> Result<(), EngineError> {
        let span = &self.generation.span;
        let inside =
            span.first_position <= header.first_position && header.last_position <= span.last_position;
        if !inside {
            return Err(header.corrupt("the chunk is not of this generation"));
        }
        let left = self.raw_bytes_left.checked_sub(u64::from(header.raw_bytes));
        self.raw_bytes_left =
            left.ok_or_else(|| header.corrupt("the generation has more bytes than it says"))?;
        Ok(())
    }

    fn execution(&mut self, number: u64) -> Result<Option<(Arc<ExecutionRef>, Seq)>, EngineError> {
        if let Some(known) = self.known.get(&number) {
            return Ok(known.clone());
        }
        let head = self.heads.head(number)?;
        let known = head.map(|head| (head.execution.clone(), head.floor_seq));
        self.known.insert(number, known.clone());
        Ok(known)
    }
}

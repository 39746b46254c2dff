//! A generation in memory: the records of everything that was sealed at once, in order of position.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase};

use super::super::error::EngineError;
use super::chunk::{Chunk, Header};
use super::heads::HeadTables;
use super::meta_in;
use super::schema::{EventTables, GARBAGE, GENERATION_CHUNKS, GENERATIONS};
use super::value::GenerationRow;
use crate::limits::{CHUNK_RAW_BYTES_MAX, RECORD_BODY_BYTES_MAX, UNSEALED_BYTES_MAX};
use crate::record::EventRecord;
use crate::{ExecutionRef, Position, Seq, StoredEvent};

/// Where a generation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GenerationSpan {
    pub(super) first_position: Position,
    pub(super) last_position: Position,
}

/// The generation that holds a position; `None` above the last sealed one. Generations leave no position
/// out, also when nothing is left of their events: so a row that cannot be found is damage.
pub(super) fn generation_at(
    txn: &ReadTransaction,
    position: Position,
) -> Result<Option<(GenerationSpan, GenerationRow)>, EngineError> {
    if position > meta_in(txn)?.sealed_position {
        return Ok(None);
    }
    let missing = || EngineError::corrupt(0, 0, position, "the generation is missing");
    let table = txn.open_table(GENERATIONS)?;
    let row = table.range(..=position)?.next_back().transpose()?;
    let (key, value) = row.ok_or_else(missing)?;
    let row = decode(key.value(), value.value())?;
    if row.last_position < position {
        return Err(missing());
    }
    Ok(Some((GenerationSpan { first_position: key.value(), last_position: row.last_position }, row)))
}

fn decode(first_position: Position, value: &[u8]) -> Result<GenerationRow, EngineError> {
    GenerationRow::decode(first_position, value)
        .map_err(|error| EngineError::corrupt(0, 0, first_position, format!("the generation: {error}")))
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
        let first = span.first_position;
        let mut loading = Loading {
            tables: EventTables::open(&txn)?,
            heads: HeadTables::open(&txn)?,
            garbage: txn.open_table(GARBAGE)?,
            known: HashMap::new(),
            // Of this transaction: since the span was looked up, some chunks may have been freed.
            raw_bytes_left: raw_bytes(&txn, first)?,
            unread_chunks: false,
            generation: Self { span, chunks: Vec::new(), places: Vec::new() },
        };
        let all = (first, 0, 0)..=(first, u64::MAX, u64::MAX);
        for row in txn.open_table(GENERATION_CHUNKS)?.range(all)? {
            let (_, number, first_seq) = row?.0.value();
            loading.chunk(number, first_seq)?;
        }
        loading.finish()
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

/// The bytes of a generation's chunks. It holds what one sealing was given; a row that says more must not
/// make us allocate it.
fn raw_bytes(txn: &ReadTransaction, first_position: Position) -> Result<u64, EngineError> {
    let wrong = |what: &str| EngineError::corrupt(0, 0, first_position, what);
    let table = txn.open_table(GENERATIONS)?;
    let row = table.get(first_position)?.ok_or_else(|| wrong("the generation is missing"))?;
    match decode(first_position, row.value())?.raw_bytes {
        bytes if bytes <= UNSEALED_BYTES_MAX as u64 => Ok(bytes),
        bytes => Err(wrong(&format!("the generation says it has {bytes} bytes"))),
    }
}

const _: () =
    assert!(CHUNK_RAW_BYTES_MAX < RECORD_BODY_BYTES_MAX && RECORD_BODY_BYTES_MAX < u32::MAX as usize);

struct Loading {
    tables: EventTables,
    heads: HeadTables,
    garbage: ReadOnlyTable<u64, ()>,
    /// Of each execution its name and its floor; `None` if it was deleted.
    known: HashMap<u64, Option<(Arc<ExecutionRef>, Seq)>>,
    /// Bytes of the chunks that are still to come. The names of chunks have no checksum of their own; that
    /// none is missing is told by this number, which has one.
    raw_bytes_left: u64,
    /// Whether the bytes of some chunk could not be counted.
    unread_chunks: bool,
    generation: Generation,
}

impl Loading {
    fn chunk(&mut self, number: u64, first_seq: Seq) -> Result<(), EngineError> {
        let row = self.tables.chunks.get((number, first_seq))?;
        let row = row.ok_or_else(|| EngineError::corrupt(number, first_seq, 0, "the chunk is missing"))?;
        let execution = self.execution(number)?;
        let chunk = match (Chunk::decode((number, first_seq), row.value()), &execution) {
            (Ok(chunk), _) => chunk,
            (Err(error), Some(_)) => return Err(error),
            // It is damaged and cannot be freed, but nobody misses it.
            (Err(_), None) => {
                self.unread_chunks = true;
                return Ok(());
            }
        };
        let header = chunk.header;
        self.check(&header)?;
        let Some((execution, floor_seq)) = execution.filter(|(_, floor_seq)| *floor_seq <= header.last_seq)
        else {
            return Ok(());
        };
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

    fn finish(self) -> Result<Generation, EngineError> {
        let Self { mut generation, raw_bytes_left, unread_chunks, .. } = self;
        let wrong = |position, what: &str| Err(EngineError::corrupt(0, 0, position, what));
        if raw_bytes_left > 0 && !unread_chunks {
            let what = format!("{raw_bytes_left} bytes of the generation are missing");
            return wrong(generation.span.first_position, &what);
        }
        generation.places.sort_unstable_by_key(|place| place.position);
        let twice = generation.places.windows(2).find(|pair| pair[0].position == pair[1].position);
        match twice {
            Some(pair) => wrong(pair[0].position, "two events have this position"),
            None => Ok(generation),
        }
    }

    fn execution(&mut self, number: u64) -> Result<Option<(Arc<ExecutionRef>, Seq)>, EngineError> {
        if let Some(known) = self.known.get(&number) {
            return Ok(known.clone());
        }
        let head = self.heads.head(number)?;
        // A deleted execution is among the garbage as long as it has chunks.
        if head.is_none() && self.garbage.get(number)?.is_none() {
            return Err(EngineError::corrupt(number, 0, 0, "the head is missing"));
        }
        let known = head.map(|head| (head.execution.clone(), head.floor_seq));
        self.known.insert(number, known.clone());
        Ok(known)
    }
}

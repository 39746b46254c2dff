//! Reading the archived events of one execution: a page at a time, in one short transaction.

use std::borrow::Cow;

use bytes::Bytes;
use redb::{Database, ReadableDatabase};

use super::super::error::EngineError;
use super::chunk::{Chunk, Header, decode_part};
use super::heads::HeadTables;
use super::schema::EventTables;
use crate::{PageSize, Seq, StoredEvent};

/// Collects events until a page is full.
pub(super) struct PageFill {
    size: PageSize,
    bytes: usize,
}

impl PageFill {
    pub(super) fn new(size: PageSize) -> Self {
        Self { size, bytes: 0 }
    }

    /// Whether a page of so many events had better end here, because what comes next most likely does
    /// not fit and would have to be decompressed again for the next page.
    fn ends_well(&self, events: usize, next: &Header) -> bool {
        let events_after = events.saturating_add(usize::try_from(next.records()).unwrap_or(usize::MAX));
        let full =
            events_after > self.size.events_max || self.bytes + next.raw_bytes as usize > self.size.bytes_max;
        full && (events >= self.size.events_max / 2 || self.bytes >= self.size.bytes_max / 2)
    }

    /// Counts an event that was put into the page, now this long. Returns whether the page is full.
    pub(super) fn took(&mut self, payload_bytes: usize, events: usize) -> bool {
        self.bytes += payload_bytes;
        events >= self.size.events_max || self.bytes >= self.size.bytes_max
    }
}

/// The archived events after a cursor, at least one if there is one; fewer than fit do not mean that
/// there are no more. Starts at the floor if the cursor is below it.
pub(super) fn read(
    db: &Database,
    number: u64,
    after: Seq,
    size: PageSize,
) -> Result<Vec<StoredEvent>, EngineError> {
    let txn = db.begin_read()?;
    let Some(head) = HeadTables::open(&txn)?.head(number)? else { return Ok(Vec::new()) };
    let start = after.saturating_add(1).max(head.floor_seq);
    let tables = EventTables::open(&txn)?;
    let mut events = Vec::new();
    let mut page = PageFill::new(size);
    let mut next_seq = start;
    while next_seq <= head.tail_seq {
        let (header, raw) = tables.expanded_at(number, next_seq)?;
        // The chunk that comes next is taken to be like this one.
        if push_events(&mut events, &mut page, &header, &raw, next_seq)?
            || page.ends_well(events.len(), &header)
        {
            break;
        }
        next_seq = header.last_seq + 1;
    }
    Ok(events)
}

fn push_events(
    events: &mut Vec<StoredEvent>,
    page: &mut PageFill,
    header: &Header,
    raw: &Bytes,
    from_seq: Seq,
) -> Result<bool, EngineError> {
    for event in header.events(raw) {
        let (_, event) = event?;
        if event.seq < from_seq {
            continue;
        }
        events.push(event.to_stored(raw));
        if page.took(event.payload.len(), events.len()) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl EventTables {
    /// Looks at the chunk that holds a seq, which must be there.
    pub(super) fn at<T>(
        &self,
        number: u64,
        seq: Seq,
        look: impl FnOnce(&Chunk<'_>) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let missing = || EngineError::corrupt(number, seq, 0, "the chunk is missing");
        let row = self.chunks.range((number, 0)..=(number, seq))?.next_back().transpose()?;
        let (key, value) = row.ok_or_else(missing)?;
        let chunk = Chunk::decode(key.value(), value.value())?;
        if chunk.header.last_seq < seq {
            return Err(missing());
        }
        look(&chunk)
    }

    fn expanded_at(&self, number: u64, seq: Seq) -> Result<(Header, Bytes), EngineError> {
        self.at(number, seq, |chunk| Ok((chunk.header, self.expand(chunk)?)))
    }

    /// The records of a chunk.
    pub(super) fn expand(&self, chunk: &Chunk<'_>) -> Result<Bytes, EngineError> {
        let header = &chunk.header;
        let block =
            if header.parts == 0 { Cow::Borrowed(chunk.block) } else { Cow::Owned(self.join(header)?) };
        header.expand(&block)
    }

    fn join(&self, header: &Header) -> Result<Vec<u8>, EngineError> {
        let mut block = Vec::new();
        for part in 0..header.parts {
            let key = (header.number, header.first_seq, part);
            let row = self.chunk_parts.get(key)?.ok_or_else(|| header.corrupt("a part is missing"))?;
            block.extend_from_slice(decode_part(key, row.value())?);
            if block.len() > header.raw_bytes as usize {
                return Err(header.corrupt("the parts are longer than the records"));
            }
        }
        Ok(block)
    }
}

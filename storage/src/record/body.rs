//! The bodies that stand in the journal, and their way to and from the engine's own types.
//! The structs with `Body` in their name are the format: never reorder or change their fields,
//! add a new record version instead.

use std::collections::BTreeMap;
use std::sync::Arc;

use bincode::{BorrowDecode, Encode};
use bytes::Bytes;

use super::{Kind, RecordError, decode_body, encode_frame, split_frame};
use crate::head::{Applied, BatchApplied};
use crate::{Creation, ExecutionId, HeadChange, Lease, LogId, Phase, Position, Producer, Seq, StoredEvent};

/// One record of the journal.
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all records are events; a box would cost an allocation for each"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// An execution begins; its first event follows.
    Create(Creation),
    /// An event.
    Event(EventRecord<'a>),
    /// An execution is deleted.
    Delete(DeleteRecord),
    /// The oldest events of an execution are removed.
    Trim(TrimRecord<'a>),
}

/// A committed event, with all that a head is folded from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord<'a> {
    /// The number of its execution.
    pub number: u64,
    /// Its seq.
    pub seq: Seq,
    /// Its position.
    pub position: Position,
    /// Its time, in nanoseconds since 1970-01-01 UTC.
    pub record_time_ns: u64,
    /// Its type tag.
    pub type_tag: u32,
    /// Its custom type.
    pub custom_type: Option<&'a str>,
    /// What it changes in the head.
    pub head_change: Option<HeadChange>,
    /// On the first event of an append.
    pub batch: Option<BatchStart>,
    /// Its payload.
    pub payload: &'a [u8],
}

/// What the first event of an append says of the whole append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchStart {
    /// How many events the append has.
    pub events: u32,
    /// Who sent it.
    pub producer: Option<ProducerStamp>,
    /// The rule state after it, if it changed.
    pub rule_state: Option<Vec<u8>>,
}

/// A producer's triple and the digest of what it sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerStamp {
    /// Id, epoch and seq.
    pub producer: Producer,
    /// Digest of the append's events.
    pub digest: u128,
}

/// An execution is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteRecord {
    /// The number of the execution.
    pub number: u64,
}

/// Events below a floor are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrimRecord<'a> {
    /// The number of the execution.
    pub number: u64,
    /// The first seq that is kept.
    pub floor_seq: Seq,
    /// Payload bytes of the removed events.
    pub freed_bytes: u64,
    /// What must outlive them; `None` leaves the present base.
    pub base: Option<&'a [u8]>,
}

#[derive(Encode, BorrowDecode)]
struct CreationBody<'a> {
    number: u64,
    id: &'a str,
    log_id: [u8; 16],
    digest: [u8; 16],
    labels: BTreeMap<&'a str, &'a str>,
}

#[derive(Encode, BorrowDecode)]
struct EventBody<'a> {
    number: u64,
    seq: u64,
    position: u64,
    record_time_ns: u64,
    type_tag: u32,
    custom_type: Option<&'a str>,
    head_change: Option<HeadChangeBody<'a>>,
    batch: Option<BatchBody<'a>>,
    payload: &'a [u8],
}

#[derive(Encode, BorrowDecode)]
struct HeadChangeBody<'a> {
    phase: Option<u8>,
    error: Option<&'a str>,
    session_id: Option<&'a str>,
    agent_id: Option<&'a str>,
    display_name: Option<&'a str>,
    lease: Option<LeaseBody<'a>>,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct LeaseBody<'a> {
    owner: &'a str,
    duration_ms: u64,
}

#[derive(Encode, BorrowDecode)]
struct BatchBody<'a> {
    events: u32,
    producer: Option<StampBody<'a>>,
    rule_state: Option<&'a [u8]>,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct StampBody<'a> {
    id: &'a str,
    epoch: u64,
    seq: u64,
    digest: [u8; 16],
}

#[derive(Encode, BorrowDecode)]
struct DeleteBody {
    number: u64,
}

#[derive(Encode, BorrowDecode)]
struct TrimBody<'a> {
    number: u64,
    floor_seq: u64,
    freed_bytes: u64,
    base: Option<&'a [u8]>,
}

impl<'a> Record<'a> {
    /// Decodes the record at the front of `bytes`; returns it and its length.
    pub fn decode(bytes: &'a [u8]) -> Result<(Self, usize), RecordError> {
        let (kind, body, length) = split_frame(bytes)?;
        let record = match kind {
            Kind::Create => Self::Create(decode_body::<CreationBody<'_>>(body)?.parse()?),
            Kind::Event => Self::Event(decode_body::<EventBody<'_>>(body)?.parse()?),
            Kind::Delete => Self::Delete(DeleteRecord { number: decode_body::<DeleteBody>(body)?.number }),
            Kind::Trim => {
                let TrimBody { number, floor_seq, freed_bytes, base } = decode_body(body)?;
                Self::Trim(TrimRecord { number, floor_seq, freed_bytes, base })
            }
            other => return Err(RecordError::Kind(other as u8)),
        };
        Ok((record, length))
    }

    /// Appends the record's frame to `out`. The caller has checked all lengths.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Create(creation) => encode_creation(out, creation),
            Self::Event(event) => event.encode(out),
            Self::Delete(delete) => encode_frame(out, Kind::Delete, &DeleteBody { number: delete.number }),
            Self::Trim(TrimRecord { number, floor_seq, freed_bytes, base }) => {
                let (number, floor_seq, freed_bytes, base) = (*number, *floor_seq, *freed_bytes, *base);
                encode_frame(out, Kind::Trim, &TrimBody { number, floor_seq, freed_bytes, base });
            }
        }
    }
}

fn encode_creation(out: &mut Vec<u8>, creation: &Creation) {
    let body = CreationBody {
        number: creation.number,
        id: creation.id.as_str(),
        log_id: creation.log_id.0.to_le_bytes(),
        digest: creation.digest.to_le_bytes(),
        labels: creation.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
    };
    encode_frame(out, Kind::Create, &body);
}

impl CreationBody<'_> {
    fn parse(self) -> Result<Creation, RecordError> {
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        Ok(Creation {
            number: self.number,
            id: ExecutionId::parse(self.id).map_err(|error| RecordError::Body(error.to_string()))?,
            log_id: LogId(u128::from_le_bytes(self.log_id)),
            digest: u128::from_le_bytes(self.digest),
            labels: self.labels.into_iter().map(own).collect(),
        })
    }
}

impl<'a> EventRecord<'a> {
    /// Decodes the event at the front of `bytes`; any other kind of record is an error.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<(Self, usize), RecordError> {
        match split_frame(bytes)? {
            (Kind::Event, body, length) => Ok((decode_body::<EventBody<'_>>(body)?.parse()?, length)),
            (other, ..) => Err(RecordError::Kind(other as u8)),
        }
    }

    /// Appends the event's frame to `out`. The caller has checked all lengths.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let body = EventBody {
            number: self.number,
            seq: self.seq,
            position: self.position,
            record_time_ns: self.record_time_ns,
            type_tag: self.type_tag,
            custom_type: self.custom_type,
            head_change: self.head_change.as_ref().map(HeadChangeBody::new),
            batch: self.batch.as_ref().map(BatchBody::new),
            payload: self.payload,
        };
        encode_frame(out, Kind::Event, &body);
    }

    /// What a head is folded from.
    pub fn applied(&self) -> Applied<'_> {
        Applied {
            seq: self.seq,
            position: self.position,
            record_time_ns: self.record_time_ns,
            payload_bytes: self.payload.len(),
            change: self.head_change.as_ref(),
            batch: self.batch.as_ref().map(|batch| BatchApplied {
                events: batch.events,
                producer: batch.producer.as_ref().map(|stamp| (&stamp.producer, stamp.digest)),
                rule_state: batch.rule_state.as_deref(),
            }),
        }
    }

    /// The event as readers get it. `source` is the buffer this record was decoded from; the payload
    /// shares it.
    pub fn to_stored(&self, source: &Bytes) -> StoredEvent {
        StoredEvent {
            seq: self.seq,
            position: self.position,
            record_time_ns: self.record_time_ns,
            type_tag: self.type_tag,
            custom_type: self.custom_type.map(Arc::from),
            payload: source.slice_ref(self.payload),
        }
    }
}

impl<'a> EventBody<'a> {
    #[inline(always)] // see `decode_body`
    fn parse(self) -> Result<EventRecord<'a>, RecordError> {
        Ok(EventRecord {
            number: self.number,
            seq: self.seq,
            position: self.position,
            record_time_ns: self.record_time_ns,
            type_tag: self.type_tag,
            custom_type: self.custom_type,
            head_change: self.head_change.map(HeadChangeBody::parse).transpose()?,
            batch: self.batch.map(BatchBody::parse),
            payload: self.payload,
        })
    }
}

impl<'a> HeadChangeBody<'a> {
    fn new(change: &'a HeadChange) -> Self {
        Self {
            phase: change.phase.map(|phase| phase as u8),
            error: change.error.as_deref(),
            session_id: change.session_id.as_deref(),
            agent_id: change.agent_id.as_deref(),
            display_name: change.display_name.as_deref(),
            lease: change.lease.as_ref().map(LeaseBody::new),
        }
    }

    fn parse(self) -> Result<HeadChange, RecordError> {
        Ok(HeadChange {
            phase: self.phase.map(parse_phase).transpose()?,
            error: self.error.map(str::to_owned),
            session_id: self.session_id.map(str::to_owned),
            agent_id: self.agent_id.map(str::to_owned),
            display_name: self.display_name.map(str::to_owned),
            lease: self.lease.map(LeaseBody::parse),
        })
    }
}

pub(super) fn parse_phase(number: u8) -> Result<Phase, RecordError> {
    Phase::from_number(number).ok_or_else(|| RecordError::Body(format!("phase {number} is not known")))
}

impl<'a> LeaseBody<'a> {
    pub(super) fn new(lease: &'a Lease) -> Self {
        Self { owner: &lease.owner, duration_ms: lease.duration_ms }
    }

    pub(super) fn parse(self) -> Lease {
        Lease { owner: self.owner.to_owned(), duration_ms: self.duration_ms }
    }
}

impl<'a> BatchBody<'a> {
    fn new(batch: &'a BatchStart) -> Self {
        Self {
            events: batch.events,
            producer: batch.producer.as_ref().map(|stamp| StampBody::new(&stamp.producer, stamp.digest)),
            rule_state: batch.rule_state.as_deref(),
        }
    }

    fn parse(self) -> BatchStart {
        let stamp = |body: StampBody<'_>| {
            let (producer, digest) = body.parse();
            ProducerStamp { producer, digest }
        };
        BatchStart {
            events: self.events,
            producer: self.producer.map(stamp),
            rule_state: self.rule_state.map(<[u8]>::to_vec),
        }
    }
}

impl<'a> StampBody<'a> {
    pub(super) fn new(producer: &'a Producer, digest: u128) -> Self {
        Self { id: &producer.id, epoch: producer.epoch, seq: producer.seq, digest: digest.to_le_bytes() }
    }

    pub(super) fn parse(self) -> (Producer, u128) {
        let producer = Producer { id: Arc::from(self.id), epoch: self.epoch, seq: self.seq };
        (producer, u128::from_le_bytes(self.digest))
    }
}

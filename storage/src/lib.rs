//! The durable log behind Tapeline: an append-only list of events for each execution.
//!
//! What it promises:
//! - an append is atomic: all of its events get contiguous seqs, or nothing is written;
//! - durable before visible: replies, reads and the commit hook follow the sync to disk;
//! - a repeated append of a producer is recognised for as long as the log exists;
//! - an error either means that nothing was written, or is `OutcomeUnknown`;
//! - every byte is checked when it is read; a wrong one is an error, never served, never a panic.
//!
//! What it must never do: know protobuf, know the network, look into a payload.
//! The bytes on disk are described in `docs/format.md`.

pub mod limits;

mod id;
mod event;
mod head;
mod commit;
mod rules;
mod error;
mod stream;
mod store;
mod clock;
mod panics;
pub mod record;
mod redb;
#[cfg(any(test, feature = "test-util"))]
pub mod test_util;

pub use clock::{Clock, SystemClock};
pub use commit::{Commit, CommitHook, CommitSlice, ExecutionRef, NoHook, SliceChange};
pub use error::{Limit, OpenError, ReadError, WriteError};
pub use event::{HeadChange, Lease, NewEvent, Phase, Producer, StoredEvent};
pub use head::{Applied, BatchApplied, BatchSpan, Creation, Head, ProducerState};
pub use id::{ExecutionId, ExecutionIdError, LogId, Position, Seq, StoreId};
pub use panics::caught;
pub use redb::{OpenOptions, RedbStore};
pub use rules::{NoRules, Reject, RuleState, Rules};
pub use store::{
    AllPage, AppendOutcome, AppendRequest, AppendTicket, CreateOutcome, CreateRequest, EventStore, ListPage,
    ListQuery, Page, PageSize, StoreStats, TrimRequest, digest_events,
};
pub use stream::{AppendOrder, AppendPlace};

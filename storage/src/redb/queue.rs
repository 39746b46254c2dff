//! The queue into the writer: bounded in requests and in bytes by two semaphores in front of a channel.
//! Full: the caller waits, at most [`QUEUE_WAIT_MAX_MS`], then gets `Busy`. A place is given back when
//! the request has been answered. Requests leave in the order in which they came.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::admit::record_bytes;
use super::slots::Slot;
use crate::limits::{QUEUE_BYTES_MAX, QUEUE_EVENT_OVERHEAD_BYTES, QUEUE_REQUESTS_MAX, QUEUE_WAIT_MAX_MS};
use crate::{
    AppendOutcome, AppendRequest, CreateOutcome, CreateRequest, NewEvent, Seq, TrimRequest, WriteError,
};

/// Answers one request.
pub(super) type Reply<T> = oneshot::Sender<Result<T, WriteError>>;

/// What the writer makes of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Appended {
    /// It is written, or was before.
    Done(AppendOutcome),
    /// It is older than the producer's last append: whoever asked compares it with what was written.
    Older,
}

/// What the writer makes of a trim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trimmed {
    /// This floor is in force.
    Floor(Seq),
    /// The floor moved since the removed bytes were counted: count again.
    Moved,
}

/// The payload bytes that a trim removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    /// Counted from this floor on.
    pub(super) from_floor: Seq,
    /// Bytes below the new floor.
    pub(super) bytes: u64,
}

/// One thing to do for the writer.
#[derive(Debug)]
pub(super) enum Job {
    Create { request: CreateRequest, reply: Reply<CreateOutcome> },
    Append { request: AppendRequest, reply: Reply<Appended> },
    Trim { request: TrimRequest, counted: Counted, reply: Reply<Trimmed> },
    Delete { reply: Reply<()> },
}

/// A job with the slot of its execution and its places in the queue.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) slot: Arc<Slot>,
    pub(super) job: Job,
    pub(super) places: Places,
}

/// Places in the queue, given back on drop.
#[derive(Debug)]
pub(super) struct Places {
    _request: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

/// What the writer receives.
#[derive(Debug)]
pub(super) enum Message {
    Work(Box<Item>),
    /// Nothing follows.
    Stop,
}

/// Why nothing is taken any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shut {
    Closing,
    Failed,
}

impl From<Shut> for WriteError {
    fn from(shut: Shut) -> Self {
        match shut {
            Shut::Closing => Self::Closing,
            Shut::Failed => Self::Failed,
        }
    }
}

/// The sending side.
#[derive(Debug)]
pub(super) struct Queue {
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    /// Unbounded itself; the semaphores bound it.
    sender: Sender<Message>,
    /// Held for a send only, so that nothing is sent after `Stop`. No other lock is taken under it.
    shut: RwLock<Option<Shut>>,
}

impl Job {
    /// Payload bytes, as they count in a commit.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Create { request, .. } => request.events.iter().map(|event| event.payload.len()).sum(),
            Self::Append { request, .. } => request.events.iter().map(|event| event.payload.len()).sum(),
            Self::Trim { request, .. } => request.base.as_ref().map_or(0, bytes::Bytes::len),
            Self::Delete { .. } => 0,
        }
    }

    /// Bytes it takes while it waits: everything it holds of its events, and what each event costs by
    /// itself.
    fn queued_bytes(&self) -> usize {
        let held = |events: &[NewEvent]| {
            events.iter().map(|event| record_bytes(event) + QUEUE_EVENT_OVERHEAD_BYTES).sum()
        };
        match self {
            Self::Create { request, .. } => held(&request.events),
            Self::Append { request, .. } => held(&request.events),
            Self::Trim { .. } | Self::Delete { .. } => self.bytes(),
        }
    }

    /// How many events it writes.
    pub(super) fn events(&self) -> usize {
        match self {
            Self::Create { request, .. } => request.events.len(),
            Self::Append { request, .. } => request.events.len(),
            Self::Trim { .. } | Self::Delete { .. } => 1,
        }
    }

    /// Answers with an error. Later appends of the same stream are not written either.
    pub(super) fn refuse(self, error: WriteError) {
        if let Self::Append { request: AppendRequest { stream: Some(place), .. }, .. } = &self {
            place.failed();
        }
        // A receiver that is gone does not want to know.
        match self {
            Self::Create { reply, .. } => drop(reply.send(Err(error))),
            Self::Append { reply, .. } => drop(reply.send(Err(error))),
            Self::Trim { reply, .. } => drop(reply.send(Err(error))),
            Self::Delete { reply } => drop(reply.send(Err(error))),
        }
    }
}

impl Queue {
    pub(super) fn new() -> (Self, Receiver<Message>) {
        let (sender, receiver) = unbounded();
        let queue = Self {
            requests: Arc::new(Semaphore::new(QUEUE_REQUESTS_MAX)),
            bytes: Arc::new(Semaphore::new(QUEUE_BYTES_MAX)),
            sender,
            shut: RwLock::new(None),
        };
        (queue, receiver)
    }

    /// Puts a job into the queue, waiting for its places.
    pub(super) async fn put(&self, slot: Arc<Slot>, job: Job) -> Result<(), WriteError> {
        let wait = Duration::from_millis(QUEUE_WAIT_MAX_MS);
        let places = match tokio::time::timeout(wait, self.places(job.queued_bytes())).await {
            Ok(places) => places?,
            Err(_) => return Err(WriteError::Busy),
        };
        let shut = self.shut.read().unwrap_or_else(PoisonError::into_inner);
        match *shut {
            Some(shut) => Err(shut.into()),
            None => self
                .sender
                .send(Message::Work(Box::new(Item { slot, job, places })))
                .map_err(|_| WriteError::Failed),
        }
    }

    async fn places(&self, bytes: usize) -> Result<Places, WriteError> {
        let shut = |_| WriteError::from(self.reason().unwrap_or(Shut::Closing));
        let bytes = u32::try_from(bytes.clamp(1, QUEUE_BYTES_MAX)).unwrap_or(u32::MAX);
        let request = self.requests.clone().acquire_owned().await.map_err(shut)?;
        let bytes = self.bytes.clone().acquire_many_owned(bytes).await.map_err(shut)?;
        Ok(Places { _request: request, _bytes: bytes })
    }

    /// Takes nothing more; those who wait for a place are told. What is in the queue stays there for
    /// the writer, and `Stop` behind it. The first reason counts.
    pub(super) fn shut(&self, why: Shut) {
        let mut shut = self.shut.write().unwrap_or_else(PoisonError::into_inner);
        if shut.is_none() {
            *shut = Some(why);
            // A writer that is gone needs no stop.
            drop(self.sender.send(Message::Stop));
        }
        drop(shut);
        self.requests.close();
        self.bytes.close();
    }

    /// Why nothing is taken any more, if so.
    pub(super) fn reason(&self) -> Option<Shut> {
        *self.shut.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests that wait or are being written.
    pub(super) fn queued(&self) -> u64 {
        (QUEUE_REQUESTS_MAX - self.requests.available_permits()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExecutionId;
    use crate::redb::archive::Archived;
    use crate::redb::slots::Slots;

    fn slot() -> Arc<Slot> {
        let (slots, id) = (Slots::new(), ExecutionId::parse("a").expect("an id"));
        let epoch = slots.get(&id).expect_err("a new map is empty");
        slots.insert(&id, Archived::Absent, epoch).expect("nothing was sealed")
    }

    /// An append that takes so many bytes of the queue.
    fn job(bytes: usize) -> Job {
        let payload = vec![0; bytes - QUEUE_EVENT_OVERHEAD_BYTES].into();
        let event = NewEvent { payload, ..NewEvent::default() };
        let request = AppendRequest {
            execution: ExecutionId::parse("a").expect("an id"),
            events: vec![event],
            expected_last_seq: None,
            producer: None,
            stream: None,
        };
        Job::Append { request, reply: oneshot::channel().0 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_waits_for_a_place_and_is_busy_after_five_seconds() {
        let (queue, receiver) = Queue::new();
        queue.put(slot(), job(QUEUE_BYTES_MAX - 100)).await.expect("there is room");
        let begun = tokio::time::Instant::now();
        assert_eq!(queue.put(slot(), job(101)).await, Err(WriteError::Busy));
        assert_eq!(begun.elapsed(), Duration::from_millis(QUEUE_WAIT_MAX_MS));
        queue.put(slot(), job(100)).await.expect("as much as there is room for");
        assert_eq!(queue.queued(), 2);
        drop(receiver.recv().expect("the first one is there"));
        queue.put(slot(), job(101)).await.expect("its place was given back");
    }

    #[tokio::test]
    async fn nothing_is_sent_behind_the_stop_and_those_who_wait_are_told_why() {
        let (queue, receiver) = Queue::new();
        queue.put(slot(), job(QUEUE_BYTES_MAX)).await.expect("there is room");
        let queue = Arc::new(queue);
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.put(slot(), job(100)).await }
        });
        tokio::task::yield_now().await;
        queue.shut(Shut::Failed);
        queue.shut(Shut::Closing);
        assert_eq!(waiting.await.expect("no panic"), Err(WriteError::Failed), "the first reason counts");
        assert_eq!(queue.put(slot(), job(100)).await, Err(WriteError::Failed));
        assert!(matches!(receiver.try_recv(), Ok(Message::Work(_))));
        assert!(matches!(receiver.try_recv(), Ok(Message::Stop)));
        assert!(receiver.try_recv().is_err());
    }
}

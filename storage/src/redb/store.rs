//! The embedded store behind the seam: each method of [`EventStore`] in a few lines, the work itself
//! in the modules beside this one. Opening and closing are in `open.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::admit::check_trim;
use super::open::Closer;
use super::queue::{Appended, Counted, Job, Trimmed};
use super::shared::Shared;
use super::slots::Slot;
use super::{list, older, read_all, reader};
use crate::{
    AllPage, AppendPlace, AppendRequest, AppendTicket, CreateOutcome, CreateRequest, EventStore, ExecutionId,
    Head, ListPage, ListQuery, Page, PageSize, Position, Producer, ReadError, Seq, StoreId, StoreStats,
    TrimRequest, WriteError,
};

/// A store in two files of a data directory: a journal, and an archive of what was sealed.
///
/// Dropping it closes it, which waits for what is in the queue; [`EventStore::close`] does the same
/// without blocking a thread of the async runtime.
pub struct RedbStore {
    pub(super) shared: Arc<Shared>,
    pub(super) closer: Arc<Closer>,
}

impl std::fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedbStore").field("store_id", &self.shared.store_id).finish_non_exhaustive()
    }
}

impl EventStore for RedbStore {
    fn store_id(&self) -> StoreId {
        self.shared.store_id
    }

    fn create(&self, request: CreateRequest) -> BoxFuture<'_, Result<CreateOutcome, WriteError>> {
        Box::pin(async move {
            let slot = self.shared.slot(&request.execution).await?;
            let (reply, answer) = oneshot::channel();
            self.shared.queue.put(slot, Job::Create { request, reply }).await?;
            answered(answer).await
        })
    }

    fn submit(&self, request: AppendRequest) -> BoxFuture<'_, Result<AppendTicket, WriteError>> {
        Box::pin(async move {
            let place = request.stream.clone();
            let submitted = self.submit_one(request).await;
            note_failure(&submitted, place.as_ref());
            submitted
        })
    }

    fn trim(&self, request: TrimRequest) -> BoxFuture<'_, Result<Seq, WriteError>> {
        Box::pin(async move {
            loop {
                let (slot, head) = self.shared.present(&request.execution).await?;
                if !check_trim(&head, &request)? {
                    return Ok(head.floor_seq);
                }
                if let Trimmed::Floor(floor_seq) = self.trim_counted(slot, &head, &request).await? {
                    return Ok(floor_seq);
                }
            }
        })
    }

    fn delete(&self, execution: &ExecutionId) -> BoxFuture<'_, Result<(), WriteError>> {
        let execution = execution.clone();
        Box::pin(async move {
            let (slot, _) = self.shared.present(&execution).await?;
            let (reply, answer) = oneshot::channel();
            self.shared.queue.put(slot, Job::Delete { reply }).await?;
            answered(answer).await
        })
    }

    fn head(&self, execution: &ExecutionId) -> BoxFuture<'_, Result<Arc<Head>, ReadError>> {
        let execution = execution.clone();
        Box::pin(async move { Ok(self.shared.present(&execution).await?.1) })
    }

    fn read(
        &self,
        execution: &ExecutionId,
        after: Seq,
        page: PageSize,
    ) -> BoxFuture<'_, Result<Page, ReadError>> {
        let execution = execution.clone();
        Box::pin(async move { reader::read(&self.shared, &execution, after, page).await })
    }

    fn read_all(&self, after: Position, page: PageSize) -> BoxFuture<'_, Result<AllPage, ReadError>> {
        Box::pin(read_all::read_all(&self.shared, after, page))
    }

    fn cursor_at_time(
        &self,
        execution: &ExecutionId,
        since_ns: u64,
    ) -> BoxFuture<'_, Result<Seq, ReadError>> {
        let execution = execution.clone();
        Box::pin(async move { reader::cursor_at_time(&self.shared, &execution, since_ns).await })
    }

    fn list(&self, query: ListQuery) -> BoxFuture<'_, Result<ListPage, ReadError>> {
        Box::pin(list::list(&self.shared, query))
    }

    fn base(&self, execution: &ExecutionId) -> BoxFuture<'_, Result<Option<Bytes>, ReadError>> {
        let execution = execution.clone();
        Box::pin(async move {
            let (_, head) = self.shared.present(&execution).await?;
            let number = head.number;
            match self.shared.unsealed.base(number) {
                Some(base) => Ok(Some(base)),
                // What left the index before it was looked at is in the archive by now.
                None => self.shared.blocking(&execution, move |files| files.archive.base(number)).await,
            }
        })
    }

    fn tail_position(&self) -> Position {
        self.shared.tail_position()
    }

    fn floor_position(&self) -> BoxFuture<'_, Result<Position, ReadError>> {
        Box::pin(read_all::floor_position(&self.shared))
    }

    fn stats(&self) -> StoreStats {
        let shared = &self.shared;
        let bytes = shared.used_bytes();
        StoreStats {
            executions: shared.counts.executions.load(Ordering::Relaxed),
            tail_position: shared.tail_position(),
            unsealed_bytes: shared.unsealed.bytes(),
            journal_bytes: bytes.map_or(0, |(journal, _)| journal),
            archive_bytes: bytes.map_or(0, |(_, archive)| archive),
            queued_requests: shared.queue.queued(),
            commits: shared.counts.commits.load(Ordering::Relaxed),
            disk_full: !shared.journal_space.may_write(),
        }
    }

    fn failed(&self) -> BoxFuture<'static, String> {
        self.shared.failure.failed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let closer = self.closer.clone();
        Box::pin(async move {
            if let Err(error) = tokio::task::spawn_blocking(move || closer.close()).await {
                tracing::error!(%error, "the store was not closed");
            }
        })
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.closer.close();
    }
}

impl RedbStore {
    /// Seals all that is committed, now; for tests. Returns whether that was possible.
    #[cfg(any(test, feature = "test-util"))]
    pub fn seal_now(&self) -> bool {
        loop {
            match super::sealer::seal_oldest(&self.shared) {
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    async fn submit_one(&self, request: AppendRequest) -> Result<AppendTicket, WriteError> {
        let slot = self.shared.slot(&request.execution).await?;
        let producer = request.producer.clone();
        let place = request.stream.clone();
        if place.as_ref().is_some_and(AppendPlace::is_behind_failed) {
            return Ok(AppendTicket::looking(Box::pin(std::future::ready(Err(WriteError::StreamFailed)))));
        }
        // Decided here if it can be, so that a conflict stops the later appends of a stream.
        if let Some((producer, digest)) = producer.as_ref().filter(|(producer, _)| is_older(&slot, producer))
        {
            let outcome = older::look_up(&self.shared, &slot, producer, *digest).await;
            note_failure(&outcome, place.as_ref());
            return Ok(AppendTicket::looking(Box::pin(std::future::ready(outcome))));
        }
        let (reply, answer) = oneshot::channel();
        self.shared.queue.put(slot.clone(), Job::Append { request, reply }).await?;
        let shared = self.shared.clone();
        Ok(AppendTicket::looking(Box::pin(async move {
            match (answered(answer).await?, producer) {
                (Appended::Done(outcome), _) => Ok(outcome),
                (Appended::Older, Some((producer, digest))) => {
                    let outcome = older::look_up(&shared, &slot, &producer, digest).await;
                    note_failure(&outcome, place.as_ref());
                    place.iter().for_each(AppendPlace::decided);
                    outcome
                }
                (Appended::Older, None) => unreachable!("only an append of a producer can be older"),
            }
        })))
    }

    async fn trim_counted(
        &self,
        slot: Arc<Slot>,
        head: &Head,
        request: &TrimRequest,
    ) -> Result<Trimmed, WriteError> {
        let bytes = match reader::count_bytes(&self.shared, head, request.floor_seq).await {
            // Another trim was faster: look again.
            Err(ReadError::Trimmed { .. }) => return Ok(Trimmed::Moved),
            counted => counted?,
        };
        let counted = Counted { from_floor: head.floor_seq, bytes };
        let (reply, answer) = oneshot::channel();
        let job = Job::Trim { request: request.clone(), counted, reply };
        self.shared.queue.put(slot, job).await?;
        answered(answer).await
    }
}

/// An answer of the writer. If it is gone without one, nobody knows.
async fn answered<T>(answer: oneshot::Receiver<Result<T, WriteError>>) -> Result<T, WriteError> {
    answer.await.unwrap_or(Err(WriteError::OutcomeUnknown))
}

/// Whether what is committed shows already that an append is older than its producer's last one.
fn is_older(slot: &Slot, producer: &Producer) -> bool {
    slot.head().is_some_and(|head| {
        let last = head.producer(&producer.id).map(|state| &state.producer);
        last.is_some_and(|last| last.epoch == producer.epoch && producer.seq < last.seq)
    })
}

fn note_failure<T>(outcome: &Result<T, WriteError>, place: Option<&AppendPlace>) {
    if let (Err(_), Some(place)) = (outcome, place) {
        place.failed();
    }
}

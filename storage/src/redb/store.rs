//! The embedded store behind the seam: each method of [`EventStore`] in a few lines, the work itself
//! in the modules beside this one. Opening and closing are in `open.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::answer::answered;
use super::open::Closer;
use super::queue::Job;
use super::shared::Shared;
use super::{list, read_all, reader, submit, trim};
use crate::{
    AllPage, AppendRequest, AppendTicket, CreateOutcome, CreateRequest, EventStore, ExecutionId, Head,
    ListPage, ListQuery, Page, PageSize, Position, ReadError, Seq, StoreId, StoreStats, TrimRequest,
    WriteError,
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
        Box::pin(submit::submit(&self.shared, request))
    }

    fn trim(&self, request: TrimRequest) -> BoxFuture<'_, Result<Seq, WriteError>> {
        Box::pin(trim::trim(&self.shared, request))
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
}

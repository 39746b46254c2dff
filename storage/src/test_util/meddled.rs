//! A real store with somebody between it and a test, who hears of each write and may answer a read of events
//! otherwise than the store does. All else is the store's answer.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::{
    AllPage, AppendRequest, AppendTicket, CreateOutcome, CreateRequest, EventStore, ExecutionId, Head,
    ListPage, ListQuery, Page, PageSize, Position, ReadError, RedbStore, Seq, StoreId, StoreStats,
    TrimRequest, WriteError,
};

/// Who stands in between.
pub trait Meddler: Send + Sync + 'static {
    /// Events are about to be written.
    fn writes(&self) {}

    /// What a read behind this seq is answered with. `read` is the store's answer, if it is asked for it.
    fn read<'a>(
        &'a self,
        execution: &ExecutionId,
        after: Seq,
        read: BoxFuture<'a, Result<Page, ReadError>>,
    ) -> BoxFuture<'a, Result<Page, ReadError>>;
}

/// The store, as it is seen from behind a [`Meddler`].
#[derive(Debug)]
pub struct Meddled<M> {
    /// The store.
    pub inner: RedbStore,
    /// Who stands before it.
    pub meddler: M,
}

impl<M: Meddler> EventStore for Meddled<M> {
    fn store_id(&self) -> StoreId {
        self.inner.store_id()
    }

    fn create(&self, request: CreateRequest) -> BoxFuture<'_, Result<CreateOutcome, WriteError>> {
        self.meddler.writes();
        self.inner.create(request)
    }

    fn submit(&self, request: AppendRequest) -> BoxFuture<'_, Result<AppendTicket, WriteError>> {
        self.meddler.writes();
        self.inner.submit(request)
    }

    fn trim(&self, request: TrimRequest) -> BoxFuture<'_, Result<Seq, WriteError>> {
        self.inner.trim(request)
    }

    fn delete(&self, execution: &ExecutionId) -> BoxFuture<'_, Result<(), WriteError>> {
        self.inner.delete(execution)
    }

    fn head(&self, execution: &ExecutionId) -> BoxFuture<'_, Result<Arc<Head>, ReadError>> {
        self.inner.head(execution)
    }

    fn read(
        &self,
        execution: &ExecutionId,
        after: Seq,
        page: PageSize,
    ) -> BoxFuture<'_, Result<Page, ReadError>> {
        self.meddler.read(execution, after, self.inner.read(execution, after, page))
    }

    fn read_all(&self, after: Position, page: PageSize) -> BoxFuture<'_, Result<AllPage, ReadError>> {
        self.inner.read_all(after, page)
    }

    fn cursor_at_time(
        &self,
        execution: &ExecutionId,
        since_ns: u64,
    ) -> BoxFuture<'_, Result<Seq, ReadError>> {
        self.inner.cursor_at_time(execution, since_ns)
    }

    fn list(&self, query: ListQuery) -> BoxFuture<'_, Result<ListPage, ReadError>> {
        self.inner.list(query)
    }

    fn base(&self, execution: &ExecutionId) -> BoxFuture<'_, Result<Option<Bytes>, ReadError>> {
        self.inner.base(execution)
    }

    fn tail_position(&self) -> Position {
        self.inner.tail_position()
    }

    fn floor_position(&self) -> BoxFuture<'_, Result<Position, ReadError>> {
        self.inner.floor_position()
    }

    fn stats(&self) -> StoreStats {
        self.inner.stats()
    }

    fn failed(&self) -> BoxFuture<'static, String> {
        self.inner.failed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}

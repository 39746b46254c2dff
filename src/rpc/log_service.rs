//! `ExecutionLogService`: parses requests, walks the write path or the read path, answers.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::{Stream, StreamExt};
use prost::Message;
use tapeline_storage::{
    EventStore, ExecutionId, Head, ListPage, ListQuery, PageSize, Phase, ReadError, StoredEvent,
};
use tonic::{Request, Response, Status, Streaming};

use super::codec::Frame;
use super::convert;
use super::page_token::{Scope, page_size};
use super::status::{invalid_field, log_replaced, of_append, of_read, of_watch, store_replaced};
use crate::append::{self, AppendError, AppendStream, Appender};
use crate::execution::invalid::Invalid;
use crate::execution::{frame, phase};
use crate::limits::{
    LIST_BYTES_MAX, LIST_PAGE_DEFAULT, LIST_PAGE_MAX, READ_BYTES_MAX, READ_EVENTS_DEFAULT, READ_EVENTS_MAX,
};
use crate::proto::v1 as wire;
use crate::proto::v1::execution_log_service_server::ExecutionLogService;
use crate::watch::{WatchStream, Watches};

/// The native API.
#[derive(Clone)]
pub struct LogService {
    store: Arc<dyn EventStore>,
    appender: Appender,
    watches: Watches,
}

impl std::fmt::Debug for LogService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogService").finish_non_exhaustive()
    }
}

/// A stream of replies.
type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl LogService {
    /// The service over the two walks. `store` is for reads that are not watches.
    pub fn new(store: Arc<dyn EventStore>, appender: Appender, watches: Watches) -> Self {
        Self { store, appender, watches }
    }

    /// One page of events, filled up from several pages of the store.
    async fn page(
        &self,
        execution: &ExecutionId,
        after_seq: u64,
        events_max: usize,
    ) -> Result<(Vec<StoredEvent>, Arc<Head>), ReadError> {
        let mut events: Vec<StoredEvent> = Vec::new();
        let mut bytes_max = READ_BYTES_MAX;
        loop {
            let cursor = events.last().map_or(after_seq, |event| event.seq);
            let size = PageSize { events_max: events_max - events.len(), bytes_max };
            let page = self.store.read(execution, cursor, size).await?;
            let bytes: usize = page.events.iter().map(|event| event.payload.len()).sum();
            bytes_max = bytes_max.saturating_sub(bytes);
            let at_tail = page.events.last().is_none_or(|last| last.seq >= page.head.tail_seq);
            events.extend(page.events);
            if at_tail || bytes_max == 0 || events.len() >= events_max {
                return Ok((events, page.head));
            }
        }
    }
}

#[tonic::async_trait]
impl ExecutionLogService for LogService {
    type AppendStreamStream = Replies<wire::AppendResponse>;
    type WatchStream = Replies<Frame>;
    type WatchAllStream = Replies<Frame>;

    async fn create_execution(
        &self,
        request: Request<wire::CreateExecutionRequest>,
    ) -> Result<Response<wire::Execution>, Status> {
        let head = self.appender.create(request.into_inner()).await.map_err(of_append)?;
        Ok(Response::new(convert::execution(&head)))
    }

    async fn append(
        &self,
        request: Request<wire::AppendRequest>,
    ) -> Result<Response<wire::AppendResponse>, Status> {
        let outcome = self.appender.append(request.into_inner()).await.map_err(of_append)?;
        Ok(Response::new(convert::append_response(&outcome)))
    }

    async fn append_stream(
        &self,
        request: Request<Streaming<wire::AppendRequest>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        let outcomes = AppendStream::new(self.appender.clone()).run::<Status>(request.into_inner());
        let replies = outcomes.map(|outcome| outcome.map(|outcome| convert::append_response(&outcome)));
        Ok(Response::new(Box::pin(replies)))
    }

    async fn read_events(
        &self,
        request: Request<wire::ReadEventsRequest>,
    ) -> Result<Response<wire::ReadEventsResponse>, Status> {
        let wire::ReadEventsRequest { execution_id, after_seq, max_events, store_id, log_id } =
            request.into_inner();
        let execution = parse_id(&execution_id)?;
        let events_max = match max_events {
            0 => READ_EVENTS_DEFAULT,
            some => some.min(READ_EVENTS_MAX),
        };
        check_store(&*self.store, &store_id)?;
        if !log_id.is_empty() {
            // Before the cursor is looked at: a number means nothing in another log.
            check_log(&*self.store.head(&execution).await.map_err(of_read)?, &log_id)?;
        }
        let (events, head) = self.page(&execution, after_seq, events_max as usize).await.map_err(of_read)?;
        check_log(&head, &log_id)?;
        let events: Result<Vec<_>, Status> =
            events.iter().map(|event| wire_event(&execution, event)).collect();
        Ok(Response::new(wire::ReadEventsResponse {
            events: events?,
            tail_seq: head.tail_seq,
            floor_seq: head.floor_seq,
            phase: phase::to_wire(head.phase).into(),
        }))
    }

    async fn watch(
        &self,
        request: Request<wire::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let peer = request.remote_addr();
        let stream = self.watches.watch(request.into_inner(), peer).await.map_err(of_watch)?;
        Ok(Response::new(frames(stream)))
    }

    async fn watch_all(
        &self,
        request: Request<wire::WatchAllRequest>,
    ) -> Result<Response<Self::WatchAllStream>, Status> {
        let peer = request.remote_addr();
        let stream = self.watches.watch_all(request.into_inner(), peer).await.map_err(of_watch)?;
        Ok(Response::new(frames(stream)))
    }

    async fn get_execution(
        &self,
        request: Request<wire::GetExecutionRequest>,
    ) -> Result<Response<wire::Execution>, Status> {
        let execution = parse_id(&request.into_inner().execution_id)?;
        let head = self.store.head(&execution).await.map_err(of_read)?;
        Ok(Response::new(convert::execution(&head)))
    }

    async fn list_executions(
        &self,
        request: Request<wire::ListExecutionsRequest>,
    ) -> Result<Response<wire::ListExecutionsResponse>, Status> {
        let query = list_query(request.into_inner())?;
        let page = self.store.list(query.clone()).await.map_err(of_read)?;
        Ok(Response::new(list_response(&query, &page)))
    }

    async fn delete_execution(
        &self,
        request: Request<wire::DeleteExecutionRequest>,
    ) -> Result<Response<wire::DeleteExecutionResponse>, Status> {
        self.appender.delete(&request.into_inner().execution_id).await.map_err(of_append)?;
        Ok(Response::new(wire::DeleteExecutionResponse {}))
    }
}

fn frames(stream: WatchStream) -> Replies<Frame> {
    Box::pin(stream.map(|frame| frame.map(Frame).map_err(of_watch)))
}

/// The id of an execution as a request has it.
pub(super) fn parse_id(id: &str) -> Result<ExecutionId, Status> {
    append::parse_id("execution_id", id).map_err(|error| of_append(error.into()))
}

fn check_store(store: &dyn EventStore, expected: &str) -> Result<(), Status> {
    let actual = store.store_id().to_string();
    if expected.is_empty() || expected == actual { Ok(()) } else { Err(store_replaced(expected, &actual)) }
}

fn check_log(head: &Head, expected: &str) -> Result<(), Status> {
    let actual = head.execution.log_id.to_string();
    if expected.is_empty() || expected == actual { Ok(()) } else { Err(log_replaced(expected, &actual)) }
}

fn wire_event(execution: &ExecutionId, stored: &StoredEvent) -> Result<wire::Event, Status> {
    frame::wire_event(stored, None).map_err(|error| {
        of_read(ReadError::Corrupt {
            execution: Some(execution.clone()),
            seq: stored.seq,
            position: stored.position,
            what: error.to_string(),
        })
    })
}

/// A page of a list that a client with default limits can read: what does not fit is on the next one.
fn list_response(query: &ListQuery, page: &ListPage) -> wire::ListExecutionsResponse {
    let (mut executions, mut bytes, mut next) = (Vec::new(), 0, page.next_before);
    for (index, head) in page.heads.iter().enumerate() {
        let execution = convert::execution(head);
        bytes += execution.encoded_len();
        executions.push(execution);
        if bytes >= LIST_BYTES_MAX && index + 1 < page.heads.len() {
            next = Some(head.number);
            break;
        }
    }
    let next_page_token = next.map_or_else(String::new, |next| Scope::of_executions(query).encode(next));
    wire::ListExecutionsResponse { executions, next_page_token }
}

fn list_query(request: wire::ListExecutionsRequest) -> Result<ListQuery, Status> {
    let wire::ListExecutionsRequest { page_size: said, page_token, phase, session_id, labels } = request;
    let heads_max = page_size(said, LIST_PAGE_DEFAULT, LIST_PAGE_MAX)?;
    let phase = match u8::try_from(phase) {
        Ok(0) => None,
        number => {
            let known = number.ok().and_then(Phase::from_number);
            Some(known.ok_or_else(|| invalid_field("phase", "it is not a phase"))?)
        }
    };
    Invalid::check_labels(&labels).map_err(AppendError::from)?;
    let session_id = Some(session_id).filter(|session| !session.is_empty());
    let mut query = ListQuery { heads_max, before_number: None, phase, session_id, labels };
    query.before_number = Scope::of_executions(&query).decode(&page_token)?;
    Ok(query)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tapeline_storage::{Creation, LogId};

    use super::*;

    fn head(number: u64) -> Arc<Head> {
        let id = ExecutionId::parse(&format!("run-{number}")).expect("an id");
        let labels: BTreeMap<_, _> = (0..32).map(|n| (format!("{n:063}"), "v".repeat(256))).collect();
        Arc::new(Head::new(&Creation { number, id, log_id: LogId(7), digest: 0, labels }))
    }

    #[test]
    fn a_list_is_cut_into_pages_that_default_clients_can_read_and_none_is_left_out() {
        let query = ListQuery { heads_max: LIST_PAGE_MAX, ..ListQuery::default() };
        let (mut before, mut listed) = (1_001, Vec::new());
        loop {
            let heads = (1..before).rev().map(head).collect();
            let response = list_response(&query, &ListPage { heads, next_before: None });
            assert!(response.encoded_len() < 2 * LIST_BYTES_MAX);
            listed.extend(response.executions.into_iter().map(|execution| execution.id));
            match Scope::of_executions(&query).decode(&response.next_page_token).expect("our own token") {
                Some(next) => before = next,
                None => break,
            }
        }
        assert_eq!(listed, (1..1_001).rev().map(|number| format!("run-{number}")).collect::<Vec<_>>());
    }
}

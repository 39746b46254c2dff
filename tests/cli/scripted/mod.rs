//! What the command line does with a daemon that misbehaves: a server that answers from a script, so that
//! streams break, repeat and leave out events exactly where a test wants them to.

mod watch;
mod writes;
mod hostile;

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::Stream;
use tapeline::proto::stigmer::agentexecution::agent_execution_query_controller_server::{
    AgentExecutionQueryController, AgentExecutionQueryControllerServer,
};
use tapeline::proto::stigmer::agentexecution::{
    AgentExecution, AgentExecutionId, AgentExecutionList, AgentExecutionStatus,
    ListAgentExecutionsBySessionRequest, ListAgentExecutionsRequest,
};
use tapeline::proto::v1::admin_service_server::{AdminService, AdminServiceServer};
use tapeline::proto::v1::execution_log_service_server::{ExecutionLogService, ExecutionLogServiceServer};
use tapeline::proto::v1::watch_response::Frame as Body;
use tapeline::proto::v1::{
    AppendRequest, AppendResponse, CreateExecutionRequest, DeleteExecutionRequest, DeleteExecutionResponse,
    End, Event, EventBatch, Execution, GetExecutionRequest, GetStatsRequest, GetStatsResponse, Hello,
    ListExecutionsRequest, ListExecutionsResponse, ListWatchersRequest, ListWatchersResponse, Phase,
    ReadEventsRequest, ReadEventsResponse, TrimExecutionRequest, TrimExecutionResponse, WatchAllRequest,
    WatchRequest, WatchResponse, Watcher, end,
};
use tapeline::rpc::codec::Frame;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt};

use super::support::{Done, finish, tapeline};

/// What the server is to answer, and what it was asked.
#[derive(Default)]
struct Script {
    /// One stream a watch; each ends after its frames, without more.
    watches: VecDeque<Vec<Result<Body, Status>>>,
    appends: VecDeque<Result<AppendResponse, Status>>,
    /// What is got, listed and created; without one, the error.
    execution: Option<Execution>,
    state: Option<AgentExecutionStatus>,
    watcher: Option<Watcher>,
    stats: Option<GetStatsResponse>,
    error: Option<Status>,
    watched: Vec<WatchRequest>,
    appended: Vec<AppendRequest>,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

type Frames = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;
type Responses = Pin<Box<dyn Stream<Item = Result<AppendResponse, Status>> + Send>>;

#[tonic::async_trait]
impl ExecutionLogService for Scripted {
    type WatchStream = Frames;
    type WatchAllStream = Frames;
    type AppendStreamStream = Responses;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Frames>, Status> {
        let mut script = self.0.lock().unwrap();
        script.watched.push(request.into_inner());
        let frames =
            script.watches.pop_front().ok_or_else(|| refused(Code::NotFound, "EXECUTION_NOT_FOUND", None))?;
        let frames = frames
            .into_iter()
            .map(|frame| frame.map(|frame| Frame::from(&WatchResponse { frame: Some(frame) })));
        Ok(Response::new(Box::pin(futures_util::stream::iter(frames.collect::<Vec<_>>()))))
    }

    async fn append(&self, request: Request<AppendRequest>) -> Result<Response<AppendResponse>, Status> {
        let mut script = self.0.lock().unwrap();
        script.appended.push(request.into_inner());
        script.appends.pop_front().unwrap_or(Ok(AppendResponse::default())).map(Response::new)
    }

    async fn create_execution(
        &self,
        request: Request<CreateExecutionRequest>,
    ) -> Result<Response<Execution>, Status> {
        let id = request.into_inner().execution_id;
        let scripted = self.0.lock().unwrap().execution.clone();
        Ok(Response::new(scripted.unwrap_or(Execution { id, tail_seq: 1, ..Execution::default() })))
    }

    async fn get_execution(&self, _: Request<GetExecutionRequest>) -> Result<Response<Execution>, Status> {
        self.answer(|script| script.execution.clone())
    }

    async fn list_executions(
        &self,
        _: Request<ListExecutionsRequest>,
    ) -> Result<Response<ListExecutionsResponse>, Status> {
        self.answer(|script| {
            let executions = vec![script.execution.clone()?];
            Some(ListExecutionsResponse { executions, next_page_token: String::new() })
        })
    }

    async fn watch_all(&self, _: Request<WatchAllRequest>) -> Result<Response<Frames>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn append_stream(
        &self,
        _: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<Responses>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn read_events(
        &self,
        _: Request<ReadEventsRequest>,
    ) -> Result<Response<ReadEventsResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn delete_execution(
        &self,
        _: Request<DeleteExecutionRequest>,
    ) -> Result<Response<DeleteExecutionResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }
}

#[tonic::async_trait]
impl AdminService for Scripted {
    async fn get_stats(&self, _: Request<GetStatsRequest>) -> Result<Response<GetStatsResponse>, Status> {
        self.answer(|script| script.stats.clone())
    }

    async fn list_watchers(
        &self,
        _: Request<ListWatchersRequest>,
    ) -> Result<Response<ListWatchersResponse>, Status> {
        self.answer(|script| {
            let watchers = vec![script.watcher.clone()?];
            Some(ListWatchersResponse { watchers, next_page_token: String::new() })
        })
    }

    async fn trim_execution(
        &self,
        _: Request<TrimExecutionRequest>,
    ) -> Result<Response<TrimExecutionResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }
}

#[tonic::async_trait]
impl AgentExecutionQueryController for Scripted {
    type subscribeStream = Frames;

    async fn get(&self, _: Request<AgentExecutionId>) -> Result<Response<AgentExecution>, Status> {
        self.answer(|script| {
            Some(AgentExecution { status: Some(script.state.clone()?), ..Default::default() })
        })
    }

    async fn list(
        &self,
        _: Request<ListAgentExecutionsRequest>,
    ) -> Result<Response<AgentExecutionList>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn list_by_session(
        &self,
        _: Request<ListAgentExecutionsBySessionRequest>,
    ) -> Result<Response<AgentExecutionList>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn subscribe(&self, _: Request<AgentExecutionId>) -> Result<Response<Frames>, Status> {
        Err(Status::unimplemented("not in the script"))
    }
}

impl Scripted {
    /// What the script has, or its error.
    fn answer<T>(&self, scripted: impl FnOnce(&Script) -> Option<T>) -> Result<Response<T>, Status> {
        let script = self.0.lock().unwrap();
        let error = || script.error.clone().unwrap_or(Status::unimplemented("not in the script"));
        scripted(&script).map(Response::new).ok_or_else(error)
    }
}

/// Runs the binary against the script, with nothing on standard input.
fn play(script: Script, args: &[&str]) -> (Done, Script) {
    play_with(script, args, b"")
}

/// Runs the binary against the script, with this on standard input.
fn play_with(script: Script, args: &[&str], input: &[u8]) -> (Done, Script) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let scripted = Scripted(Arc::new(Mutex::new(script)));
    let server = tonic::transport::Server::builder()
        .add_service(ExecutionLogServiceServer::new(scripted.clone()))
        .add_service(AdminServiceServer::new(scripted.clone()))
        .add_service(AgentExecutionQueryControllerServer::new(scripted.clone()));
    runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let mut command = tapeline();
    command.args(args).env("TAPELINE_ADDR", url).stdin(Stdio::piped());
    let done = finish(&mut command, input);
    let script = std::mem::take(&mut *scripted.0.lock().unwrap());
    (done, script)
}

fn refused(code: Code, reason: &str, retry_after: Option<Duration>) -> Status {
    let mut details = ErrorDetails::with_error_info(reason, "tapeline", HashMap::new());
    if retry_after.is_some() {
        details.set_retry_info(retry_after);
    }
    Status::with_error_details(code, "no", details)
}

fn hello() -> Result<Body, Status> {
    Ok(Body::Hello(Hello { store_id: "store".to_owned(), log_id: "log".to_owned(), ..Hello::default() }))
}

fn events(seqs: &[u64]) -> Result<Body, Status> {
    let events = seqs.iter().map(|&seq| Event { seq, ..Event::default() }).collect();
    Ok(Body::Events(EventBatch { events }))
}

fn end() -> Result<Body, Status> {
    Ok(Body::End(End {
        reason: end::Reason::Terminal as i32,
        phase: Phase::Completed as i32,
        ..End::default()
    }))
}

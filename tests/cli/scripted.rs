//! What the command line does with a daemon that misbehaves: a server that answers from a script, so that
//! streams break, repeat and leave out events exactly where a test wants them to.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::Stream;
use tapeline::proto::v1::execution_log_service_server::{ExecutionLogService, ExecutionLogServiceServer};
use tapeline::proto::v1::watch_request::Start;
use tapeline::proto::v1::watch_response::Frame as Body;
use tapeline::proto::v1::{
    AppendRequest, AppendResponse, CreateExecutionRequest, DeleteExecutionRequest, DeleteExecutionResponse,
    End, Event, EventBatch, Execution, GetExecutionRequest, Heartbeat, Hello, ListExecutionsRequest,
    ListExecutionsResponse, Phase, ReadEventsRequest, ReadEventsResponse, WatchAllRequest, WatchRequest,
    WatchResponse, end,
};
use tapeline::rpc::codec::Frame;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt};

use super::support::{Done, finish, seqs, tapeline};

/// What the server is to answer, and what it was asked.
#[derive(Default)]
struct Script {
    /// One stream a watch; each ends after its frames, without more.
    watches: VecDeque<Vec<Result<Body, Status>>>,
    appends: VecDeque<Result<AppendResponse, Status>>,
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
        Ok(Response::new(Execution { id, tail_seq: 1, ..Execution::default() }))
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

    async fn get_execution(&self, _: Request<GetExecutionRequest>) -> Result<Response<Execution>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn list_executions(
        &self,
        _: Request<ListExecutionsRequest>,
    ) -> Result<Response<ListExecutionsResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn delete_execution(
        &self,
        _: Request<DeleteExecutionRequest>,
    ) -> Result<Response<DeleteExecutionResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
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
    let server =
        tonic::transport::Server::builder().add_service(ExecutionLogServiceServer::new(scripted.clone()));
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

fn watch(streams: Vec<Vec<Result<Body, Status>>>, args: &[&str]) -> (Done, Vec<WatchRequest>) {
    let script = Script { watches: streams.into(), ..Script::default() };
    let (done, script) = play(script, &[&["watch", "e1", "-o", "json"], args].concat());
    (done, script.watched)
}

#[test]
fn an_event_that_comes_twice_is_shown_once_and_reported() {
    for wrong in [vec![3], vec![2], vec![1, 2, 3], vec![0]] {
        let (done, _) = watch(vec![vec![hello(), events(&[1, 2, 3]), events(&wrong), end()]], &[]);
        assert_eq!((done.code, seqs(&done.json())), (Some(5), vec![1, 2, 3]), "{wrong:?}");
        assert!(done.stderr.contains("out of order"), "{}", done.stderr);
    }
}

#[test]
fn an_event_that_is_missing_is_reported_and_nothing_after_it_is_shown() {
    let (done, _) = watch(vec![vec![hello(), events(&[1, 2]), events(&[4, 5]), end()]], &[]);
    assert_eq!((done.code, seqs(&done.json())), (Some(5), vec![1, 2]));
    // Also across a reconnect.
    let (done, _) = watch(vec![vec![hello(), events(&[1, 2])], vec![hello(), events(&[4]), end()]], &[]);
    assert_eq!((done.code, seqs(&done.json())), (Some(5), vec![1, 2]));
}

#[test]
fn a_stream_without_its_end_is_resumed_at_its_cursor() {
    let broken = Err(Status::internal("h2 protocol error"));
    let leaving = Err(refused(Code::Unavailable, "SHUTTING_DOWN", None));
    let streams = vec![
        vec![hello(), events(&[1])],
        vec![hello(), events(&[2, 3]), broken],
        vec![hello(), leaving],
        vec![hello(), events(&[4]), end()],
    ];
    let (done, watched) = watch(streams, &[]);
    assert_eq!((done.code, seqs(&done.json())), (Some(0), vec![1, 2, 3, 4]), "{}", done.stderr);
    let starts: Vec<_> = watched.iter().map(|request| request.start).collect();
    assert_eq!(starts, [None, Some(Start::AfterSeq(1)), Some(Start::AfterSeq(3)), Some(Start::AfterSeq(3))]);
    assert!(watched[1..].iter().all(|request| request.store_id == "store" && request.log_id == "log"));
}

#[test]
fn under_a_filter_a_heartbeat_moves_the_cursor() {
    let heartbeat = Ok(Body::Heartbeat(Heartbeat { seq: 40, ..Heartbeat::default() }));
    let streams = vec![vec![hello(), events(&[7]), heartbeat], vec![hello(), events(&[41, 50]), end()]];
    let (done, watched) = watch(streams, &["--types", "output"]);
    assert_eq!((done.code, seqs(&done.json())), (Some(0), vec![7, 41, 50]), "{}", done.stderr);
    assert_eq!(watched[1].start, Some(Start::AfterSeq(40)));
}

#[test]
fn a_daemon_that_has_too_many_watchers_is_asked_again() {
    let full = Err(refused(Code::ResourceExhausted, "TOO_MANY_WATCHERS", Some(Duration::from_millis(50))));
    let (done, watched) = watch(vec![vec![full], vec![hello(), events(&[1]), end()]], &[]);
    assert_eq!((done.code, watched.len()), (Some(0), 2), "{}", done.stderr);
}

#[test]
fn a_daemon_that_never_lets_a_watch_in_is_told_from_one_that_is_not_there() {
    let full =
        || vec![Err(refused(Code::ResourceExhausted, "TOO_MANY_WATCHERS", Some(Duration::from_millis(50))))];
    let streams = std::iter::repeat_with(full).take(100).collect();
    let (done, watched) = watch(streams, &["--reconnect-for", "400ms"]);
    assert_eq!(done.code, Some(5), "{}", done.stderr);
    assert!(watched.len() > 1, "it is asked again");
    let (_, last) = done.stderr.split_once("error: ").expect("it fails");
    assert!(last.contains("TOO_MANY_WATCHERS") && !last.contains("cannot reach"), "{last}");
}

#[test]
fn what_can_never_work_is_not_tried_again() {
    for (code, reason, exit) in [
        (Code::FailedPrecondition, "LOG_REPLACED", 5),
        (Code::OutOfRange, "CURSOR_AHEAD", 5),
        (Code::DataLoss, "CORRUPT_RECORD", 5),
        (Code::InvalidArgument, "INVALID_FIELD", 2),
    ] {
        let (done, watched) = watch(vec![vec![Err(refused(code, reason, None))]], &[]);
        assert_eq!((done.code, watched.len()), (Some(exit), 1), "{reason}");
        assert!(done.stderr.contains(reason), "{}", done.stderr);
    }
}

#[test]
fn an_append_whose_outcome_is_unknown_is_repeated_under_its_number() {
    let unknown = || Err(refused(Code::Unavailable, "OUTCOME_UNKNOWN", Some(Duration::from_millis(10))));
    let written = Ok(AppendResponse { first_seq: 2, last_seq: 2, tail_seq: 2, ..AppendResponse::default() });
    let script = Script { appends: VecDeque::from([unknown(), unknown(), written]), ..Script::default() };
    let (done, script) = play(script, &["append", "e1", "--type", "t", "--data", "d"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(script.appended.len(), 3);
    assert!(script.appended.iter().all(|request| request == &script.appended[0]));
    assert!(script.appended[0].producer.is_some());
}

#[test]
fn an_append_that_breaks_off_says_that_its_outcome_is_unknown() {
    let broken = Err(Status::internal("h2 protocol error"));
    let script = Script { appends: VecDeque::from([broken]), ..Script::default() };
    let (done, _) = play(script, &["append", "e1", "--type", "t", "--data", "d"]);
    assert_eq!(done.code, Some(5), "{}", done.stderr);
    assert!(done.stderr.contains("unknown") && done.stderr.contains("twice"), "{}", done.stderr);
    assert!(!done.stderr.contains("cannot reach"), "{}", done.stderr);
}

#[test]
fn an_append_that_fails_in_the_middle_says_how_far_it_came() {
    let written = Ok(AppendResponse { last_seq: 77, ..AppendResponse::default() });
    let ended = Err(refused(Code::FailedPrecondition, "EXECUTION_ENDED", None));
    let script = Script { appends: VecDeque::from([written, ended]), ..Script::default() };
    let lines = "{\"custom\":{\"type\":\"n\",\"data\":\"1\"}}\n".repeat(1_500);
    let (done, script) = play_with(script, &["append", "e1"], lines.as_bytes());
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    let told = format!("{} events were appended before; the last is seq 77", script.appended[0].events.len());
    assert!(done.stderr.contains(&told), "{}", done.stderr);
    assert!(done.stderr.contains("EXECUTION_ENDED"), "{}", done.stderr);
}

#[test]
fn a_run_that_is_refused_goes_on_unrecorded() {
    let fenced = Err(refused(Code::PermissionDenied, "PRODUCER_FENCED", None));
    let script = Script { appends: VecDeque::from([fenced]), ..Script::default() };
    let (done, script) = play(script, &["run", "--", "sh", "-c", "echo out; exit 9"]);
    assert_eq!((done.code, done.text()), (Some(9), "out\n"));
    assert!(done.stderr.contains("recording has stopped"), "{}", done.stderr);
    assert_eq!(script.appended.len(), 1, "it does not knock again");
}

#[test]
fn the_batches_of_a_run_are_numbered_without_a_hole_and_repeated_as_they_were() {
    let busy = || Err(refused(Code::ResourceExhausted, "DISK_FULL", Some(Duration::from_millis(10))));
    let appends = VecDeque::from([busy(), Ok(AppendResponse::default()), busy(), busy()]);
    let script = Script { appends, ..Script::default() };
    let (done, script) =
        play(script, &["run", "--", "sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.02; done"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let mut batches: Vec<AppendRequest> = Vec::new();
    for request in script.appended {
        let number = usize::try_from(request.producer.as_ref().unwrap().seq).unwrap();
        if number == batches.len() {
            batches.push(request);
        } else {
            assert_eq!(Some(&request), batches.last(), "a repeated batch is the same batch");
        }
    }
    assert!(batches.len() >= 2, "{}", batches.len());
}

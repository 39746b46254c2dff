//! Many batches in flight on one stream.

use futures_util::stream::{self, Stream};
use tapeline::proto::v1::{AppendRequest, AppendResponse, GetExecutionRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::refusal::refusal;
use super::stream::{Watch, watching};
use super::support::append::{batch, creation, custom};
use super::support::daemon::{Client, Daemon, PATIENCE};

async fn open(client: &Client, requests: Vec<AppendRequest>) -> Streaming<AppendResponse> {
    let requests = tokio_stream::iter(requests);
    client.clone().append_stream(requests).await.expect("the daemon is up").into_inner()
}

/// The first and last seqs of all replies, and the error that ended the stream.
async fn drain(mut replies: Streaming<AppendResponse>) -> (Vec<(u64, u64)>, Option<Status>) {
    let mut seqs = Vec::new();
    loop {
        match tokio::time::timeout(PATIENCE, replies.message()).await.expect("the stream hangs") {
            Ok(Some(reply)) => seqs.push((reply.first_seq, reply.last_seq)),
            Ok(None) => return (seqs, None),
            Err(status) => return (seqs, Some(status)),
        }
    }
}

async fn tail(client: &Client, id: &str) -> u64 {
    let request = GetExecutionRequest { execution_id: id.into() };
    client.clone().get_execution(request).await.expect("it exists").into_inner().tail_seq
}

#[tokio::test]
async fn many_batches_in_flight_are_written_and_answered_in_order() {
    let daemon = Daemon::start();
    let client = daemon.client();
    client.clone().create_execution(creation("one")).await.expect("new");
    let requests = (0..3_000).map(|number: u32| batch("one", vec![custom(number.to_string()), custom("x")]));
    let (seqs, error) = drain(open(&client, requests.collect()).await).await;
    assert!(error.is_none(), "{error:?}");
    let expected: Vec<(u64, u64)> = (0..3_000).map(|number| (2 * number + 2, 2 * number + 3)).collect();
    assert_eq!(seqs, expected);
}

#[tokio::test]
async fn the_first_batch_that_fails_ends_the_stream_and_no_later_one_is_written() {
    let daemon = Daemon::start();
    let client = daemon.client();
    client.clone().create_execution(creation("one")).await.expect("new");
    let mut requests: Vec<_> = (0..500).map(|_| batch("one", vec![custom("x")])).collect();
    requests[200].expected_last_seq = Some(7);
    let (seqs, error) = drain(open(&client, requests).await).await;
    assert_eq!(seqs.len(), 200);
    let refused = refusal(error.expect("it failed"), Code::Aborted, "SEQ_MISMATCH");
    refused.says([("expected", "7"), ("tail_seq", "201")]);
    assert_eq!(tail(&client, "one").await, 201);
}

#[tokio::test]
async fn valid_batches_before_an_invalid_one_are_all_written_and_answered() {
    let daemon = Daemon::start();
    let client = daemon.client();
    client.clone().create_execution(creation("one")).await.expect("new");
    let mut requests: Vec<_> = (0..300).map(|_| batch("one", vec![custom("x")])).collect();
    requests[250].events.clear();
    let (seqs, error) = drain(open(&client, requests).await).await;
    assert_eq!(seqs.len(), 250);
    let refused = refusal(error.expect("it failed"), Code::InvalidArgument, "INVALID_FIELD");
    assert_eq!(refused.field(), "events");
    assert_eq!(tail(&client, "one").await, 251);
}

#[tokio::test]
async fn a_stream_that_fails_leaves_other_streams_alone() {
    let daemon = Daemon::start();
    let client = daemon.client();
    client.clone().create_execution(creation("one")).await.expect("new");
    let (sender, receiver) = mpsc::channel(8);
    let requests = ReceiverStream::new(receiver);
    let mut good = client.clone().append_stream(requests).await.expect("the daemon is up").into_inner();
    let (seqs, error) = drain(open(&client, vec![batch("unknown", vec![custom("x")])]).await).await;
    assert!(seqs.is_empty());
    refusal(error.expect("it failed"), Code::NotFound, "EXECUTION_NOT_FOUND")
        .says([("execution_id", "unknown")]);
    sender.send(batch("one", vec![custom("x")])).await.expect("it is read");
    let reply = good.message().await.expect("no error").expect("a reply");
    assert_eq!(reply.last_seq, 2);
    drop(sender);
    assert_eq!(good.message().await.expect("no error"), None, "it ends with the requests");
}

#[tokio::test]
async fn an_idle_stream_is_told_that_the_daemon_is_shutting_down() {
    let mut daemon = Daemon::start();
    let client = daemon.client();
    client.clone().create_execution(creation("one")).await.expect("new");
    let (sender, receiver) = mpsc::channel(8);
    let requests = ReceiverStream::new(receiver);
    let mut replies = client.clone().append_stream(requests).await.expect("the daemon is up").into_inner();
    sender.send(batch("one", vec![custom("x")])).await.expect("it is read");
    assert_eq!(replies.message().await.expect("no error").expect("a reply").last_seq, 2);
    // The client's connection is driven while the daemon is waited for.
    let told = tokio::spawn(async move { drain(replies).await });
    let (status, took) = tokio::task::spawn_blocking(move || daemon.terminate()).await.expect("no panic");
    assert!(status.success(), "{status}");
    assert!(took.as_secs() < 5, "{took:?}");
    let (seqs, error) = told.await.expect("no panic");
    assert!(seqs.is_empty());
    refusal(error.expect("told"), Code::Unavailable, "SHUTTING_DOWN").says([]);
    drop(sender);
}

/// A writer that does not get on lets small messages wait in the connection. HTTP/2's bound on them is
/// for the whole connection, so a stream must be stopped by its own window before that: the library
/// would close the connection, and with it every other stream on it.
#[tokio::test]
async fn a_stream_of_small_batches_that_waits_for_the_writer_does_not_cost_its_connection() {
    const BATCHES: u64 = 12_000;
    let daemon = Daemon::start_faulty();
    let client = daemon.client();
    client.clone().create_execution(creation("one")).await.expect("new");
    let mut watch = Watch::open(&client, watching("one")).await.expect("there");
    watch.events_until(0, 1).await;
    daemon.script("journal sync_data delay 3000 times=1");
    // Each batch is sent in a frame of its own, as clients do that do not know the next one yet.
    let requests = async_batches(BATCHES);
    let replies = client.clone().append_stream(requests).await.expect("the daemon is up").into_inner();
    let (seqs, error) = drain(replies).await;
    assert!(error.is_none(), "{error:?} after {}", seqs.len());
    assert_eq!(seqs.last(), Some(&(BATCHES + 1, BATCHES + 1)));
    watch.events_until(1, BATCHES + 1).await;
}

fn async_batches(batches: u64) -> impl Stream<Item = AppendRequest> {
    stream::unfold(0, move |number| async move {
        tokio::task::yield_now().await;
        (number < batches).then(|| (batch("one", vec![custom("x")]), number + 1))
    })
}

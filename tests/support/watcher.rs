//! A watcher that resumes with its cursor whenever its stream breaks.

use std::time::{Duration, Instant};

use tapeline::proto::v1::watch_request::Start;
use tapeline::proto::v1::watch_response::Frame;
use tapeline::proto::v1::{WatchRequest, end};
use tonic::Status;

use super::append::is_passing;
use super::daemon::{Client, PATIENCE};
use super::log::Seen;

/// The request that goes on where `seen` ends.
pub(crate) fn resume(execution: &str, seen: &Seen) -> WatchRequest {
    WatchRequest {
        execution_id: execution.to_owned(),
        start: Some(Start::AfterSeq(seen.cursor())),
        log_id: seen.log_id.clone(),
        ..WatchRequest::default()
    }
}

/// Watches an execution to its end, however often the daemon dies meanwhile.
pub(crate) async fn watch_to_end(client: Client, execution: String) -> Seen {
    let mut seen = Seen::default();
    let mut heard = Instant::now();
    loop {
        let before = seen.cursor();
        match watch_once(client.clone(), resume(&execution, &seen), &mut seen).await {
            Ok(Some(reason)) => {
                assert_eq!(reason, end::Reason::Terminal);
                return seen;
            }
            Ok(None) => {}
            Err(status) => assert!(is_passing(&status), "{status:?}"),
        }
        if seen.cursor() > before {
            heard = Instant::now();
        }
        assert!(heard.elapsed() < PATIENCE, "nothing more comes");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Reads an execution up to its tail.
pub(crate) async fn read_to_tail(client: Client, execution: &str) -> Seen {
    let mut seen = Seen::default();
    let request = WatchRequest { stop_at_tail: true, ..resume(execution, &seen) };
    let reason = watch_once(client, request, &mut seen).await.expect("a running daemon replays");
    assert!(reason.is_some(), "a replay ends with End");
    seen
}

/// One stream, to its end or to where it breaks.
pub(crate) async fn watch_once(
    mut client: Client,
    request: WatchRequest,
    seen: &mut Seen,
) -> Result<Option<end::Reason>, Status> {
    let mut stream = client.watch(request).await?.into_inner();
    while let Some(response) = stream.message().await? {
        match response.frame {
            Some(Frame::Hello(hello)) => seen.log_id = hello.log_id,
            Some(Frame::Events(batch)) => batch.events.into_iter().for_each(|event| seen.take(event)),
            Some(Frame::CaughtUp(caught_up)) => assert_eq!(caught_up.seq, seen.cursor()),
            Some(Frame::Heartbeat(heartbeat)) => assert_eq!(heartbeat.seq, seen.cursor()),
            Some(Frame::FellBehind(fell_behind)) => assert_eq!(fell_behind.seq, seen.cursor()),
            Some(Frame::End(end)) => {
                assert_eq!(end.seq, seen.cursor());
                return Ok(Some(end.reason()));
            }
            Some(Frame::Gap(gap)) => panic!("nothing was trimmed: {gap:?}"),
            None => panic!("a frame without content"),
        }
    }
    Ok(None)
}

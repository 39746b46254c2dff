//! The body of the fuzz target `watch_request`: any bytes as a request to watch, against logs that are
//! known. It panics if an answer is not what the log says. `fuzz/` feeds it for as long as one likes;
//! an ordinary test replays the corpus. Never part of a release.

mod fixture;
mod oracle;

use std::sync::OnceLock;
use std::time::Duration;

use futures_util::StreamExt;
use prost::Message;

use crate::proto::v1::watch_response::Frame;
use crate::proto::v1::{WatchAllRequest, WatchRequest, WatchResponse};
use crate::watch::{WatchError, WatchStream};
use fixture::{Fixture, IDS};
use oracle::Seen;

/// How long an answer may take before it counts as a wait.
const DEADLINE: Duration = Duration::from_secs(60);

/// Watches as the input asks: an execution of its own choice, one that exists, and all of them.
pub fn watch_request(input: &[u8]) {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    let fixture = FIXTURE.get_or_init(Fixture::new);
    if let Ok(mut request) = WatchRequest::decode(input) {
        watch_one(fixture, request.clone());
        request.execution_id = IDS[input.len() % IDS.len()].to_owned();
        request.store_id.clear();
        request.log_id.clear();
        watch_one(fixture, request);
    }
    if let Ok(request) = WatchAllRequest::decode(input) {
        let answer = fixture
            .block_on(async { see(fixture.watches.watch_all(request.clone(), None).await, false).await });
        oracle::check_all(fixture, &request, answer);
    }
}

fn watch_one(fixture: &Fixture, request: WatchRequest) {
    let log = fixture.logs.iter().find(|log| log.id == request.execution_id);
    let ends = request.stop_at_tail || log.is_some_and(|log| log.ended);
    let answer =
        fixture.block_on(async { see(fixture.watches.watch(request.clone(), None).await, ends).await });
    if let Some(log) = log {
        oracle::check_one(log, &request, answer);
    } else if let Ok(seen) = answer {
        assert!(request.wait_for_create && seen.events.is_empty(), "a log that is not there was watched");
    }
}

/// Takes frames to the end of the watch, or, if it has none, until it waits for what is to come.
async fn see(watch: Result<WatchStream, WatchError>, ends: bool) -> Result<Seen, WatchError> {
    let mut stream = watch?;
    let mut seen = Seen::default();
    let mut first = true;
    while let Some(frame) = tokio::time::timeout(DEADLINE, stream.next()).await.expect("a watch answers") {
        let frame = WatchResponse::decode(frame?).expect("a frame is a message");
        let frame = frame.frame.expect("a frame says something");
        match (first, &frame) {
            (true, Frame::Hello(hello)) if hello.log_id.is_empty() && hello.tail_seq == 0 => return Ok(seen),
            (true, Frame::Hello(_)) => {}
            _ => assert!(!first, "the first frame is {frame:?}"),
        }
        first = false;
        if seen.take(frame, ends) {
            return Ok(seen);
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests;

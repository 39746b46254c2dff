//! A watch as a test reads it: frame by frame, with a deadline, every seq looked at.

use std::time::{Duration, Instant};

use tapeline::proto::v1::watch_response::Frame;
use tapeline::proto::v1::{End, Hello, WatchAllRequest, WatchRequest, WatchResponse};
use tonic::{Status, Streaming};

use super::support::daemon::{Client, PATIENCE};

/// An open watch.
pub(crate) struct Watch {
    stream: Streaming<WatchResponse>,
    /// Its first frame.
    pub(crate) hello: Hello,
}

/// A request for a watch that says nothing but the execution.
pub(crate) fn watching(execution: &str) -> WatchRequest {
    WatchRequest { execution_id: execution.to_owned(), ..WatchRequest::default() }
}

impl Watch {
    /// Opens a watch of one execution.
    pub(crate) async fn open(client: &Client, request: WatchRequest) -> Result<Self, Status> {
        Self::of(client.clone().watch(request).await?.into_inner()).await
    }

    /// Opens a watch of all executions.
    pub(crate) async fn open_all(client: &Client, request: WatchAllRequest) -> Result<Self, Status> {
        Self::of(client.clone().watch_all(request).await?.into_inner()).await
    }

    async fn of(stream: Streaming<WatchResponse>) -> Result<Self, Status> {
        let mut watch = Self { stream, hello: Hello::default() };
        match watch.try_next().await?.expect("a watch begins with a frame") {
            Frame::Hello(hello) => watch.hello = hello,
            other => panic!("the first frame is {other:?}"),
        }
        Ok(watch)
    }

    /// The next frame; `None` when the stream has closed with OK.
    pub(crate) async fn try_next(&mut self) -> Result<Option<Frame>, Status> {
        let response =
            tokio::time::timeout(PATIENCE, self.stream.message()).await.expect("the watch hangs")?;
        Ok(response.map(|response| response.frame.expect("a frame has content")))
    }

    /// The next frame of a stream that goes on.
    pub(crate) async fn next(&mut self) -> Frame {
        self.try_next().await.expect("no error").expect("it goes on")
    }

    /// The rest of the frames, in words, up to the end of the stream, which must be OK.
    pub(crate) async fn rest(&mut self) -> Vec<String> {
        let mut said = Words::default();
        while let Some(frame) = self.try_next().await.expect("it ends with OK") {
            said.add(&frame);
        }
        said.0
    }

    /// Frames in words up to the one that says that the tail is reached; heartbeats are left out.
    pub(crate) async fn until_caught_up(&mut self) -> Vec<String> {
        let mut said = Words::default();
        loop {
            let frame = self.next().await;
            said.add(&frame);
            if matches!(frame, Frame::CaughtUp(_)) {
                return said.0;
            }
        }
    }

    /// Seqs of events up to this one, all of which must follow each other.
    pub(crate) async fn events_until(&mut self, after: u64, last: u64) {
        let mut cursor = after;
        while cursor < last {
            match self.next().await {
                Frame::Events(batch) => {
                    for event in batch.events {
                        assert_eq!(event.seq, cursor + 1, "an event is missing, doubled or out of order");
                        cursor = event.seq;
                    }
                }
                Frame::CaughtUp(_) | Frame::Heartbeat(_) | Frame::FellBehind(_) => {}
                other => panic!("unexpected: {other:?}"),
            }
        }
    }

    /// The error that ends the stream.
    pub(crate) async fn error(&mut self) -> Status {
        loop {
            match self.try_next().await {
                Err(status) => return status,
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream closed with OK"),
            }
        }
    }
}

/// Frames in words; runs of events are joined, heartbeats are left out.
#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn add(&mut self, frame: &Frame) {
        let said = match frame {
            Frame::Hello(hello) => format!("hello {}..={}", hello.floor_seq, hello.tail_seq),
            Frame::Events(batch) => {
                let seqs = batch
                    .events
                    .iter()
                    .map(|event| if event.execution_id.is_empty() { event.seq } else { event.position });
                seqs.for_each(|seq| self.event(seq));
                return;
            }
            Frame::CaughtUp(caught_up) => format!("caught up {}", caught_up.seq),
            Frame::FellBehind(fell_behind) => format!("fell behind {}", fell_behind.seq),
            Frame::Heartbeat(_) => return,
            Frame::Gap(gap) => format!("gap {}..={}", gap.from_seq, gap.to_seq),
            Frame::End(end) => format!("end {} {} {}", reason(end), end.seq, end.phase().as_str_name()),
        };
        self.0.push(said);
    }

    fn event(&mut self, seq: u64) {
        match self.0.last_mut().filter(|last| last.starts_with("events ")) {
            Some(last) => *last = format!("{last},{seq}"),
            None => self.0.push(format!("events {seq}")),
        }
    }
}

fn reason(end: &End) -> &'static str {
    end.reason().as_str_name()
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

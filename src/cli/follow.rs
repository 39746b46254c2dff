//! A watch that outlives its connection. It keeps the cursor, resumes after whatever ends a stream
//! without `End`, and checks the order of the log itself: what it hands out is every event once.

use std::time::Duration;

use tokio::time::Instant;
use tonic::{Status, Streaming};

use super::client::{Client, root_cause};
use super::cursor::Cursor;
use super::exit::CliError;
use super::explain::Refusal;
use super::limits::{CALL_MAX, FIRST_CONNECT_MAX, HEARTBEAT_EVERY, RECONNECT_MAX, SILENCE_MAX};
use super::patience::Pauses;
use crate::proto::v1::watch_request::Start;
use crate::proto::v1::watch_response::Frame;
use crate::proto::v1::{End, Event, Gap, Hello, WatchRequest, WatchResponse};

/// What a watch has to say next.
#[derive(Debug)]
pub(crate) enum Step {
    /// The stream has begun; again after each reconnect, and when an execution that was waited for exists.
    Connected {
        /// The first event that is kept; 0 while there is no execution.
        floor_seq: u64,
        /// The last one there is.
        tail_seq: u64,
    },
    /// Events, in order; never empty.
    Events(Vec<Event>),
    /// All events there are were handed out.
    CaughtUp,
    /// The daemon reads from disk for this watcher, because it was slow; nothing is lost.
    FellBehind,
    /// Events that are no longer kept.
    Gap(Gap),
    /// The connection is gone and is made again; why it went.
    Reconnecting(String),
    /// Nothing will follow.
    End(End),
}

/// A watch of one execution, over as many connections as it takes.
pub(crate) struct Follow {
    client: Client,
    request: WatchRequest,
    stream: Option<Streaming<WatchResponse>>,
    place: Place,
    pauses: Pauses,
    /// Since when a stream that gets on, with a frame other than the greeting, is tried for; `None` while
    /// there is one.
    trying_since: Option<Instant>,
    reconnect_max: Duration,
}

/// Where the watch stands.
#[derive(Debug, Default)]
struct Place {
    store_id: String,
    log_id: String,
    /// The seq up to which everything was handed out; `None` while the first event may be any.
    seq: Option<u64>,
    /// Whether a greeting has come at least once.
    greeted: bool,
    /// Whether a filter may leave out seqs.
    filtered: bool,
}

impl Follow {
    /// A watch as `request` asks for it; the heartbeat is added here.
    pub(crate) fn new(client: Client, mut request: WatchRequest) -> Self {
        request.heartbeat_interval = prost_types::Duration::try_from(HEARTBEAT_EVERY).ok();
        let place = Place {
            store_id: request.store_id.clone(),
            log_id: request.log_id.clone(),
            seq: match request.start {
                Some(Start::AfterSeq(seq)) => Some(seq),
                _ => None,
            },
            greeted: false,
            filtered: !request.event_types.is_empty(),
        };
        Self {
            client,
            request,
            stream: None,
            place,
            pauses: Pauses::default(),
            trying_since: Some(Instant::now()),
            reconnect_max: RECONNECT_MAX,
        }
    }

    /// The same, but giving up after this long without success.
    pub(crate) fn reconnect_max(mut self, reconnect_max: Duration) -> Self {
        self.reconnect_max = reconnect_max;
        self
    }

    /// The cursor after all that was handed out; `None` until the log is known and something was.
    pub(crate) fn cursor(&self) -> Option<Cursor> {
        let seq = self.place.seq.filter(|_| !self.place.log_id.is_empty())?;
        Some(Cursor { store_id: self.place.store_id.clone(), log_id: self.place.log_id.clone(), seq })
    }

    /// What comes next. After [`Step::End`] or an error there is nothing more to ask for. Giving it up
    /// while it waits loses nothing: what it has taken from the stream, it hands out at once.
    ///
    /// # Errors
    /// What the daemon refuses for good; [`CliError::Lost`] and [`CliError::Unreachable`] when it stays
    /// away; [`CliError::OutOfOrder`].
    pub(crate) async fn next(&mut self) -> Result<Step, CliError> {
        loop {
            let Some(stream) = &mut self.stream else {
                match self.open().await {
                    Ok(stream) => self.stream = Some(stream),
                    Err(status) => return self.broken(status).await,
                }
                continue;
            };
            let frame = match tokio::time::timeout(SILENCE_MAX, stream.message()).await {
                Ok(Ok(Some(response))) => response.frame,
                Ok(Ok(None)) => {
                    return self.broken(Status::unavailable("the stream ended without its end")).await;
                }
                Ok(Err(status)) => return self.broken(status).await,
                Err(_) => return self.broken(Status::unavailable("the daemon has fallen silent")).await,
            };
            // A frame that this version does not know is skipped.
            let Some(frame) = frame else { continue };
            if let Some(step) = self.take(frame)? {
                return Ok(step);
            }
        }
    }

    async fn open(&mut self) -> Result<Streaming<WatchResponse>, Status> {
        self.place.resume(&mut self.request);
        let mut log = self.client.log();
        let opening = tokio::time::timeout(CALL_MAX, log.watch(self.request.clone()));
        let response = opening.await.map_err(|_| Status::unavailable("the daemon does not answer"))??;
        Ok(response.into_inner())
    }

    /// Handles one frame; `None` if there is nothing to say about it.
    fn take(&mut self, frame: Frame) -> Result<Option<Step>, CliError> {
        if !matches!(frame, Frame::Hello(_)) {
            self.trying_since = None;
            self.pauses.reset();
        }
        Ok(match frame {
            Frame::Hello(hello) => {
                self.place.greet(&hello, &self.request);
                Some(Step::Connected { floor_seq: hello.floor_seq, tail_seq: hello.tail_seq })
            }
            Frame::Events(batch) => {
                self.place.pass(&batch.events)?;
                (!batch.events.is_empty()).then_some(Step::Events(batch.events))
            }
            Frame::Gap(gap) => {
                self.place.reach(gap.to_seq);
                Some(Step::Gap(gap))
            }
            Frame::CaughtUp(caught_up) => {
                self.place.reach(caught_up.seq);
                Some(Step::CaughtUp)
            }
            Frame::FellBehind(behind) => {
                self.place.reach(behind.seq);
                Some(Step::FellBehind)
            }
            Frame::Heartbeat(heartbeat) => {
                self.place.reach(heartbeat.seq);
                None
            }
            Frame::End(end) => Some(Step::End(end)),
        })
    }

    /// The stream failed: waits and says so, or gives up.
    async fn broken(&mut self, status: Status) -> Result<Step, CliError> {
        self.stream = None;
        let why = root_cause(&status);
        let refusal = Refusal::from(status);
        if !refusal.is_passing() {
            return Err(CliError::Watch(Box::new(refusal)));
        }
        let why = if refusal.is_connection() { why } else { refusal.to_string() };
        let tried = self.trying_since.get_or_insert_with(Instant::now).elapsed();
        let left = self.patience().saturating_sub(tried);
        let Some(pause) = self.pauses.next(refusal.retry_after.unwrap_or_default(), left) else {
            return Err(self.given_up(tried, refusal, why));
        };
        tokio::time::sleep(pause).await;
        Ok(Step::Reconnecting(why))
    }

    /// How long a stream is tried for; the last attempt is made at the end of it.
    fn patience(&self) -> Duration {
        if self.place.greeted { self.reconnect_max } else { self.reconnect_max.min(FIRST_CONNECT_MAX) }
    }

    fn given_up(&self, tried: Duration, refusal: Refusal, why: String) -> CliError {
        if self.place.greeted {
            CliError::Lost { after: tried, why }
        } else if !refusal.is_connection() {
            // The daemon is there, and has said why it does not let us in.
            CliError::Watch(Box::new(refusal))
        } else {
            CliError::Unreachable { addr: self.client.addr().to_owned(), why }
        }
    }
}

impl Place {
    /// Makes the request one that goes on from here.
    fn resume(&self, request: &mut WatchRequest) {
        // A watch that waits for an execution to be created has seen nothing of any store.
        if !self.greeted || self.log_id.is_empty() {
            return;
        }
        request.store_id.clone_from(&self.store_id);
        request.log_id.clone_from(&self.log_id);
        request.wait_for_create = false;
        if let Some(seq) = self.seq {
            request.start = Some(Start::AfterSeq(seq));
        }
    }

    /// The log as the daemon says it is; it has compared the ids itself.
    fn greet(&mut self, hello: &Hello, request: &WatchRequest) {
        self.greeted = true;
        self.store_id.clone_from(&hello.store_id);
        self.log_id.clone_from(&hello.log_id);
        // What is committed from now on: after this, nothing may be missed, also if the stream breaks
        // before the first event.
        if matches!(request.start, Some(Start::Live(_))) && self.seq.is_none() && !hello.log_id.is_empty() {
            self.seq = Some(hello.tail_seq);
        }
    }

    /// All events up to this seq were handed out, or are known to be gone.
    fn reach(&mut self, seq: u64) {
        self.seq = Some(self.seq.map_or(seq, |before| before.max(seq)));
    }

    /// Moves over these events; an error if one is missing or comes twice.
    fn pass(&mut self, events: &[Event]) -> Result<(), CliError> {
        for event in events {
            if let Some(after) = self.seq {
                let next = after.saturating_add(1);
                let in_order = event.seq == next || (self.filtered && event.seq > next);
                if !in_order {
                    return Err(CliError::OutOfOrder { after, got: event.seq });
                }
            }
            self.seq = Some(event.seq);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

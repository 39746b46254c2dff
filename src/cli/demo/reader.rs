//! The watchers of the demo, and what they received: the bytes of every event, in the order in which
//! they came.

use prost::Message;
use tokio::sync::oneshot;

use super::{ID, Remarks};
use crate::cli::client::Client;
use crate::cli::exit::CliError;
use crate::cli::follow::{Follow, Step};
use crate::proto::v1::watch_request::Start;
use crate::proto::v1::{Event, WatchRequest};

/// Events after which watcher B is cut off.
const CUT_AFTER_EVENTS: usize = 20;

/// What one watcher received.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    bytes: Vec<Vec<u8>>,
    /// The seq after which it was cut off; 0 if it was not.
    pub(super) cut_after: u64,
    /// Whether it had to connect again.
    pub(super) reconnected: bool,
}

impl Transcript {
    /// Adds what came.
    pub(super) fn add(&mut self, events: &[Event]) {
        self.bytes.extend(events.iter().map(Message::encode_to_vec));
    }

    /// How many events came.
    pub(super) fn events(&self) -> usize {
        self.bytes.len()
    }

    /// A checksum over all of it.
    pub(super) fn fingerprint(&self) -> u32 {
        self.bytes.iter().fold(0, |sum, event| crc32c::crc32c_append(sum, event))
    }

    /// Whether both received the same bytes.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

/// A watch of the whole log.
pub(super) fn from_the_beginning() -> WatchRequest {
    WatchRequest { execution_id: ID.to_owned(), ..WatchRequest::default() }
}

/// Watcher B: is cut off in the middle, and goes on at its cursor when it is told to.
pub(super) async fn cut_off_and_resumed(
    client: Client,
    remarks: Remarks,
    resume: oneshot::Receiver<()>,
) -> Result<Transcript, CliError> {
    let mut transcript = Transcript::default();
    let mut follow = Follow::new(client.clone(), from_the_beginning());
    while transcript.events() < CUT_AFTER_EVENTS {
        match follow.next().await? {
            Step::Events(events) => transcript.add(&events),
            Step::End(_) => {
                return Err(CliError::NotShown("the log ended before watcher B was cut off".to_owned()));
            }
            _ => {}
        }
    }
    let cursor = follow.cursor().ok_or_else(|| CliError::NotShown("watcher B has no cursor".to_owned()))?;
    drop(follow);
    transcript.cut_after = cursor.seq;
    remark(&remarks, format!("watcher B is cut off after seq {}", cursor.seq)).await;
    // An agent that failed says so itself; the rest of the log is read all the same.
    let _ = resume.await;

    remark(&remarks, format!("watcher B comes back with its cursor, seq {}", cursor.seq)).await;
    let request = WatchRequest {
        start: Some(Start::AfterSeq(cursor.seq)),
        store_id: cursor.store_id,
        log_id: cursor.log_id,
        ..from_the_beginning()
    };
    let rest = read_to_the_end(&mut Follow::new(client, request)).await?;
    transcript.bytes.extend(rest.bytes);
    Ok(transcript)
}

/// Reads until nothing will follow.
pub(super) async fn read_to_the_end(follow: &mut Follow) -> Result<Transcript, CliError> {
    let mut transcript = Transcript::default();
    loop {
        match follow.next().await? {
            Step::Events(events) => transcript.add(&events),
            Step::End(_) => return Ok(transcript),
            _ => {}
        }
    }
}

/// Says something, if somebody still listens.
pub(super) async fn remark(remarks: &Remarks, text: String) {
    let _ = remarks.send(text).await;
}

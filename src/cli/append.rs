//! `tapeline append`: events from the command line, from JSON lines on standard input, or from the spool
//! that a `run` left behind. What is typed slowly is appended at once; what comes fast is batched.

use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use clap::Args;
use tokio::sync::mpsc;

use super::client::{AddrArgs, Client, Repeat, may_be_done, timed};
use super::exit::{CliError, Exit};
use super::json;
use super::limits::{APPEND_LINE_BYTES_MAX, APPEND_LINES_MAX, BATCH_BYTES_MAX, BATCH_EVENTS_MAX};
use super::output::{Format, Out, talk};
use super::printable::printable_line;
use super::run::spool_file::SpoolReader;
use crate::proto::v1::event::Body;
use crate::proto::v1::{AppendRequest, AppendResponse, CustomEvent, Event, Producer};
use prost::Message;

/// Append events to an execution
///
/// Without --type, reads one JSON object a line from standard input, such as
/// {"message_text_appended":{"index":0,"text":"more"}}; what `watch -o json` prints can be read.
///
/// Each call is a producer of its own: what is appended by a second one stands twice in the log, unless
/// --expect says where it belongs.
#[derive(Debug, Args)]
pub(crate) struct AppendArgs {
    /// The execution
    #[arg(required_unless_present = "spool")]
    id: Option<String>,
    /// Append one event of this kind: a kind of the wire, with --data its JSON, or a type of your own
    #[arg(long = "type", value_name = "TYPE", requires = "data")]
    kind: Option<String>,
    /// The content of the event
    #[arg(long, value_name = "DATA", requires = "kind", allow_hyphen_values = true)]
    data: Option<String>,
    /// The media type of the content, for a type of your own
    #[arg(long, value_name = "TYPE", requires = "kind", default_value = "", hide_default_value = true)]
    content_type: String,
    /// Append only if this is the last event of the log
    #[arg(long, value_name = "SEQ")]
    expect: Option<u64>,
    /// Deliver what a `run` could not deliver, then remove the file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["id", "kind", "expect"])]
    spool: Option<PathBuf>,
    /// How to show what was written
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    addr: AddrArgs,
}

/// Appends.
pub(crate) async fn run(args: AppendArgs) -> Result<Exit, CliError> {
    let client = Client::new(&args.addr)?;
    if let Some(path) = args.spool {
        return deliver(&client, &path).await;
    }
    let id = args.id.unwrap_or_default();
    let mut appending = Appending::new(client, id, args.expect, args.output);
    match (args.kind, args.data) {
        (Some(kind), Some(data)) => {
            appending.append(vec![one_event(&kind, data, args.content_type)?]).await?
        }
        _ => appending.append_lines().await?,
    }
    appending.finish()
}

/// One event, as the command line gives it.
fn one_event(kind: &str, data: String, content_type: String) -> Result<Event, CliError> {
    if json::body_names().iter().any(|name| name == kind) {
        return json::event_of(&format!("{{\"{kind}\":{data}}}"));
    }
    let custom = CustomEvent {
        r#type: kind.to_owned(),
        content_type,
        data: Bytes::from(data),
        ..CustomEvent::default()
    };
    Ok(Event { body: Some(Body::Custom(custom)), ..Event::default() })
}

/// One producer's appends to one execution.
struct Appending {
    client: Client,
    request: AppendRequest,
    /// Batches that were written.
    batches: u64,
    /// Events that were written.
    events: usize,
    last: AppendResponse,
    format: Format,
    out: Out,
}

impl Appending {
    fn new(client: Client, execution_id: String, expect: Option<u64>, format: Format) -> Self {
        let id = format!("append-{}", ulid::Ulid::generate().to_string().to_lowercase());
        let producer = Some(Producer { id, epoch: 1, seq: 0 });
        let request = AppendRequest { execution_id, expected_last_seq: expect, producer, events: Vec::new() };
        let (last, out) = (AppendResponse::default(), Out::new());
        Self { client, request, batches: 0, events: 0, last, format, out }
    }

    /// Appends a batch, whole or not at all.
    async fn append(&mut self, events: Vec<Event>) -> Result<(), CliError> {
        let count = events.len();
        self.request.events = events;
        // The first batch finds out whether there is a daemon; later ones wait for it.
        let repeat = if self.batches == 0 { Repeat::Always } else { Repeat::AlsoWhenLost };
        let unknown = AtomicBool::new(false);
        let call = || async {
            let answered = self.client.log().append(timed(self.request.clone())).await;
            if answered.as_ref().is_err_and(may_be_done) {
                unknown.store(true, Ordering::Relaxed);
            }
            answered
        };
        let appended = self.client.call(repeat, call).await;
        self.last = appended.map_err(|error| self.failed(error, unknown.into_inner()))?;
        self.batches += 1;
        self.events += count;
        self.request.expected_last_seq = self.request.expected_last_seq.map(|_| self.last.last_seq);
        self.request.producer.iter_mut().for_each(|producer| producer.seq += 1);
        if self.format == Format::Json {
            self.out.json(&json::value_of("AppendResponse", &self.last))?;
            self.out.flush()?;
        }
        Ok(())
    }

    /// Tells how far it came, and what is to be said of the batch that failed; one of its attempts may have
    /// come through if its outcome is `unknown`.
    fn failed(&self, error: CliError, unknown: bool) -> CliError {
        if self.events > 0 {
            talk(&format!(
                "{} events were appended before; the last is seq {}",
                self.events, self.last.last_seq
            ));
        }
        let why = match &error {
            CliError::Unreachable { why, .. } => why.clone(),
            // Any other refusal is given after duplicates were recognised: no attempt came through.
            CliError::Refused(refusal) if refusal.is_passing() => refusal.to_string(),
            _ => return error,
        };
        if !unknown {
            return error;
        }
        let (execution, events) = (self.request.execution_id.clone(), self.request.events.len());
        CliError::OutcomeUnknown { execution, events, after: self.last.last_seq, why }
    }

    /// Appends what standard input says, as it says it.
    async fn append_lines(&mut self) -> Result<(), CliError> {
        let (send, mut lines) = mpsc::channel(APPEND_LINES_MAX);
        // A thread, because a read of standard input cannot be given up.
        std::thread::spawn(move || read_lines(&send));
        let mut left = lines.recv().await;
        while let Some(first) = left.take() {
            let (batch, over) = batch_from(first, &mut lines);
            if !batch.is_empty() {
                self.append(batch).await?;
            }
            left = match over {
                Some(Err(error)) => {
                    talk(&format!("{} events were appended before the line that is wrong", self.events));
                    return Err(error);
                }
                Some(event) => Some(event),
                None => lines.recv().await,
            };
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Exit, CliError> {
        if self.format == Format::Pretty && self.events > 0 {
            let noun = if self.events == 1 { "event" } else { "events" };
            let told = format!("{} {noun} appended; the last is seq {}", self.events, self.last.last_seq);
            self.out.line(&told)?;
        }
        self.out.flush()?;
        Ok(Exit::Done)
    }
}

/// A line of standard input, read.
type Line = Result<Event, CliError>;

/// What has been read by now, as far as it fits one append; and what does not, or is wrong.
fn batch_from(first: Line, lines: &mut mpsc::Receiver<Line>) -> (Vec<Event>, Option<Line>) {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    let mut next = Some(first);
    while let Some(Ok(event)) = next {
        if !batch.is_empty() && !fits(&batch, bytes, &event) {
            return (batch, Some(Ok(event)));
        }
        bytes += event.encoded_len();
        batch.push(event);
        next = lines.try_recv().ok();
    }
    (batch, next)
}

fn fits(batch: &[Event], bytes: usize, event: &Event) -> bool {
    batch.len() < BATCH_EVENTS_MAX && bytes + event.encoded_len() <= BATCH_BYTES_MAX
}

/// Reads standard input to its end or its first wrong line.
fn read_lines(events: &mpsc::Sender<Line>) {
    let mut input = BufReader::new(io::stdin().lock());
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let event = match (&mut input).take(APPEND_LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) if line.trim_ascii().is_empty() => continue,
            Ok(_) => event_of_line(&line).map_err(|why| CliError::Usage(format!("line {number}: {why}"))),
            Err(error) => Err(CliError::local("cannot read standard input", error)),
        };
        let failed = event.is_err();
        if events.blocking_send(event).is_err() || failed {
            return;
        }
    }
}

fn event_of_line(line: &[u8]) -> Result<Event, CliError> {
    if line.len() > APPEND_LINE_BYTES_MAX {
        return Err(CliError::Usage(format!("longer than {APPEND_LINE_BYTES_MAX} bytes")));
    }
    json::event_of(str::from_utf8(line).map_err(|_| CliError::Usage("not UTF-8".to_owned()))?)
}

/// Delivers a spool, batch after batch, each one under the number it always had: what the daemon has
/// already is recognised.
async fn deliver(client: &Client, path: &std::path::Path) -> Result<Exit, CliError> {
    let mut spool = SpoolReader::open(path)?;
    let create = spool.create().clone();
    let id = printable_line(&create.execution_id).into_owned();
    client
        .call(Repeat::Always, || async { client.log().create_execution(timed(create.clone())).await })
        .await?;
    let (mut written, mut known) = (0_usize, 0_usize);
    while let Some(batch) = spool.next()? {
        let call = || async { client.log().append(timed(batch.clone())).await };
        let response = client.call(Repeat::AlsoWhenLost, call).await?;
        *(if response.duplicate { &mut known } else { &mut written }) += batch.events.len();
    }
    talk(&format!("{id}: {written} events delivered, {known} had been delivered before"));
    if spool.is_torn() {
        talk(&format!(
            "{} ends in the middle of a record; what was whole is delivered, the file stays",
            path.display()
        ));
        return Ok(Exit::Failed);
    }
    std::fs::remove_file(path)
        .map_err(|error| CliError::local(format!("cannot remove {}", path.display()), error))?;
    Ok(Exit::Done)
}

//! `tapeline watch` and `tapeline logs`: an execution's events, from where the reader wants them, across
//! lost connections. What was shown is flushed before the cursor file says so.

mod missing;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::json;

use self::missing::Missing;
use super::client::{AddrArgs, Client};
use super::cursor::{Cursor, CursorFile};
use super::exit::{CliError, Exit};
use super::follow::{Follow, Step};
use super::json;
use super::limits::{READER_LOOK_EVERY, RECONNECT_MAX};
use super::output::{Out, Paint, is_reader_gone, is_terminal, talk};
use super::pretty::{Pretty, raw};
use super::values::{duration, moment, wire_time};
use super::wait;
use crate::proto::v1::watch_request::{OnTrimmed, Start};
use crate::proto::v1::{Event, Gap, WatchRequest};

/// Show an execution's events and follow it to its end
///
/// Reconnects by itself and shows every event once. Exit codes: 0 COMPLETED, 1 FAILED, 2 usage, 3 no
/// such execution, 4 CANCELLED, 5 connection lost for good, or the cursor belongs to another log.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Show what there is and stop
    #[arg(long)]
    no_follow: bool,
    #[command(flatten)]
    what: WhatArgs,
}

/// Show an execution's events; with -f, follow it to its end as `watch` does
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Go on with what is appended from now on
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    what: WhatArgs,
}

#[derive(Debug, Args)]
struct WhatArgs {
    /// The execution
    id: String,
    /// Start after this event
    #[arg(long, value_name = "SEQ", group = "start")]
    after: Option<u64>,
    /// Start with the last N events
    #[arg(long, value_name = "N", group = "start")]
    tail: Option<u32>,
    /// Start with the events since then: 5m, or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment, group = "start", allow_hyphen_values = true)]
    since: Option<Timestamp>,
    /// Wait for an execution that does not exist yet
    #[arg(long)]
    wait_for_create: bool,
    /// Only these kinds of events, such as output,phase_changed or a custom type; * at the end matches
    /// what begins so
    #[arg(long, value_delimiter = ',', value_name = "TYPE,…")]
    types: Vec<String>,
    /// How to show them
    #[arg(short, long, value_enum, default_value_t)]
    output: WatchFormat,
    /// Remember in this file what was shown, and start there if it exists
    ///
    /// A run that is resumed shows exactly the rest. An existing file has precedence over --after,
    /// --tail and --since.
    #[arg(long, value_name = "FILE")]
    cursor_file: Option<PathBuf>,
    /// Say on standard error whether events come live or are read from disk
    #[arg(short, long)]
    verbose: bool,
    /// How long a lost connection is tried again [default: 5m]
    #[arg(long, value_parser = duration, value_name = "TIME")]
    reconnect_for: Option<Duration>,
    #[command(flatten)]
    addr: AddrArgs,
}

/// How events are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum WatchFormat {
    /// A transcript for people.
    #[default]
    Pretty,
    /// One JSON object a line, with stable names.
    Json,
    /// What was written, byte for byte; never to a terminal.
    Raw,
}

/// `tapeline watch`.
pub(crate) async fn watch(args: WatchArgs) -> Result<Exit, CliError> {
    show(args.what, !args.no_follow).await
}

/// `tapeline logs`.
pub(crate) async fn logs(args: LogsArgs) -> Result<Exit, CliError> {
    show(args.what, args.follow).await
}

async fn show(args: WhatArgs, follow: bool) -> Result<Exit, CliError> {
    if args.output == WatchFormat::Raw && is_terminal() {
        return Err(CliError::Usage(
            "-o raw would send control characters to the terminal; redirect it".to_owned(),
        ));
    }
    let mut file = args.cursor_file.clone().map(CursorFile::new);
    let request = request(&args, follow, file.as_ref())?;
    let client = Client::new(&args.addr)?;
    let missing = Missing::of(request.start);
    let mut follow = Follow::new(client, request).reconnect_max(args.reconnect_for.unwrap_or(RECONNECT_MAX));
    let mut view = View::new(args.id, args.output, args.verbose, missing);
    let shown = show_to_end(&mut follow, &mut view, file.as_mut()).await;
    let settled = file.as_mut().map_or(Ok(()), CursorFile::settle);
    shown.and_then(|exit| settled.map(|()| exit))
}

async fn show_to_end(
    follow: &mut Follow,
    view: &mut View,
    mut file: Option<&mut CursorFile>,
) -> Result<Exit, CliError> {
    loop {
        let Some(step) = next_or_gone(follow).await? else { return Ok(Exit::Done) };
        if let Some(exit) = view.step(step)? {
            return Ok(exit);
        }
        if let (Some(file), Some(cursor)) = (file.as_deref_mut(), follow.cursor()) {
            view.remember(file, &cursor)?;
        }
    }
}

/// The next step; `None` if nobody is left to read it. Nothing may come for hours, and nobody should have
/// to wait for the next event to get rid of us.
async fn next_or_gone(follow: &mut Follow) -> Result<Option<Step>, CliError> {
    let step = follow.next();
    tokio::pin!(step);
    let mut look = tokio::time::interval(READER_LOOK_EVERY);
    loop {
        tokio::select! {
            step = &mut step => return step.map(Some),
            _ = look.tick() => {
                if is_reader_gone() {
                    return Ok(None);
                }
            }
        }
    }
}

fn request(args: &WhatArgs, follow: bool, file: Option<&CursorFile>) -> Result<WatchRequest, CliError> {
    let start = args
        .after
        .map(Start::AfterSeq)
        .or(args.tail.map(Start::Tail))
        .or(args.since.map(|since| Start::Since(wire_time(since))));
    let mut request = WatchRequest {
        execution_id: args.id.clone(),
        start,
        stop_at_tail: !follow,
        wait_for_create: args.wait_for_create,
        on_trimmed: OnTrimmed::Gap as i32,
        event_types: args.types.clone(),
        ..WatchRequest::default()
    };
    if let Some(cursor) = file.map(CursorFile::read).transpose()?.flatten() {
        request.start = Some(Start::AfterSeq(cursor.seq));
        request.store_id = cursor.store_id;
        request.log_id = cursor.log_id;
    }
    Ok(request)
}

/// Shows what a watch has to say.
struct View {
    id: String,
    format: WatchFormat,
    out: Out,
    pretty: Pretty,
    /// Whether to say how the events come.
    verbose: bool,
    /// Whether the connection was lost and has not come back.
    lost: bool,
    missing: Missing,
    remembered: u64,
}

impl View {
    fn new(id: String, format: WatchFormat, verbose: bool, missing: Missing) -> Self {
        let pretty = Pretty::new(Paint::for_stdout());
        Self { id, format, out: Out::new(), pretty, verbose, lost: false, missing, remembered: 0 }
    }

    /// Shows one step, and gives it to the reader. The exit code, when it was the last.
    fn step(&mut self, step: Step) -> Result<Option<Exit>, CliError> {
        let mut exit = None;
        match step {
            Step::Connected { floor_seq, tail_seq } => self.connected(floor_seq, tail_seq)?,
            Step::CaughtUp if self.verbose => self.talk("caught up; events come live")?,
            Step::FellBehind if self.verbose => {
                self.talk("fell behind; events come from disk, none is lost")?;
            }
            Step::CaughtUp | Step::FellBehind => {}
            Step::Events(events) => self.events(&events)?,
            Step::Gap(gap) => self.gap(&gap)?,
            Step::Reconnecting(why) => {
                if !std::mem::replace(&mut self.lost, true) {
                    self.talk(&format!("connection lost ({why}); trying again"))?;
                }
            }
            Step::End(end) => {
                self.out.bytes(self.pretty.finish().as_bytes())?;
                self.out.flush()?;
                exit = Some(wait::exit_of(&self.id, &end));
            }
        }
        self.out.flush()?;
        Ok(exit)
    }

    fn connected(&mut self, floor_seq: u64, tail_seq: u64) -> Result<(), CliError> {
        if std::mem::take(&mut self.lost) {
            self.talk("connected again")?;
        }
        let told = self.missing.at_greeting(floor_seq, tail_seq);
        told.map_or(Ok(()), |told| self.talk(&told))
    }

    fn events(&mut self, events: &[Event]) -> Result<(), CliError> {
        if let Some(told) = events.first().and_then(|first| self.missing.at_event(first.seq)) {
            self.talk(&told)?;
        }
        events.iter().try_for_each(|event| self.event(event))
    }

    /// Says something that is no data. At a terminal it would stand at the end of a text that grows, so
    /// that line is ended first, and the text goes on as after anything else.
    fn talk(&mut self, text: &str) -> Result<(), CliError> {
        if self.format == WatchFormat::Pretty && is_terminal() {
            self.out.bytes(self.pretty.finish().as_bytes())?;
            self.out.flush()?;
        }
        talk(text);
        Ok(())
    }

    fn event(&mut self, event: &Event) -> Result<(), CliError> {
        match self.format {
            WatchFormat::Pretty => self.out.bytes(self.pretty.event(event).as_bytes()),
            WatchFormat::Json => self.out.json(&json::event_value(event, &self.id)),
            WatchFormat::Raw => self.out.bytes(raw(event)),
        }
    }

    fn gap(&mut self, gap: &Gap) -> Result<(), CliError> {
        let told = format!("events {} to {} are no longer kept", gap.from_seq, gap.to_seq);
        match self.format {
            WatchFormat::Pretty => self.out.bytes(self.pretty.remark(&told).as_bytes()),
            WatchFormat::Json => self.out.json(&json!({ "gap": json::value_of("Gap", gap) })),
            WatchFormat::Raw if self.missing.is_told(gap.to_seq) => Ok(()),
            WatchFormat::Raw => {
                talk(&told);
                Ok(())
            }
        }
    }

    /// Everything up to the cursor was given to the reader.
    fn remember(&mut self, file: &mut CursorFile, cursor: &Cursor) -> Result<(), CliError> {
        if self.remembered != cursor.seq {
            file.write(cursor)?;
            self.remembered = cursor.seq;
        }
        Ok(())
    }
}

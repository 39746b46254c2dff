//! `tapeline demo`: the product in a few seconds, with nothing but this binary. A daemon on a temporary
//! directory, an agent that works, and three watchers: one stays, one is cut off and comes back, one comes
//! when all is over. In between the daemon is killed. At the end all of them must have seen the same.

mod agent;
mod daemon;
mod reader;

use std::time::{Duration, Instant};

use clap::Args;
use tokio::sync::{mpsc, oneshot};

use self::daemon::DemoDaemon;
use self::reader::Transcript;
use super::client::{AddrArgs, Client, Repeat, timed};
use super::exit::{CliError, Exit};
use super::follow::{Follow, Step};
use super::output::{Out, Paint};
use super::pretty::Pretty;
use crate::proto::v1::CreateExecutionRequest;

/// The execution of the demo.
const ID: &str = "demo";
/// How long the whole demo may take. Over: something hangs, and that is a failure.
const DEMO_MAX: Duration = Duration::from_secs(60);
/// Remarks that wait to be shown. Full: the one who remarks waits.
const REMARKS_MAX: usize = 16;

/// Show what Tapeline does, in a few seconds, with nothing but this binary
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {}

/// What happens besides the events, for the person who looks on.
type Remarks = mpsc::Sender<String>;

/// Plays the demo. Exit code 0 only if all three watchers received the same, complete log.
pub(crate) async fn run(_args: DemoArgs) -> Result<Exit, CliError> {
    let began = Instant::now();
    let played = tokio::time::timeout(DEMO_MAX, play()).await;
    let shown = played
        .map_err(|_| CliError::NotShown(format!("the demo hangs after {} s", DEMO_MAX.as_secs())))??;
    shown.tell(began.elapsed())?;
    shown.check()
}

/// What the three watchers received.
struct Shown {
    stayed: Transcript,
    cut: Transcript,
    late: Transcript,
    /// Events the daemon acknowledged, the creation included.
    written: u64,
}

async fn play() -> Result<Shown, CliError> {
    let mut out = Out::new();
    let directory = tempfile::tempdir().map_err(|error| CliError::local("cannot make a directory", error))?;
    let daemon = DemoDaemon::start(directory.path()).await?;
    let client = Client::new(&AddrArgs::at(&daemon.url()))?;
    let create = CreateExecutionRequest {
        execution_id: ID.to_owned(),
        display_name: "Fix the failing test".to_owned(),
        ..CreateExecutionRequest::default()
    };
    let call = || async { client.log().create_execution(timed(create.clone())).await };
    client.call(Repeat::Always, call).await?;
    out.line("A daemon keeps the log in a temporary directory. An agent works, you are watcher A:\n")?;
    out.flush()?;

    let (remarks, mut heard) = mpsc::channel(REMARKS_MAX);
    let (resume, resumed) = oneshot::channel();
    let cut = tokio::spawn(reader::cut_off_and_resumed(client.clone(), remarks.clone(), resumed));
    let agent = tokio::spawn(agent::work(client.clone(), daemon, remarks, resume));
    // The first one that fails ends the demo; the others would wait for it.
    let (stayed, (written, daemon), cut) = tokio::try_join!(
        watch_and_show(&client, &mut out, &mut heard),
        async { joined(agent.await) },
        async { joined(cut.await) },
    )?;
    let late = reader::read_to_the_end(&mut Follow::new(client, reader::from_the_beginning())).await?;
    daemon.stop().await;
    Ok(Shown { stayed, cut, late, written })
}

/// Watcher A: shows every event as it comes, and what is remarked meanwhile.
async fn watch_and_show(
    client: &Client,
    out: &mut Out,
    heard: &mut mpsc::Receiver<String>,
) -> Result<Transcript, CliError> {
    let mut follow = Follow::new(client.clone(), reader::from_the_beginning());
    let (mut pretty, mut transcript) = (Pretty::new(Paint::for_stdout()), Transcript::default());
    loop {
        let text = tokio::select! {
            Some(remark) = heard.recv() => pretty.remark(&remark),
            step = follow.next() => match step? {
                Step::Events(events) => {
                    transcript.add(&events);
                    events.iter().map(|event| pretty.event(event)).collect()
                }
                Step::Reconnecting(_) if !transcript.reconnected => {
                    transcript.reconnected = true;
                    pretty.remark("watcher A has lost its connection and tries again")
                }
                Step::End(_) => {
                    out.line(&pretty.finish())?;
                    out.flush()?;
                    return Ok(transcript);
                }
                _ => String::new(),
            },
        };
        out.bytes(text.as_bytes())?;
        out.flush()?;
    }
}

impl Shown {
    fn tell(&self, took: Duration) -> Result<(), CliError> {
        let (mut out, paint) = (Out::new(), Paint::for_stdout());
        let row = |name: &str, what: &str, transcript: &Transcript| {
            format!(
                "  watcher {name}  {what:<58} {} events  {:08x}",
                transcript.events(),
                transcript.fingerprint()
            )
        };
        let cut = format!("was cut off after seq {}, and resumed at its cursor", self.cut.cut_after);
        let lines = [
            paint.bold("What you saw"),
            format!(
                "  {} events, each one on disk before anybody saw it; the daemon was killed in between",
                self.written
            ),
            row("A", "was there all the time, and reconnected by itself", &self.stayed),
            row("B", &cut, &self.cut),
            row("C", "came when all was over", &self.late),
            match self.check() {
                Ok(_) => {
                    paint.good(&format!("  All three received the same bytes. ({:.1} s)", took.as_secs_f32()))
                }
                Err(error) => paint.bad(&format!("  {error}")),
            },
            String::new(),
            paint.bold("What to type next"),
            "  tapeline serve                  a daemon of your own".to_owned(),
            "  tapeline run -- make test       record any program; it prints what it always prints"
                .to_owned(),
            "  tapeline list                   what was recorded".to_owned(),
            "  tapeline watch ID               follow it live from any terminal, now or later".to_owned(),
        ];
        lines.iter().try_for_each(|line| out.line(line))?;
        out.flush()
    }

    fn check(&self) -> Result<Exit, CliError> {
        let complete = self.late.events() as u64 == self.written;
        if complete && self.stayed.is_same(&self.cut) && self.cut.is_same(&self.late) {
            return Ok(Exit::Done);
        }
        Err(CliError::NotShown(format!(
            "the transcripts differ: {} events were written, the watchers received {}, {} and {}",
            self.written,
            self.stayed.events(),
            self.cut.events(),
            self.late.events()
        )))
    }
}

/// What a task of the demo came to.
fn joined<T>(task: Result<Result<T, CliError>, tokio::task::JoinError>) -> Result<T, CliError> {
    task.map_err(|error| CliError::NotShown(format!("a part of the demo failed: {error}")))?
}

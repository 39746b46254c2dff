//! `tapeline run`: makes any program a durable, watchable execution. Its output is passed through and
//! recorded, its signals and its exit code are passed on; the daemon may be away in between.
//!
//! The program waits for the daemon only when the spool is full; the user waits for it only when the
//! program has ended.

mod child;
mod outcome;
mod pump;
mod spool;
pub(super) mod spool_file;
mod deliver;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::io::AsyncRead;
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::child::{Signals, is_stop};
use self::deliver::{Delivered, Delivery, RunState, unused};
use self::outcome::{Outcome, started};
use self::pump::pump;
use self::spool::Spool;
use super::client::{AddrArgs, Client, Repeat, timed};
use super::exit::CliError;
use super::limits::PIPES_AFTER_EXIT_MAX;
use super::output::talk;
use super::values::{execution_id, label};
use crate::proto::v1::output::Stream;
use crate::proto::v1::{CreateExecutionRequest, Producer};

/// The exit code for a failure of our own, before the program was started.
const OWN_FAILURE: u8 = 125;

/// Run a program and record it: phases, output, exit status
///
/// Exit code: the program's own, 128+n if signal n ended it, 125 if it was not started because of
/// Tapeline, 126 or 127 if it could not be started. The program finds its execution in
/// TAPELINE_EXECUTION_ID; its outputs are pipes, its input is left alone.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The id of the execution; run-… if it is left out
    #[arg(long, value_parser = execution_id)]
    id: Option<String>,
    /// A name for people; the command if it is left out
    #[arg(long)]
    name: Option<String>,
    /// A label; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Start also when the daemon cannot be reached, and deliver later
    #[arg(long)]
    spool: bool,
    #[command(flatten)]
    addr: AddrArgs,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs it. Never a code of our own after the program was started.
pub(crate) fn run(args: RunArgs) -> ExitCode {
    let runtime = match super::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            talk(&format!("error: {error}"));
            return ExitCode::from(OWN_FAILURE);
        }
    };
    let code = runtime.block_on(record(args)).unwrap_or_else(|error| {
        talk(&format!("error: {error}; the program was not started"));
        OWN_FAILURE
    });
    // A thread may still wait for a reader of our output that will never read.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ExitCode::from(code)
}

/// Creates the execution, starts the program and sees both to their end. An error is from before the start.
async fn record(args: RunArgs) -> Result<u8, CliError> {
    let client = Client::new(&args.addr)?;
    let create = create_request(&args);
    let left_to_create = create_now(&client, &create, args.spool).await?;

    let mut signals =
        Signals::take_over().map_err(|error| CliError::local("cannot take the signals over", error))?;
    let run = Run::start(client, create, left_to_create);
    let outcome = match child::spawn(&args.command, &run.execution_id) {
        Ok(child) => run.attend(child, &mut signals).await,
        Err(error) => Outcome::not_started(&args.command, &error),
    };
    run.spool.close(outcome.event);
    run.finish(&mut signals).await;
    Ok(outcome.code)
}

fn create_request(args: &RunArgs) -> CreateExecutionRequest {
    let new_id = || format!("run-{}", ulid::Ulid::generate().to_string().to_lowercase());
    let command = || args.command.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let mut display_name = args.name.clone().unwrap_or_else(command);
    if args.name.is_none() {
        // A name for people; the daemon would refuse a very long one.
        display_name.truncate(display_name.floor_char_boundary(200));
    }
    CreateExecutionRequest {
        execution_id: args.id.clone().unwrap_or_else(new_id),
        display_name,
        labels: args.labels.iter().cloned().collect(),
        ..CreateExecutionRequest::default()
    }
}

/// Creates the execution. Returns the request if that is left to the delivery, because the daemon cannot
/// be reached and the user does not mind.
async fn create_now(
    client: &Client,
    create: &CreateExecutionRequest,
    spool: bool,
) -> Result<Option<CreateExecutionRequest>, CliError> {
    let call = || async { client.log().create_execution(timed(create.clone())).await };
    match client.call(Repeat::Always, call).await {
        Ok(execution) => unused(&execution).map(|()| None),
        Err(CliError::Unreachable { .. }) if spool => Ok(Some(create.clone())),
        Err(error) => Err(error),
    }
}

/// A run: the execution, and the delivery of what is recorded of it.
struct Run {
    execution_id: String,
    addr: String,
    spool: Arc<Spool>,
    state: watch::Sender<RunState>,
    delivery: JoinHandle<Delivered>,
}

impl Run {
    fn start(
        client: Client,
        create: CreateExecutionRequest,
        left_to_create: Option<CreateExecutionRequest>,
    ) -> Self {
        let (execution_id, addr) = (create.execution_id.clone(), client.addr().to_owned());
        // One run, one producer: nobody else has this name, so its first epoch is its only one.
        let producer = Producer { id: format!("run-{}", ulid::Ulid::generate()), epoch: 1, seq: 0 };
        let spool = Arc::new(Spool::new(create, producer, spool_directory()));
        let (state, seen) = watch::channel(RunState::Running);
        let delivery =
            tokio::spawn(deliver(Delivery::new(client, spool.clone(), seen), spool.clone(), left_to_create));
        Self { execution_id, addr, spool, state, delivery }
    }

    /// Sees a started program to its end: records, passes on, waits.
    async fn attend(&self, mut child: Child, signals: &mut Signals) -> Outcome {
        self.spool.push(started()).await;
        let (drain, draining) = watch::channel(false);
        let stdout = child.stdout.take().map(|pipe| self.pump(Stream::Stdout, pipe, &draining));
        let stderr = child.stderr.take().map(|pipe| self.pump(Stream::Stderr, pipe, &draining));
        let mut told = None;
        let status = loop {
            tokio::select! {
                // A signal that ended the program came before its end, and is not one that came after it.
                biased;
                signal = signals.next() => {
                    signals.pass_on(signal, &child);
                    if is_stop(signal) {
                        told.get_or_insert(signal);
                    }
                }
                status = child.wait() => break status,
            }
        };
        // From now on the daemon is waited for only for a while.
        self.state.send_replace(RunState::Ended);
        let pumps = [stdout, stderr].into_iter().flatten().collect();
        if end_of_pipes(pumps, &drain, signals).await.is_err() {
            self.state.send_replace(RunState::GiveUp);
        }
        status.map_or_else(|error| Outcome::unknown(&error), |status| Outcome::ended(status, told))
    }

    fn pump(
        &self,
        stream: Stream,
        pipe: impl AsyncRead + Unpin + Send + 'static,
        draining: &watch::Receiver<bool>,
    ) -> JoinHandle<()> {
        tokio::spawn(pump(stream, pipe, self.spool.clone(), draining.clone()))
    }

    /// Waits for the delivery, for a while; another signal ends the waiting.
    async fn finish(self, signals: &mut Signals) {
        let ended = |state: &mut RunState| *state = (*state).max(RunState::Ended);
        self.state.send_modify(ended);
        let mut delivery = self.delivery;
        let delivered = tokio::select! {
            delivered = &mut delivery => delivered,
            () = async { while !is_stop(signals.next().await) {} } => {
                self.state.send_replace(RunState::GiveUp);
                delivery.await
            }
        };
        let in_flight = match delivered {
            Ok(Delivered::All | Delivered::Refused(_)) => return,
            Ok(Delivered::Left(in_flight)) => in_flight,
            Err(error) => return talk(&format!("the recording of {} failed: {error}", self.execution_id)),
        };
        match self.spool.keep(in_flight.as_ref()) {
            Ok(path) => talk(&format!(
                "not all of {} could be delivered; it is kept, and delivered by:\n  tapeline append --addr {} --spool {}",
                self.execution_id,
                self.addr,
                path.display()
            )),
            Err(error) => talk(&format!(
                "the end of {} could neither be delivered nor kept: {error}",
                self.execution_id
            )),
        }
    }
}

/// The user does not want to wait.
struct Impatient;

/// Waits until the pipes are at their end. Usually that is the end of the program; if somebody it started
/// holds them open, what is in them after a while is the end.
async fn end_of_pipes(
    mut pumps: Vec<JoinHandle<()>>,
    drain: &watch::Sender<bool>,
    signals: &mut Signals,
) -> Result<(), Impatient> {
    let drain_at = Instant::now() + PIPES_AFTER_EXIT_MAX;
    while let Some(pump) = pumps.last_mut() {
        tokio::select! {
            // A pump that panicked has nothing more to record.
            _ = pump => drop(pumps.pop()),
            () = tokio::time::sleep_until(drain_at), if !*drain.borrow() => drop(drain.send_replace(true)),
            signal = signals.next() => {
                if is_stop(signal) {
                    // One of them waits for a reader, or for the daemon; what is left is given up.
                    pumps.iter().for_each(JoinHandle::abort);
                    return Err(Impatient);
                }
            }
        }
    }
    Ok(())
}

/// Delivers; a daemon that will never take the events does not stop the program, only the recording.
async fn deliver(delivery: Delivery, spool: Arc<Spool>, create: Option<CreateExecutionRequest>) -> Delivered {
    let delivered = delivery.run(create).await;
    match &delivered {
        Delivered::All => {}
        Delivered::Left(_) => spool.unbound(),
        Delivered::Refused(error) => {
            talk(&format!("recording has stopped: {error}"));
            spool.refuse();
        }
    }
    delivered
}

/// Where spools are written: beside the daemon's data, or where temporary files are.
fn spool_directory() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    state.map_or_else(std::env::temp_dir, |state| state.join("tapeline")).join("spool")
}

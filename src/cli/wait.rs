//! `tapeline wait`: returns when an execution has ended, with the exit code that says how.

use std::time::Duration;

use clap::Args;

use super::client::{AddrArgs, Client};
use super::exit::{CliError, Exit};
use super::follow::{Follow, Step};
use super::limits::RECONNECT_MAX;
use super::output::talk;
use super::printable::printable_line;
use super::values::{duration, phase_name};
use crate::proto::v1::end::Reason;
use crate::proto::v1::watch_request::{OnTrimmed, Start};
use crate::proto::v1::{End, WatchRequest};

/// Wait until an execution has ended
///
/// Exit codes: 0 COMPLETED, 1 FAILED, 3 no such execution, 4 CANCELLED, 5 connection lost for good.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// The execution
    id: String,
    /// Wait for it to be created, too
    #[arg(long)]
    wait_for_create: bool,
    /// How long a lost connection is tried again [default: 5m]
    #[arg(long, value_parser = duration, value_name = "TIME")]
    reconnect_for: Option<Duration>,
    #[command(flatten)]
    addr: AddrArgs,
}

/// Waits, asking for no event but the changes of phase.
pub(crate) async fn run(args: WaitArgs) -> Result<Exit, CliError> {
    let request = WatchRequest {
        execution_id: args.id.clone(),
        start: Some(Start::Tail(1)),
        wait_for_create: args.wait_for_create,
        // Only the end matters: what is trimmed meanwhile is nothing to stop at.
        on_trimmed: OnTrimmed::Gap as i32,
        event_types: vec!["phase_changed".to_owned()],
        ..WatchRequest::default()
    };
    let client = Client::new(&args.addr)?;
    let mut follow = Follow::new(client, request).reconnect_max(args.reconnect_for.unwrap_or(RECONNECT_MAX));
    loop {
        if let Step::End(end) = follow.next().await? {
            return Ok(exit_of(&args.id, &end));
        }
    }
}

/// What the end of a watch means for the exit code; a failure is told on standard error.
pub(crate) fn exit_of(id: &str, end: &End) -> Exit {
    match end.reason() {
        Reason::Deleted => {
            talk(&format!("{id} was deleted"));
            Exit::NotFound
        }
        Reason::Tail => Exit::Done,
        Reason::Terminal | Reason::Unspecified => {
            let exit = Exit::of_phase(end.phase());
            if exit != Exit::Done {
                let error = printable_line(&end.error);
                talk(format!("{id} {} {error}", phase_name(end.phase())).trim_end());
            }
            exit
        }
    }
}

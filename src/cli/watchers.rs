//! `tapeline watchers`: who watches, and how far each one is.

use clap::Args;

use super::client::{AddrArgs, Client, Repeat, timed};
use super::exit::{CliError, Exit};
use super::json;
use super::output::{Format, Out, table};
use super::printable::printable_line;
use super::values::age;
use crate::proto::v1::{ListWatchersRequest, Watcher};

/// List the watchers that are connected
#[derive(Debug, Args)]
pub(crate) struct WatchersArgs {
    /// Only watchers of this execution
    id: Option<String>,
    /// How to show them
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    addr: AddrArgs,
}

/// Lists them.
pub(crate) async fn run(args: WatchersArgs) -> Result<Exit, CliError> {
    let client = Client::new(&args.addr)?;
    let request = ListWatchersRequest { execution_id: args.id.unwrap_or_default() };
    let call = || async { client.admin().list_watchers(timed(request.clone())).await };
    let watchers = client.call(Repeat::Always, call).await?.watchers;
    let mut out = Out::new();
    if args.output == Format::Json {
        watchers.iter().try_for_each(|watcher| out.json(&json::value_of("Watcher", watcher)))?;
    } else if !watchers.is_empty() {
        let heads = ["WATCHER", "PEER", "EXECUTION", "STATE", "SEQ", "BEHIND", "SINCE", "PROGRESS"];
        let rows = std::iter::once(heads.map(str::to_owned).to_vec()).chain(watchers.iter().map(row));
        table(&rows.collect::<Vec<_>>()).iter().try_for_each(|line| out.line(line))?;
    }
    out.flush()?;
    Ok(Exit::Done)
}

fn row(watcher: &Watcher) -> Vec<String> {
    let execution = if watcher.execution_id.is_empty() { "(all)" } else { &watcher.execution_id };
    vec![
        printable_line(&watcher.id).into_owned(),
        printable_line(&watcher.peer).into_owned(),
        printable_line(execution).into_owned(),
        watcher.state().as_str_name().trim_start_matches("STATE_").to_owned(),
        watcher.cursor_seq.to_string(),
        watcher.lag_events.to_string(),
        age(watcher.since.as_ref()),
        age(watcher.last_progress.as_ref()),
    ]
}

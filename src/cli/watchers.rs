//! `tapeline watchers`: who watches, and how far each one is.

use clap::Args;

use super::client::{AddrArgs, Client, Repeat, timed};
use super::exit::{CliError, Exit};
use super::json;
use super::output::{Format, Out, table, talk};
use super::printable::printable_line;
use super::values::age;
use crate::proto::v1::{ListWatchersRequest, Watcher};

/// Watchers asked for in one page.
const PAGE: i32 = 1_000;

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

/// Lists them, page after page.
pub(crate) async fn run(args: WatchersArgs) -> Result<Exit, CliError> {
    let client = Client::new(&args.addr)?;
    let (mut out, mut heads) = (Out::new(), true);
    let mut request = ListWatchersRequest {
        execution_id: args.id.unwrap_or_default(),
        page_size: PAGE,
        ..ListWatchersRequest::default()
    };
    loop {
        let call = || async { client.admin().list_watchers(timed(request.clone())).await };
        let page = client.call(Repeat::Always, call).await?;
        show(&mut out, &page.watchers, args.output, &mut heads)?;
        out.flush()?;
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    if heads && args.output == Format::Pretty {
        talk("no watchers");
    }
    Ok(Exit::Done)
}

fn show(out: &mut Out, page: &[Watcher], format: Format, heads: &mut bool) -> Result<(), CliError> {
    if format == Format::Json {
        return page.iter().try_for_each(|watcher| out.json(&json::value_of("Watcher", watcher)));
    }
    let mut rows: Vec<Vec<String>> = page.iter().map(row).collect();
    if !rows.is_empty() && std::mem::take(heads) {
        let names = ["WATCHER", "PEER", "EXECUTION", "STATE", "SEQ", "BEHIND", "SINCE", "PROGRESS"];
        rows.insert(0, names.map(str::to_owned).to_vec());
    }
    table(&rows).iter().try_for_each(|line| out.line(line))
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

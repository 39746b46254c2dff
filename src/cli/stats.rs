//! `tapeline stats`: the daemon's figures.

use clap::Args;

use super::client::{AddrArgs, Client, Repeat, timed};
use super::exit::{CliError, Exit};
use super::json;
use super::output::{Format, Out, table};
use super::printable::printable_line;
use super::values::bytes;
use crate::proto::v1::{GetStatsRequest, GetStatsResponse};

/// Show the daemon's figures
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// How to show them
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    addr: AddrArgs,
}

/// Shows them.
pub(crate) async fn run(args: StatsArgs) -> Result<Exit, CliError> {
    let client = Client::new(&args.addr)?;
    let call = || async { client.admin().get_stats(timed(GetStatsRequest {})).await };
    let stats = client.call(Repeat::Always, call).await?;
    let mut out = Out::new();
    match args.output {
        Format::Json => out.json(&json::value_of("GetStatsResponse", &stats))?,
        Format::Pretty => table(&rows(&stats)).iter().try_for_each(|line| out.line(line))?,
    }
    out.flush()?;
    Ok(Exit::Done)
}

fn rows(stats: &GetStatsResponse) -> Vec<Vec<String>> {
    let uptime = stats.uptime.as_ref().map_or(0, |uptime| uptime.seconds);
    let rows = [
        ("version", stats.version.clone()),
        ("store", stats.store_id.clone()),
        ("uptime", format!("{uptime} s")),
        (
            "executions",
            stats.executions.map_or_else(|| "not known yet".to_owned(), |count| count.to_string()),
        ),
        ("events", stats.tail_position.to_string()),
        ("watchers", stats.watchers.to_string()),
        ("queued", stats.queued_requests.to_string()),
        ("commits", stats.commits.to_string()),
        ("unsealed", bytes(stats.unsealed_bytes)),
        ("journal", bytes(stats.journal_used_bytes)),
        ("archive", bytes(stats.archive_used_bytes)),
        ("disk", if stats.disk_full { "FULL: appends are refused" } else { "has room" }.to_owned()),
    ];
    rows.into_iter().map(|(name, value)| vec![name.to_owned(), printable_line(&value).into_owned()]).collect()
}

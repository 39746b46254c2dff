//! `tapeline list`: executions, newest first, page after page.

use clap::Args;

use super::client::{AddrArgs, Client, Repeat, timed};
use super::exit::{CliError, Exit};
use super::json;
use super::output::{Format, Out, Paint, table, talk};
use super::printable::{printable_line, printable_short};
use super::values::{PhaseArg, age, label, phase_name};
use crate::proto::v1::{Execution, ListExecutionsRequest, Phase};

/// Executions asked for in one page; also the most that are shown unless the user says otherwise.
const PAGE: u32 = 100;

/// List executions, newest first
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those in this phase
    #[arg(long, value_enum, ignore_case = true)]
    phase: Option<PhaseArg>,
    /// Only those of this session
    #[arg(long, default_value = "", hide_default_value = true)]
    session: String,
    /// Only those with this label; may be repeated, all must match
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// The most to show
    #[arg(long, default_value_t = PAGE, conflicts_with = "all")]
    limit: u32,
    /// Show all there are
    #[arg(long)]
    all: bool,
    /// How to show them
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    addr: AddrArgs,
}

/// Lists them.
pub(crate) async fn run(args: ListArgs) -> Result<Exit, CliError> {
    let client = Client::new(&args.addr)?;
    let (mut out, paint) = (Out::new(), Paint::for_stdout());
    let mut request = ListExecutionsRequest {
        phase: args.phase.map(Phase::from).unwrap_or_default() as i32,
        session_id: args.session,
        labels: args.labels.into_iter().collect(),
        ..ListExecutionsRequest::default()
    };
    let mut left = if args.all { u32::MAX } else { args.limit };
    let mut heads = true;
    while left > 0 {
        request.page_size = i32::try_from(left.min(PAGE)).unwrap_or(i32::MAX);
        let call = || async { client.log().list_executions(timed(request.clone())).await };
        let page = client.call(Repeat::Always, call).await?;
        left = left.saturating_sub(u32::try_from(page.executions.len()).unwrap_or(u32::MAX));
        show(&mut out, &page.executions, args.output, paint, &mut heads)?;
        out.flush()?;
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    if heads && args.output == Format::Pretty && (args.all || args.limit > 0) {
        talk("no executions");
    }
    Ok(Exit::Done)
}

fn show(
    out: &mut Out,
    page: &[Execution],
    format: Format,
    paint: Paint,
    heads: &mut bool,
) -> Result<(), CliError> {
    if format == Format::Json {
        return page.iter().try_for_each(|execution| out.json(&json::value_of("Execution", execution)));
    }
    let mut rows: Vec<Vec<String>> = page.iter().map(row).collect();
    if *heads && !rows.is_empty() {
        rows.insert(0, ["ID", "PHASE", "EVENTS", "AGE", "NAME"].map(str::to_owned).to_vec());
    }
    for line in table(&rows) {
        out.line(&if std::mem::take(heads) { paint.dim(&line) } else { line })?;
    }
    Ok(())
}

fn row(execution: &Execution) -> Vec<String> {
    vec![
        printable_line(&execution.id).into_owned(),
        phase_name(execution.phase()).to_owned(),
        events_kept(execution).to_string(),
        age(execution.create_time.as_ref()),
        printable_short(&execution.display_name, 60),
    ]
}

/// How many events can still be read.
fn events_kept(execution: &Execution) -> u64 {
    execution.tail_seq.saturating_add(1).saturating_sub(execution.floor_seq.max(1))
}

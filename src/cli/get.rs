//! `tapeline get`: one execution, as it stands.

use clap::Args;

use super::client::{AddrArgs, Client, Repeat, timed};
use super::exit::{CliError, Exit};
use super::json;
use super::output::{Format, Out, Paint, table};
use super::printable::printable_line;
use super::values::{bytes, phase_name, shown_time};
use crate::proto::v1::{Execution, GetExecutionRequest};

/// Show one execution
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Its id
    id: String,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    addr: AddrArgs,
}

/// Shows it.
pub(crate) async fn run(args: GetArgs) -> Result<Exit, CliError> {
    let client = Client::new(&args.addr)?;
    let request = GetExecutionRequest { execution_id: args.id };
    let call = || async { client.log().get_execution(timed(request.clone())).await };
    show(&client.call(Repeat::Always, call).await?, args.output)
}

/// Shows an execution, as `create` does too.
pub(crate) fn show(execution: &Execution, format: Format) -> Result<Exit, CliError> {
    let mut out = Out::new();
    match format {
        Format::Json => out.json(&json::value_of("Execution", execution))?,
        Format::Pretty => {
            for line in table(&rows(execution, Paint::for_stdout())) {
                out.line(&line)?;
            }
        }
    }
    out.flush()?;
    Ok(Exit::Done)
}

fn rows(execution: &Execution, paint: Paint) -> Vec<Vec<String>> {
    let labels = execution.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>();
    let rows = [
        ("id", execution.id.clone()),
        ("phase", phase_name(execution.phase()).to_owned()),
        ("error", execution.error.clone()),
        ("name", execution.display_name.clone()),
        ("session", execution.session_id.clone()),
        ("agent", execution.agent_id.clone()),
        ("labels", labels.join(" ")),
        ("events", format!("{} to {}", execution.floor_seq, execution.tail_seq)),
        ("stored", bytes(execution.stored_bytes)),
        ("created", shown_time(execution.create_time.as_ref())),
        ("updated", shown_time(execution.update_time.as_ref())),
        ("ended", shown_time(execution.end_time.as_ref())),
        ("log", execution.log_id.clone()),
    ];
    let told = rows.into_iter().filter(|(_, value)| !value.is_empty());
    told.map(|(name, value)| vec![paint.dim(name), printable_line(&value).into_owned()]).collect()
}

//! `tapeline trim`: removes the oldest events of an execution.

use clap::Args;
use serde_json::json;

use super::client::{AddrArgs, Client, Repeat, timed};
use super::exit::{CliError, Exit};
use super::output::{Format, Out};
use super::printable::printable_line;
use crate::proto::v1::TrimExecutionRequest;

/// Remove the oldest events of an execution
///
/// What they add up to is kept: the state of the execution does not change.
#[derive(Debug, Args)]
pub(crate) struct TrimArgs {
    /// The execution
    id: String,
    /// The first event that stays
    #[arg(long, value_name = "SEQ")]
    floor: u64,
    /// How to show what is left
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    addr: AddrArgs,
}

/// Trims it and says where the log begins now.
pub(crate) async fn run(args: TrimArgs) -> Result<Exit, CliError> {
    let client = Client::new(&args.addr)?;
    let request = TrimExecutionRequest { execution_id: args.id.clone(), floor_seq: args.floor };
    let call = || async { client.admin().trim_execution(timed(request.clone())).await };
    let trimmed = client.call(Repeat::Always, call).await?;
    let mut out = Out::new();
    match args.output {
        Format::Json => out.json(&json!({ "execution_id": args.id, "floor_seq": trimmed.floor_seq }))?,
        Format::Pretty => {
            out.line(&format!("{} begins at seq {}", printable_line(&args.id), trimmed.floor_seq))?;
        }
    }
    out.flush()?;
    Ok(Exit::Done)
}

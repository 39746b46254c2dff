//! `tapeline create`: a new execution, for a producer that appends to it later.

use clap::Args;

use super::client::{AddrArgs, Client, Repeat, timed};
use super::exit::{CliError, Exit};
use super::get;
use super::output::{Format, Out};
use super::printable::printable_line;
use super::values::{execution_id, label};
use crate::proto::v1::CreateExecutionRequest;

/// Create an execution and print its id
///
/// The same id with the same content again is the existing execution.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Its id; the daemon chooses one if it is left out
    #[arg(value_parser = execution_id)]
    id: Option<String>,
    /// A name for people
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
    /// The session it belongs to
    #[arg(long, default_value = "", hide_default_value = true)]
    session: String,
    /// The agent that runs
    #[arg(long, default_value = "", hide_default_value = true)]
    agent: String,
    /// A label, fixed at creation; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// How to show it; pretty is the id alone
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    addr: AddrArgs,
}

/// Creates it.
pub(crate) async fn run(args: CreateArgs) -> Result<Exit, CliError> {
    let client = Client::new(&args.addr)?;
    // Without an id, a second request would make a second execution.
    let repeat = if args.id.is_some() { Repeat::Always } else { Repeat::IfNothingWritten };
    let request = CreateExecutionRequest {
        execution_id: args.id.unwrap_or_default(),
        session_id: args.session,
        agent_id: args.agent,
        display_name: args.name,
        labels: args.labels.into_iter().collect(),
        ..CreateExecutionRequest::default()
    };
    let call = || async { client.log().create_execution(timed(request.clone())).await };
    let execution = client.call(repeat, call).await?;
    if args.output == Format::Json {
        return get::show(&execution, args.output);
    }
    let mut out = Out::new();
    // An id is the daemon's word; one that follows its rules has nothing to escape.
    out.line(&printable_line(&execution.id))?;
    out.flush()?;
    Ok(Exit::Done)
}

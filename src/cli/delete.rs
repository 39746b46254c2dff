//! `tapeline delete`: removes executions and their logs, for good.

use clap::Args;

use super::client::{AddrArgs, Client, Repeat, timed};
use super::exit::{CliError, Exit};
use super::output::talk;
use crate::proto::v1::DeleteExecutionRequest;

/// Delete executions and their logs; their ids are never used again
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Their ids
    #[arg(required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    addr: AddrArgs,
}

/// Deletes them in turn; the first one that cannot be deleted ends it.
pub(crate) async fn run(args: DeleteArgs) -> Result<Exit, CliError> {
    let client = Client::new(&args.addr)?;
    for id in args.ids {
        let request = DeleteExecutionRequest { execution_id: id.clone() };
        let call = || async { client.log().delete_execution(timed(request.clone())).await };
        // Not repeated after an unknown outcome: a second request would say that there is no such thing.
        client.call(Repeat::IfNothingWritten, call).await?;
        talk(&format!("deleted {id}"));
    }
    Ok(Exit::Done)
}

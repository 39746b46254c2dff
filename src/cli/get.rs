//! `tapeline get`: one execution, as it stands: what the daemon knows of it without reading its log, and
//! the state that its events add up to.

use clap::Args;
use serde_json::Value;

use super::client::{AddrArgs, Client, Repeat, timed};
use super::exit::{CliError, Exit};
use super::json;
use super::output::{Format, Out, Paint, table, talk};
use super::pretty;
use super::printable::printable_line;
use super::values::{bytes, phase_name, shown_time};
use crate::proto::stigmer::agentexecution::{AgentExecutionId, AgentExecutionStatus};
use crate::proto::v1::{Execution, GetExecutionRequest};

/// The name of a state in the descriptors.
const STATE: &str = "ai.stigmer.agentic.agentexecution.v1.AgentExecutionStatus";
/// The metadata of a reply from which something was left out.
const TRUNCATED: &str = "tapeline-truncated";

/// Show one execution and its state
///
/// Its state is its messages, tool calls, sub-agents and to-do list, as its events add up to them.
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
    let request = GetExecutionRequest { execution_id: args.id.clone() };
    let call = || async { client.log().get_execution(timed(request.clone())).await };
    let execution = client.call(Repeat::Always, call).await?;
    match state_of(&client, &args.id).await {
        Ok(state) => show_with(&execution, Some(&state), args.output),
        // What is known is shown all the same; the error says what is missing.
        Err(error) => show(&execution, args.output).and(Err(error)),
    }
}

/// Shows an execution without its state, as `create` does too.
pub(crate) fn show(execution: &Execution, format: Format) -> Result<Exit, CliError> {
    show_with(execution, None, format)
}

/// The state of an execution; what was left out of it is said.
async fn state_of(client: &Client, id: &str) -> Result<AgentExecutionStatus, CliError> {
    let request = AgentExecutionId { value: id.to_owned() };
    let call = || async { client.states().get(timed(request.clone())).await };
    let response = client.call_for_response(Repeat::Always, call).await?;
    if response.metadata().get(TRUNCATED).is_some_and(|value| value == "true") {
        talk(&format!(
            "the state is too large for one reply: its oldest contents are left out; `tapeline logs {id}` \
             shows everything"
        ));
    }
    let mut status = response.into_inner().status.unwrap_or_default();
    // It is a secret of the runner's, and no part of the state.
    status.callback_token.clear();
    Ok(status)
}

fn show_with(
    execution: &Execution,
    state: Option<&AgentExecutionStatus>,
    format: Format,
) -> Result<Exit, CliError> {
    let mut out = Out::new();
    match format {
        Format::Json => out.json(&value_of(execution, state))?,
        Format::Pretty => {
            let paint = Paint::for_stdout();
            for line in table(&rows(execution, paint)) {
                out.line(&line)?;
            }
            let state = state.map(|state| pretty::state(state, &execution.error, paint));
            if let Some(state) = state.filter(|state| !state.is_empty()) {
                out.bytes(format!("\n{state}").as_bytes())?;
            }
        }
    }
    out.flush()?;
    Ok(Exit::Done)
}

fn value_of(execution: &Execution, state: Option<&AgentExecutionStatus>) -> Value {
    let mut value = json::value_of("Execution", execution);
    if let (Some(fields), Some(state)) = (value.as_object_mut(), state) {
        fields.insert("state".to_owned(), json::value_of(STATE, state));
    }
    value
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

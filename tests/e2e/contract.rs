//! The Stigmer contract as its runner and its subscribers use it: clients, requests, and states read with
//! a deadline.

use tapeline::proto::stigmer::agentexecution as wire;
use tapeline::proto::stigmer::agentexecution::agent_execution_command_controller_client::AgentExecutionCommandControllerClient;
use tapeline::proto::stigmer::agentexecution::agent_execution_query_controller_client::AgentExecutionQueryControllerClient;
use tapeline::proto::stigmer::apiresource::ApiResourceMetadata;
use tapeline::proto::v1::{GetExecutionRequest, GetStatsRequest};
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::support::daemon::{Daemon, PATIENCE};

/// A client of the controller that writes.
pub(crate) type Command = AgentExecutionCommandControllerClient<Channel>;
/// A client of the controller that reads.
pub(crate) type Query = AgentExecutionQueryControllerClient<Channel>;

/// Phases, as numbers.
pub(crate) const IN_PROGRESS: i32 = 2;
pub(crate) const COMPLETED: i32 = 3;
pub(crate) const FAILED: i32 = 4;

/// The paths of the controllers' methods begin so.
pub(crate) const COMMAND: &str = "/ai.stigmer.agentic.agentexecution.v1.AgentExecutionCommandController/";
pub(crate) const QUERY: &str = "/ai.stigmer.agentic.agentexecution.v1.AgentExecutionQueryController/";

/// Clients of both controllers, on connections of their own. Like the real ones they take no message above
/// 4 MiB.
pub(crate) fn clients(daemon: &Daemon) -> (Command, Query) {
    (Command::new(daemon.channel()), Query::new(daemon.channel()))
}

/// A valid execution.
pub(crate) fn new_execution(name: &str) -> wire::AgentExecution {
    let spec =
        wire::AgentExecutionSpec { session_id: "s".into(), message: "do it".into(), ..Default::default() };
    let metadata = ApiResourceMetadata { name: name.into(), ..Default::default() };
    wire::AgentExecution { metadata: Some(metadata), spec: Some(spec), ..Default::default() }
}

/// A valid execution that names its id.
pub(crate) fn new_execution_with_id(id: &str) -> wire::AgentExecution {
    let mut execution = new_execution("one");
    execution.metadata.as_mut().expect("set").id = id.into();
    execution
}

/// Creates an execution; returns its id.
pub(crate) async fn created(command: &mut Command, name: &str) -> String {
    let reply = command.create(new_execution(name)).await.expect("it is valid").into_inner();
    reply.metadata.expect("always set").id
}

/// A message that says this.
pub(crate) fn message(text: &str) -> wire::AgentMessage {
    wire::AgentMessage { content: text.into(), ..Default::default() }
}

/// An update with this status.
pub(crate) fn update_with(
    id: &str,
    status: wire::AgentExecutionStatus,
) -> wire::AgentExecutionUpdateStatusInput {
    wire::AgentExecutionUpdateStatusInput { execution_id: id.into(), status: Some(status) }
}

/// An update with this phase and these messages.
pub(crate) fn update(id: &str, phase: i32, messages: &[&str]) -> wire::AgentExecutionUpdateStatusInput {
    let messages = messages.iter().map(|text| message(text)).collect();
    update_with(id, wire::AgentExecutionStatus { phase, messages, ..Default::default() })
}

/// An id as the readers send it.
pub(crate) fn id_of(id: &str) -> wire::AgentExecutionId {
    wire::AgentExecutionId { value: id.into() }
}

/// What the messages say.
pub(crate) fn contents(execution: &wire::AgentExecution) -> Vec<&str> {
    status_of(execution).messages.iter().map(|message| message.content.as_str()).collect()
}

/// The phase, as a number.
pub(crate) fn phase_of(execution: &wire::AgentExecution) -> i32 {
    status_of(execution).phase
}

/// The status, which clients do not look whether it is set.
pub(crate) fn status_of(execution: &wire::AgentExecution) -> &wire::AgentExecutionStatus {
    execution.status.as_ref().expect("always set")
}

/// The present state.
pub(crate) async fn get(query: &Query, id: &str) -> wire::AgentExecution {
    query.clone().get(id_of(id)).await.expect("it is there").into_inner()
}

/// The states of a subscription.
pub(crate) struct States(Streaming<wire::AgentExecution>);

/// Subscribes to an execution that is there.
pub(crate) async fn subscribe(query: &Query, id: &str) -> States {
    States(query.clone().subscribe(id_of(id)).await.expect("it is there").into_inner())
}

impl States {
    /// The next state; `None` at the end with OK.
    pub(crate) async fn try_next(&mut self) -> Result<Option<wire::AgentExecution>, Status> {
        tokio::time::timeout(PATIENCE, self.0.message()).await.expect("the subscription hangs")
    }

    /// The next state of a subscription that goes on.
    pub(crate) async fn next(&mut self) -> wire::AgentExecution {
        self.try_next().await.expect("no error").expect("a state")
    }

    /// States up to one that is as it should be.
    pub(crate) async fn until(
        &mut self,
        is_so: impl Fn(&wire::AgentExecution) -> bool,
    ) -> Vec<wire::AgentExecution> {
        let mut states = vec![self.next().await];
        while !is_so(states.last().expect("there is one")) {
            states.push(self.next().await);
        }
        states
    }

    /// All that is left, up to the end, which must be OK.
    pub(crate) async fn rest(&mut self) -> Vec<wire::AgentExecution> {
        let mut states = Vec::new();
        while let Some(state) = self.try_next().await.expect("it ends well") {
            states.push(state);
        }
        states
    }

    /// The error that ends the subscription.
    pub(crate) async fn error(&mut self) -> Status {
        loop {
            match self.try_next().await {
                Err(status) => return status,
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ended well"),
            }
        }
    }
}

/// The native API's view: how far the log goes.
pub(crate) async fn tail(daemon: &Daemon, id: &str) -> u64 {
    let request = GetExecutionRequest { execution_id: id.into() };
    daemon.client().get_execution(request).await.expect("it is there").into_inner().tail_seq
}

/// How far the whole store goes: whatever is written moves it.
pub(crate) async fn written(daemon: &Daemon) -> u64 {
    daemon.admin().get_stats(GetStatsRequest {}).await.expect("fine").into_inner().tail_position
}

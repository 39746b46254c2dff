//! `updateStatus`: a runner's whole status becomes the events that lead to it.

use std::sync::Arc;

use tapeline_storage::{ExecutionId, Head};

use super::change::{Change, Merged};
use super::loaded::Loaded;
use super::merge::merge;
use super::state::StateError;
use super::{CallError, Controller, Fitted};
use crate::append::parse_id;
use crate::execution::invalid::Invalid;
use crate::execution::phase;
use crate::proto::stigmer::agentexecution::{
    AgentExecution, AgentExecutionStatus, AgentExecutionUpdateStatusInput,
};
use crate::proto::v1::PhaseChanged;
use crate::proto::v1::event::Body;

impl Controller {
    /// Merges a status into the stored one. Without a difference nothing is written. Fails with
    /// `EXECUTION_ENDED` if the execution has ended and the update would change it.
    pub async fn update_status(
        &self,
        input: AgentExecutionUpdateStatusInput,
    ) -> Result<Fitted<AgentExecution>, CallError> {
        self.change::<StatusUpdate>(input).await
    }
}

/// A request that says what it must.
struct StatusUpdate {
    execution: ExecutionId,
    status: AgentExecutionStatus,
}

impl Change for StatusUpdate {
    type Request = AgentExecutionUpdateStatusInput;

    fn validate(input: AgentExecutionUpdateStatusInput) -> Result<Self, Invalid> {
        let execution = parse_id("execution_id", &input.execution_id)?;
        let status = input.status.ok_or_else(|| Invalid::field("status", "must be set"))?;
        phase::named("status.phase", status.phase)?;
        Ok(Self { execution, status })
    }

    fn execution(&self) -> &ExecutionId {
        &self.execution
    }

    fn merge(&self, loaded: Loaded) -> Result<Merged, CallError> {
        let before = match loaded {
            Loaded::State(state) => state,
            Loaded::HeadOnly(head, error) => return self.end(head, error),
        };
        let nothing = AgentExecutionStatus::default();
        let present = before.folded.execution().status.as_ref().unwrap_or(&nothing);
        let status = merge(present, self.status.clone());
        // Metadata and spec are left out, which is how a difference says that they stay.
        let after = AgentExecution { status: Some(status), ..Default::default() };
        Ok(Merged::between(before, &after)?)
    }
}

impl StatusUpdate {
    /// What can be written though the state cannot be had: that the execution ended, when, and why. All else
    /// of the status is left out, as the reply says. An execution that ended so stays as it is.
    fn end(&self, head: Arc<Head>, error: StateError) -> Result<Merged, CallError> {
        let AgentExecutionStatus { phase, error: why, started_at, completed_at, .. } = self.status.clone();
        match phase::from_wire(phase) {
            Some(end) if end.is_terminal() => {
                let changed = PhaseChanged { phase, error: why, started_at, completed_at, exit: None };
                let events = (end != head.phase).then_some(Body::PhaseChanged(changed));
                Ok(Merged { events: events.into_iter().collect(), before: Loaded::HeadOnly(head, error) })
            }
            _ => Err(error.into()),
        }
    }
}

//! `updateStatus`: a runner's whole status becomes the events that lead to it. Five steps, each a call
//! that takes what the one before it gave.

use std::sync::Arc;

use tapeline_storage::ExecutionId;
use tokio::time::Instant;

use super::diff::diff;
use super::merge::merge;
use super::persist::{Merged, Persisted};
use super::state::State;
use super::{CallError, Controller, Fitted};
use crate::append::parse_id;
use crate::execution::invalid::Invalid;
use crate::execution::phase;
use crate::limits::CHANGE_RETRY_MAX;
use crate::proto::stigmer::agentexecution::{
    AgentExecution, AgentExecutionStatus, AgentExecutionUpdateStatusInput,
};

/// A request that says what it must.
struct Update {
    execution: ExecutionId,
    status: AgentExecutionStatus,
}

/// The state that an update meets.
struct Loaded {
    state: Arc<State>,
}

impl Controller {
    /// Merges a status into the stored one. Without a difference nothing is written. Fails with
    /// `EXECUTION_ENDED` if the execution has ended and the update would change it.
    pub async fn update_status(
        &self,
        input: AgentExecutionUpdateStatusInput,
    ) -> Result<Fitted<AgentExecution>, CallError> {
        let update = validate(input)?;
        let turn = self.appender.turn(&update.execution).await;
        let deadline = Instant::now() + CHANGE_RETRY_MAX;
        loop {
            let loaded = self.load(&update).await?;
            let merged = merged(loaded, &update);
            match self.persist(&update.execution, merged).await? {
                Persisted::Through(seq) => return self.broadcast(&update.execution, seq).await,
                Persisted::Moved(error) if Instant::now() >= deadline => return Err(error.into()),
                Persisted::Moved(_) => turn.hold_back(),
            }
        }
    }

    async fn load(&self, update: &Update) -> Result<Loaded, CallError> {
        Ok(Loaded { state: self.states.current(&update.execution).await? })
    }
}

fn validate(input: AgentExecutionUpdateStatusInput) -> Result<Update, Invalid> {
    let execution = parse_id("execution_id", &input.execution_id)?;
    let status = input.status.ok_or_else(|| Invalid::field("status", "must be set"))?;
    if status.phase != 0 && phase::from_wire(status.phase).is_none() {
        return Err(Invalid::field("status.phase", format!("{} is no phase", status.phase)));
    }
    Ok(Update { execution, status })
}

fn merged(loaded: Loaded, update: &Update) -> Merged {
    let before = loaded.state;
    let present = before.folded.execution();
    let nothing = AgentExecutionStatus::default();
    let status = merge(present.status.as_ref().unwrap_or(&nothing), update.status.clone());
    // Metadata and spec are left out, which is how a difference says that they stay.
    let after = AgentExecution { status: Some(status), ..Default::default() };
    let events = diff(present, &after);
    Merged { before, events }
}

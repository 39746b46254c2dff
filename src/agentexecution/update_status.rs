//! `updateStatus`: a runner's whole status becomes the events that lead to it. Five steps, each a call
//! that takes what the one before it gave.

use std::sync::Arc;

use tapeline_storage::{ExecutionId, Seq, WriteError};
use tokio::time::Instant;

use super::diff::diff;
use super::merge::merge;
use super::state::State;
use super::{CallError, Controller, Fitted, fit, has_moved, parse_id, resource, without_secrets};
use crate::append::AppendError;
use crate::execution::invalid::Invalid;
use crate::execution::phase;
use crate::limits::CHANGE_RETRY_MAX;
use crate::proto::stigmer::agentexecution::{
    AgentExecution, AgentExecutionStatus, AgentExecutionUpdateStatusInput,
};
use crate::proto::v1::event::Body;

/// A request that says what it must.
struct Update {
    execution: ExecutionId,
    status: AgentExecutionStatus,
}

/// The state that an update meets.
struct Loaded {
    state: Arc<State>,
}

/// What an update comes to, and the state it was made for.
struct Merged {
    before: Arc<State>,
    events: Vec<Body>,
}

/// What became of it in the log.
enum Persisted {
    /// It is durable up to this seq, or there was nothing to write.
    Through(Seq),
    /// The log had moved on: nothing was written.
    Moved(AppendError),
}

impl Controller {
    /// Merges a status into the stored one. Without a difference nothing is written. Fails with
    /// `EXECUTION_ENDED` if the execution has ended and the update would change it.
    pub async fn update_status(
        &self,
        input: AgentExecutionUpdateStatusInput,
    ) -> Result<Fitted<AgentExecution>, CallError> {
        let update = validate(input)?;
        let _turn = self.states.turn(&update.execution).await?;
        let deadline = Instant::now() + CHANGE_RETRY_MAX;
        loop {
            let loaded = self.load(&update).await?;
            let merged = merged(loaded, &update);
            match self.persist(&update, merged).await? {
                Persisted::Through(seq) => return self.broadcast(&update, seq).await,
                Persisted::Moved(error) if Instant::now() >= deadline => return Err(error.into()),
                Persisted::Moved(_) => {}
            }
        }
    }

    async fn load(&self, update: &Update) -> Result<Loaded, CallError> {
        Ok(Loaded { state: self.states.current(&update.execution).await? })
    }

    /// Compare-and-append: what was decided on a state is written behind that state or not at all. An
    /// execution that has ended meanwhile is looked at once more: the update may be in it already.
    async fn persist(&self, update: &Update, merged: Merged) -> Result<Persisted, CallError> {
        let through = merged.before.folded.through_seq();
        if merged.events.is_empty() {
            return Ok(Persisted::Through(through));
        }
        match self.appender.append_bodies(&update.execution, merged.events, through).await {
            Ok(outcome) => Ok(Persisted::Through(outcome.tail_seq)),
            Err(error) if has_moved(&error) || has_ended_behind(&error, through) => {
                Ok(Persisted::Moved(error))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The commit itself has handed the events to all who watch. What is left is to answer with a state
    /// that has them in it, as subscribers get it.
    async fn broadcast(&self, update: &Update, seq: Seq) -> Result<Fitted<AgentExecution>, CallError> {
        let state = self.states.current(&update.execution).await?;
        debug_assert!(state.folded.through_seq() >= seq, "the state is behind what was written");
        Ok(fit::one(without_secrets(resource::shown(&state))))
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
    let (metadata, spec) = (present.metadata.clone(), present.spec.clone());
    let after = AgentExecution { metadata, spec, status: Some(status), ..Default::default() };
    let events = diff(present, &after);
    Merged { before, events }
}

fn has_ended_behind(error: &AppendError, through: Seq) -> bool {
    matches!(error, AppendError::Store(WriteError::Ended { final_seq, .. }) if *final_seq > through)
}

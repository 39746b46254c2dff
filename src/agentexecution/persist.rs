//! The last two steps of every change that is decided on a state: what it comes to is written behind that
//! state or not at all, and the answer is a state that has it in it.

use std::sync::Arc;

use tapeline_storage::{ExecutionId, Seq, WriteError};

use super::state::State;
use super::{CallError, Controller, Fitted, reply};
use crate::append::AppendError;
use crate::proto::stigmer::agentexecution::AgentExecution;
use crate::proto::v1::event::Body;

/// What a change comes to, and the state it was made for.
pub(super) struct Merged {
    pub(super) before: Arc<State>,
    pub(super) events: Vec<Body>,
}

/// What became of it in the log.
pub(super) enum Persisted {
    /// It is durable up to this seq, or there was nothing to write.
    Through(Seq),
    /// The log had moved on: nothing was written.
    Moved(AppendError),
}

impl Controller {
    /// Compare-and-append: what was decided on a state is written behind that state or not at all. An
    /// execution that has ended meanwhile is looked at once more: the change may be in it already.
    pub(super) async fn persist(
        &self,
        execution: &ExecutionId,
        merged: Merged,
    ) -> Result<Persisted, CallError> {
        let Merged { before, events } = merged;
        let through = before.folded.through_seq();
        // Whoever adds these events to the state need not copy it if nobody else has it.
        drop(before);
        if events.is_empty() {
            return Ok(Persisted::Through(through));
        }
        match self.appender.append_bodies(execution, events, through).await {
            Ok(outcome) => Ok(Persisted::Through(outcome.tail_seq)),
            Err(error) if has_moved(&error, through) => Ok(Persisted::Moved(error)),
            Err(error) => Err(error.into()),
        }
    }

    /// The commit itself has handed the events to all who watch. What is left is to answer with a state
    /// that has them in it, as subscribers get it.
    pub(super) async fn broadcast(
        &self,
        execution: &ExecutionId,
        seq: Seq,
    ) -> Result<Fitted<AgentExecution>, CallError> {
        let state = self.states.current(execution).await?;
        debug_assert!(state.folded.through_seq() >= seq, "the state is behind what was written");
        Ok(reply(&state))
    }
}

/// Whether there are events behind the state that a change was decided on: load again, decide again.
fn has_moved(error: &AppendError, through: Seq) -> bool {
    match error {
        AppendError::Store(WriteError::SeqMismatch { .. }) => true,
        AppendError::Store(WriteError::Ended { final_seq, .. }) => *final_seq > through,
        _ => false,
    }
}

//! Every change that is decided on a state: the five steps, and what the two kinds of changes have in common.
//! It must never say that nothing was written once something may have been.

use std::sync::Arc;

use tapeline_storage::{ExecutionId, Seq, WriteError};
use tokio::time::Instant;

use super::diff::diff;
use super::loaded::Loaded;
use super::state::{Interest, State, StateError};
use super::{CallError, Controller, Fitted};
use crate::append::AppendError;
use crate::execution::invalid::{Excess, Invalid};
use crate::limits::{CHANGE_RETRY_MAX, STATE_BYTES_MAX};
use crate::proto::stigmer::agentexecution::AgentExecution;
use crate::proto::v1::event::Body;

/// What is asked for, valid as far as can be said without the execution.
pub(super) trait Change: Sized {
    /// As it comes in.
    type Request;

    fn validate(request: Self::Request) -> Result<Self, Invalid>;

    fn execution(&self) -> &ExecutionId;

    /// What it comes to for what is there. Pure; may be asked again for what is there later.
    fn merge(&self, loaded: Loaded) -> Result<Merged, CallError>;
}

/// The events that a change comes to, and what it was decided on.
pub(super) struct Merged {
    pub(super) before: Loaded,
    pub(super) events: Vec<Body>,
}

/// What became of it in the log.
enum Persisted {
    /// All of it is durable.
    Durable(Durable),
    /// The log had moved on: nothing was written.
    Moved(AppendError),
}

enum Durable {
    /// There was nothing to write.
    Unchanged(Loaded),
    /// It was written up to this seq.
    Written(Seq),
}

impl Controller {
    /// Validates, loads, merges, persists and broadcasts a change. What others have overtaken is loaded and
    /// merged anew, up to a deadline.
    pub(super) async fn change<C: Change>(
        &self,
        request: C::Request,
    ) -> Result<Fitted<AgentExecution>, CallError> {
        let change = C::validate(request)?;
        let execution = change.execution();
        let deadline = Instant::now() + CHANGE_RETRY_MAX;
        let turn = self.appender.turn(execution, deadline).await?;
        loop {
            let loaded = self.load(execution, Interest::Lasting).await?;
            let merged = change.merge(loaded)?;
            match self.persist(execution, merged).await? {
                Persisted::Durable(durable) => return self.broadcast(execution, durable).await,
                Persisted::Moved(error) if Instant::now() >= deadline => return Err(error.into()),
                Persisted::Moved(_) => turn.hold_back(),
            }
        }
    }

    /// Compare-and-append: what was decided on a state is written behind that state or not at all. An
    /// execution that has ended meanwhile is looked at once more: the change may be in it already.
    async fn persist(&self, execution: &ExecutionId, merged: Merged) -> Result<Persisted, CallError> {
        let Merged { before, events } = merged;
        if events.is_empty() {
            return Ok(Persisted::Durable(Durable::Unchanged(before)));
        }
        let through = before.through_seq();
        // Whoever adds these events to the state need not copy it if nobody else has it.
        drop(before);
        match self.appender.append_bodies(execution, events, through).await {
            Ok(outcome) => Ok(Persisted::Durable(Durable::Written(outcome.tail_seq))),
            Err(error) if has_moved(&error, through) => Ok(Persisted::Moved(error)),
            Err(error) => Err(error.into()),
        }
    }

    /// The events themselves were broadcast by the hook of their commit, before the write path answered: what
    /// is durable is told. This brings the state up to them that subscribers are about to be sent, and answers
    /// with it.
    async fn broadcast(
        &self,
        execution: &ExecutionId,
        durable: Durable,
    ) -> Result<Fitted<AgentExecution>, CallError> {
        match durable {
            Durable::Unchanged(before) => Ok(before.reply()),
            Durable::Written(seq) => {
                tracing::trace!(%execution, seq, "a change is durable");
                self.answer(execution).await
            }
        }
    }
}

impl Merged {
    /// What leads from a state to another one. Fails if that were too large: there would be no answer to it,
    /// nor to any change after it.
    pub(super) fn between(before: Arc<State>, after: &AgentExecution) -> Result<Self, StateError> {
        if let Some(excess) = Excess::over(STATE_BYTES_MAX, before.folded.memory_bytes_with(after)) {
            return Err(StateError::TooLarge(excess));
        }
        let events = diff(before.folded.execution(), after);
        Ok(Self { before: Loaded::State(before), events })
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

#[cfg(test)]
mod tests;

//! An execution as far as it can be had. A state may be too large, or its log damaged: what need not have it
//! must not fail for that, and what is durable must not be answered as if nothing had been written.

use std::sync::Arc;

use tapeline_storage::{ExecutionId, Head, ReadError, Seq, WriteError};

use super::state::{Interest, State, StateError};
use super::{CallError, Controller, Fitted, fit, resource, without_secrets};
use crate::append::AppendError;
use crate::proto::stigmer::agentexecution::AgentExecution;

/// What there is of an execution.
pub(super) enum Loaded {
    /// Its state.
    State(Arc<State>),
    /// Its head alone, and why its state cannot be had, now or later.
    HeadOnly(Arc<Head>, StateError),
}

impl Controller {
    /// Loads an execution. Fails only if there is none, or the store fails.
    pub(super) async fn load(
        &self,
        execution: &ExecutionId,
        interest: Interest,
    ) -> Result<Loaded, CallError> {
        match self.states.current_for(execution, interest).await {
            Ok(state) => Ok(Loaded::State(state)),
            Err(error @ (StateError::TooLarge(_) | StateError::Read(ReadError::Corrupt { .. }))) => {
                Ok(Loaded::HeadOnly(self.store.head(execution).await?, error))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The answer to a change that is durable. Whatever fails here, it may have been written.
    pub(super) async fn answer(&self, execution: &ExecutionId) -> Result<Fitted<AgentExecution>, CallError> {
        match self.load(execution, Interest::Lasting).await {
            Ok(loaded) => Ok(loaded.reply()),
            Err(error) => {
                tracing::debug!(%execution, %error, "a change is durable and cannot be answered");
                Err(AppendError::from(WriteError::OutcomeUnknown).into())
            }
        }
    }
}

impl Loaded {
    /// The seq of the last event that is known of.
    pub(super) fn through_seq(&self) -> Seq {
        match self {
            Self::State(state) => state.folded.through_seq(),
            Self::HeadOnly(head, _) => head.tail_seq,
        }
    }

    /// Whether it has all of these tags.
    pub(super) fn has_tags(&self, tags: &[String]) -> bool {
        let present = match self {
            Self::State(state) => state.folded.execution().metadata.as_ref(),
            Self::HeadOnly(..) => None,
        };
        let present = present.map_or(&[][..], |metadata| &metadata.tags);
        tags.iter().all(|tag| present.contains(tag))
    }

    /// What is shown of it in a reply, its secrets left out. A head alone says that something is missing.
    pub(super) fn reply(&self) -> Fitted<AgentExecution> {
        match self {
            Self::State(state) => fit::one(without_secrets(state)),
            Self::HeadOnly(head, error) => {
                if let StateError::Read(damage) = error {
                    tracing::error!(execution = %head.execution.id, %damage, "an execution is shown by its head");
                }
                fit::truncated(resource::of_head(head))
            }
        }
    }
}

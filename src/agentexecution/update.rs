//! `update`: replaces the user's part of an execution, its metadata and spec, never its status.

use tokio::time::Instant;

use super::create::user_part;
use super::diff::diff;
use super::resource::slug;
use super::{CallError, Controller, Fitted, fit, has_moved, parse_id, resource, without_secrets};
use crate::limits::CHANGE_RETRY_MAX;
use crate::proto::stigmer::agentexecution::AgentExecution;

impl Controller {
    /// Replaces metadata and spec of the execution that `metadata.id` names. Without a difference nothing
    /// is written. Fails with `EXECUTION_ENDED` behind the end.
    pub async fn update(&self, execution: AgentExecution) -> Result<Fitted<AgentExecution>, CallError> {
        let id = parse_id("metadata.id", execution.metadata.as_ref().map_or("", |metadata| &metadata.id))?;
        let (mut metadata, spec) = user_part(execution)?;
        let _turn = self.states.turn(&id).await?;
        let deadline = Instant::now() + CHANGE_RETRY_MAX;
        loop {
            let state = self.states.current(&id).await?;
            let before = state.folded.execution();
            if metadata.slug.is_empty() {
                // The address of an execution stays though its name changes.
                let present = before.metadata.as_ref().map_or("", |metadata| &metadata.slug);
                metadata.slug = if present.is_empty() { slug(&metadata.name) } else { present.to_owned() };
            }
            let after = AgentExecution {
                metadata: Some(metadata.clone()),
                spec: Some(spec.clone()),
                ..before.clone()
            };
            let (events, through) = (diff(before, &after), state.folded.through_seq());
            if !events.is_empty() {
                match self.appender.append_bodies(&id, events, through).await {
                    Err(error) if has_moved(&error) && Instant::now() < deadline => continue,
                    appended => appended?,
                };
            }
            let state = self.states.current(&id).await?;
            return Ok(fit::one(without_secrets(resource::shown(&state))));
        }
    }
}

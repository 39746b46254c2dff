//! `update`: replaces the user's part of an execution, its metadata and spec, never its status.

use tokio::time::Instant;

use super::create::user_part;
use super::diff::diff;
use super::persist::{Merged, Persisted};
use super::resource::slug;
use super::{CallError, Controller, Fitted};
use crate::append::parse_id;
use crate::execution::redact;
use crate::limits::CHANGE_RETRY_MAX;
use crate::proto::stigmer::agentexecution::AgentExecution;

impl Controller {
    /// Replaces metadata and spec of the execution that `metadata.id` names. Without a difference nothing
    /// is written. Fails with `EXECUTION_ENDED` behind the end.
    pub async fn update(&self, execution: AgentExecution) -> Result<Fitted<AgentExecution>, CallError> {
        let id = parse_id("metadata.id", execution.metadata.as_ref().map_or("", |metadata| &metadata.id))?;
        let (mut metadata, mut spec) = user_part(execution)?;
        let turn = self.appender.turn(&id).await;
        let deadline = Instant::now() + CHANGE_RETRY_MAX;
        loop {
            let before = self.states.current(&id).await?;
            let present = before.folded.execution();
            if metadata.slug.is_empty() {
                // The address of an execution stays though its name changes.
                let given = present.metadata.as_ref().map_or("", |metadata| &metadata.slug);
                metadata.slug = if given.is_empty() { slug(&metadata.name) } else { given.to_owned() };
            }
            if let Some(stored) = &present.spec {
                redact::restore(&mut spec, stored);
            }
            let after = AgentExecution {
                metadata: Some(metadata.clone()),
                spec: Some(spec.clone()),
                ..present.clone()
            };
            let events = diff(present, &after);
            match self.persist(&id, Merged { before, events }).await? {
                Persisted::Through(seq) => return self.broadcast(&id, seq).await,
                Persisted::Moved(error) if Instant::now() >= deadline => return Err(error.into()),
                Persisted::Moved(_) => turn.hold_back(),
            }
        }
    }
}

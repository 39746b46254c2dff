//! `update`: replaces the user's part of an execution, its metadata and spec, never its status.

use tapeline_storage::ExecutionId;

use super::change::{Change, Merged};
use super::create::user_part;
use super::loaded::Loaded;
use super::resource::slug;
use super::{CallError, Controller, Fitted};
use crate::append::parse_id;
use crate::execution::invalid::Invalid;
use crate::execution::redact;
use crate::proto::stigmer::agentexecution::{AgentExecution, AgentExecutionSpec};
use crate::proto::stigmer::apiresource::ApiResourceMetadata;

impl Controller {
    /// Replaces metadata and spec of the execution that `metadata.id` names. Without a difference nothing
    /// is written. Fails with `EXECUTION_ENDED` behind the end.
    pub async fn update(&self, execution: AgentExecution) -> Result<Fitted<AgentExecution>, CallError> {
        self.change::<Replacement>(execution).await
    }
}

/// A request that says what it must.
struct Replacement {
    execution: ExecutionId,
    metadata: ApiResourceMetadata,
    spec: AgentExecutionSpec,
}

impl Change for Replacement {
    type Request = AgentExecution;

    fn validate(execution: AgentExecution) -> Result<Self, Invalid> {
        let id = parse_id("metadata.id", execution.metadata.as_ref().map_or("", |metadata| &metadata.id))?;
        let (metadata, spec) = user_part(execution)?;
        Ok(Self { execution: id, metadata, spec })
    }

    fn execution(&self) -> &ExecutionId {
        &self.execution
    }

    fn merge(&self, loaded: Loaded) -> Result<Merged, CallError> {
        let before = match loaded {
            Loaded::State(state) => state,
            Loaded::HeadOnly(_, error) => return Err(error.into()),
        };
        let present = before.folded.execution();
        let (mut metadata, mut spec) = (self.metadata.clone(), self.spec.clone());
        if metadata.slug.is_empty() {
            // The address of an execution stays though its name changes.
            let given = present.metadata.as_ref().map_or("", |metadata| &metadata.slug);
            metadata.slug = if given.is_empty() { slug(&metadata.name) } else { given.to_owned() };
        }
        if let Some(stored) = &present.spec {
            redact::restore(&mut spec, stored);
        }
        let after = AgentExecution { metadata: Some(metadata), spec: Some(spec), ..present.clone() };
        Ok(Merged::between(before, &after)?)
    }
}

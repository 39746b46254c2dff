//! `create`: a new execution in the phase PENDING.

use tapeline_storage::limits::HEAD_TEXT_BYTES_MAX;

use super::resource::{API_VERSION, KIND, slug};
use super::{CallError, Controller, Fitted, fit};
use crate::append::{generate_id, parse_id};
use crate::execution::invalid::Invalid;
use crate::proto::stigmer::agentexecution::{AgentExecution, AgentExecutionSpec};
use crate::proto::stigmer::apiresource::ApiResourceMetadata;
use crate::proto::v1::event::Body;
use crate::proto::v1::{ExecutionCreated, SpecReplaced};

impl Controller {
    /// Creates an execution, under the id that it names if it names one; the same once more is the one
    /// that is there. Whatever it says of its status is not taken.
    pub async fn create(&self, execution: AgentExecution) -> Result<Fitted<AgentExecution>, CallError> {
        let id = match execution.metadata.as_ref().map_or("", |metadata| &metadata.id) {
            "" => generate_id("aex")?,
            id => parse_id("metadata.id", id)?,
        };
        let (metadata, spec) = user_part(execution)?;
        self.appender.create_from(&id, creation(metadata, spec)).await?;
        self.answer(&id).await
    }
}

/// The events that a new execution begins with. The first has no place for most of the metadata, so a
/// second one follows in the same commit.
fn creation(mut metadata: ApiResourceMetadata, spec: AgentExecutionSpec) -> Vec<Body> {
    if metadata.slug.is_empty() {
        metadata.slug = slug(&metadata.name);
    }
    let (display_name, labels) = (metadata.name.clone(), metadata.labels.clone());
    let created = ExecutionCreated { spec: Some(spec), labels, display_name };
    let rest = AgentExecution { metadata: Some(metadata), ..Default::default() };
    vec![Body::Created(created), Body::SpecReplaced(SpecReplaced { execution: Some(rest) })]
}

/// What a user decides of an execution, checked: its metadata without what the daemon sets, and its spec.
pub(super) fn user_part(
    execution: AgentExecution,
) -> Result<(ApiResourceMetadata, AgentExecutionSpec), Invalid> {
    let AgentExecution { api_version, kind, metadata, spec, status: _ } = execution;
    check_constant("api_version", &api_version, API_VERSION)?;
    check_constant("kind", &kind, KIND)?;
    let mut metadata = metadata.ok_or_else(|| Invalid::field("metadata", "must be set"))?;
    Invalid::check_length("metadata.name", &metadata.name, 1, HEAD_TEXT_BYTES_MAX)?;
    if metadata.owner_scope != 0 {
        return Err(Invalid::field("metadata.owner_scope", "must not be set on an execution"));
    }
    let spec = spec.ok_or_else(|| Invalid::field("spec", "must be set"))?;
    if spec.message.is_empty() {
        return Err(Invalid::field("spec.message", "must not be empty"));
    }
    if spec.session_id.is_empty() && spec.agent_id.is_empty() {
        return Err(Invalid::field("spec.session_id", "a session_id or an agent_id is needed"));
    }
    Invalid::check_length("spec.session_id", &spec.session_id, 0, HEAD_TEXT_BYTES_MAX)?;
    Invalid::check_length("spec.agent_id", &spec.agent_id, 0, HEAD_TEXT_BYTES_MAX)?;
    // The daemon knows the id from elsewhere, and the same content is to be the same whatever names it.
    metadata.id.clear();
    metadata.annotations.remove(fit::TRUNCATED);
    Ok((metadata, spec))
}

/// A field that has one value, or is left out.
fn check_constant(field: &str, value: &str, expected: &str) -> Result<(), Invalid> {
    match value.is_empty() || value == expected {
        true => Ok(()),
        // What was sent may be long, and trailers are not.
        false => Err(Invalid::field(field, format!("must be {expected:?} or empty"))),
    }
}

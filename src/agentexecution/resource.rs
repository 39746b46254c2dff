//! An execution as the contract shows it: its state, with what the daemon knows of itself: id, slug, api
//! version, kind, times. Pure.

use tapeline_storage::Head;

use super::state::State;
use crate::execution::phase;
use crate::execution::time::timestamp;
use crate::proto::stigmer::agentexecution::{AgentExecution, AgentExecutionSpec, AgentExecutionStatus};
use crate::proto::stigmer::apiresource::{ApiResourceAudit, ApiResourceAuditInfo, ApiResourceMetadata};

/// The `api_version` of every execution.
pub(super) const API_VERSION: &str = "agentic.stigmer.ai/v1";
/// The `kind` of every execution.
pub(super) const KIND: &str = "AgentExecution";

/// The execution as it is shown, its secrets included.
pub(super) fn shown(state: &State) -> AgentExecution {
    let AgentExecution { metadata, spec, status, .. } = state.folded.execution().clone();
    AgentExecution {
        api_version: API_VERSION.to_owned(),
        kind: KIND.to_owned(),
        metadata: Some(metadata_of(&state.head, metadata.unwrap_or_default())),
        spec: Some(spec.unwrap_or_default()),
        status: Some(status_of(&state.head, status.unwrap_or_default())),
    }
}

/// What the head alone tells of an execution, where its state is not to be had.
pub(super) fn of_head(head: &Head) -> AgentExecution {
    let metadata = ApiResourceMetadata {
        name: head.display_name.to_string(),
        labels: head.execution.labels.clone(),
        ..Default::default()
    };
    let spec = AgentExecutionSpec {
        session_id: head.session_id.to_string(),
        agent_id: head.agent_id.to_string(),
        ..Default::default()
    };
    let status = AgentExecutionStatus { error: head.error.to_string(), ..Default::default() };
    AgentExecution {
        api_version: API_VERSION.to_owned(),
        kind: KIND.to_owned(),
        metadata: Some(metadata_of(head, metadata)),
        spec: Some(spec),
        status: Some(status_of(head, status)),
    }
}

fn metadata_of(head: &Head, mut metadata: ApiResourceMetadata) -> ApiResourceMetadata {
    metadata.id = head.execution.id.to_string();
    if metadata.slug.is_empty() {
        metadata.slug = slug(&metadata.name);
    }
    metadata
}

fn status_of(head: &Head, mut status: AgentExecutionStatus) -> AgentExecutionStatus {
    if status.phase == 0 {
        status.phase = phase::to_wire(head.phase).into();
    }
    let created = || Some(timestamp(head.create_time_ns));
    let info = |updated_ns, event: &str| {
        let updated_at = Some(timestamp(updated_ns));
        ApiResourceAuditInfo {
            created_at: created(),
            updated_at,
            event: event.to_owned(),
            ..Default::default()
        }
    };
    let event = if head.tail_seq > 1 { "updated" } else { "created" };
    status.audit = Some(ApiResourceAudit {
        spec_audit: Some(info(head.create_time_ns, "created")),
        status_audit: Some(info(head.update_time_ns, event)),
    });
    status
}

/// A name as a part of an address: lower-case letters and digits, everything else one dash.
pub(super) fn slug(name: &str) -> String {
    let mut slug = String::new();
    for letter in name.chars().flat_map(char::to_lowercase) {
        match letter.is_alphanumeric() {
            true => slug.push(letter),
            false if slug.ends_with('-') || slug.is_empty() => {}
            false => slug.push('-'),
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_has_lower_case_letters_digits_and_single_dashes() {
        for (name, expected) in [
            ("Test Execution", "test-execution"),
            ("  a  --  B_c!  ", "a-b-c"),
            ("Über 9000", "über-9000"),
            ("", ""),
            ("---", ""),
        ] {
            assert_eq!(slug(name), expected, "of {name:?}");
        }
    }
}

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
    // The events that it was created with have the time of the creation.
    let event = if head.update_time_ns > head.create_time_ns { "updated" } else { "created" };
    status.audit = Some(ApiResourceAudit {
        spec_audit: Some(info(head.create_time_ns, "created")),
        status_audit: Some(info(head.update_time_ns, event)),
    });
    status
}

/// A name as a part of an address: in lower case, with dashes for spaces, without whatever is no ASCII
/// letter, digit or dash, and with single dashes inside only.
pub(super) fn slug(name: &str) -> String {
    let mut slug = String::new();
    for letter in name.chars().flat_map(char::to_lowercase) {
        match letter {
            ' ' | '-' if slug.is_empty() || slug.ends_with('-') => {}
            ' ' | '-' => slug.push('-'),
            letter if letter.is_ascii_alphanumeric() => slug.push(letter),
            _ => {}
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_has_ascii_letters_in_lower_case_digits_and_single_dashes() {
        for (name, expected) in [
            ("Test Execution", "test-execution"),
            ("  a  --  B_c!  ", "a-bc"),
            ("Über 9000", "ber-9000"),
            ("a - ! - b", "a-b"),
            ("v1.2/x\ty", "v12xy"),
            ("", ""),
            ("---", ""),
        ] {
            assert_eq!(slug(name), expected, "of {name:?}");
        }
    }
}

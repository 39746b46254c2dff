//! What makes a new execution: its id, its labels, its `created` event.

use std::collections::BTreeMap;

use tapeline_storage::limits::HEAD_TEXT_BYTES_MAX;
use tapeline_storage::{CreateRequest, ExecutionId, digest_events};

use super::{AppendError, parse_id};
use crate::execution::event;
use crate::execution::invalid::Invalid;
use crate::proto::stigmer::agentexecution::AgentExecutionSpec;
use crate::proto::v1::event::Body;
use crate::proto::v1::{CreateExecutionRequest, ExecutionCreated};

/// Checks a request. The digest is of what is stored, so the same request again is the same creation.
pub(super) fn parse(request: CreateExecutionRequest) -> Result<CreateRequest, AppendError> {
    if request.lease.is_some() {
        return Err(Invalid::field("lease", "this daemon has no leases").into());
    }
    if !request.lease_owner.is_empty() {
        return Err(Invalid::field("lease_owner", "this daemon has no leases").into());
    }
    let execution = match request.execution_id.as_str() {
        "" => generate_id("ex")?,
        id => parse_id("execution_id", id)?,
    };
    Invalid::check_labels(&request.labels)?;
    let texts = [
        ("session_id", &request.session_id),
        ("agent_id", &request.agent_id),
        ("display_name", &request.display_name),
    ];
    for (field, text) in texts {
        Invalid::check_length(field, text, 0, HEAD_TEXT_BYTES_MAX)?;
    }
    let mut spec = request.spec;
    write_into_spec(&mut spec, "session_id", request.session_id, |spec| &mut spec.session_id)?;
    write_into_spec(&mut spec, "agent_id", request.agent_id, |spec| &mut spec.agent_id)?;
    let labels: BTreeMap<String, String> = request.labels;
    let created = ExecutionCreated { spec, labels: labels.clone(), display_name: request.display_name };
    let events = vec![event::created(created)?];
    Ok(CreateRequest { execution, digest: digest_events(&events), labels, events })
}

/// A creation with events that the daemon made itself, of which the first is `created`.
pub(super) fn from_bodies(execution: ExecutionId, bodies: Vec<Body>) -> Result<CreateRequest, AppendError> {
    let labels = match bodies.first() {
        Some(Body::Created(created)) => created.labels.clone(),
        _ => BTreeMap::new(),
    };
    Invalid::check_labels(&labels)?;
    let events = event::internal_batch(bodies)?;
    Ok(CreateRequest { execution, digest: digest_events(&events), labels, events })
}

/// A new id that begins with a prefix.
pub(crate) fn generate_id(prefix: &str) -> Result<ExecutionId, AppendError> {
    let id = format!("{prefix}-{}", ulid::Ulid::generate()).to_ascii_lowercase();
    Ok(parse_id("execution_id", &id)?)
}

/// Writes a field of the request into the spec, which may have it already but not say otherwise.
fn write_into_spec(
    spec: &mut Option<AgentExecutionSpec>,
    field: &str,
    value: String,
    place: impl Fn(&mut AgentExecutionSpec) -> &mut String,
) -> Result<(), Invalid> {
    if value.is_empty() {
        return Ok(());
    }
    let place = place(spec.get_or_insert_default());
    if !place.is_empty() && *place != value {
        return Err(Invalid::field(field, format!("the spec names another one: {place:?}")));
    }
    *place = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> CreateExecutionRequest {
        CreateExecutionRequest { execution_id: "one".into(), ..CreateExecutionRequest::default() }
    }

    fn refused(request: CreateExecutionRequest) -> String {
        match parse(request).expect_err("refused") {
            AppendError::Invalid(Invalid::Field { field, .. }) => field,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn session_and_agent_are_written_into_the_spec() {
        let spec = AgentExecutionSpec { session_id: "s".into(), ..AgentExecutionSpec::default() };
        let given = CreateExecutionRequest {
            session_id: "s".into(),
            agent_id: "a".into(),
            spec: Some(spec.clone()),
            ..request()
        };
        let parsed = parse(given).expect("fine");
        let change = parsed.events[0].head_change.as_ref().expect("a change");
        assert_eq!((change.session_id.as_deref(), change.agent_id.as_deref()), (Some("s"), Some("a")));
        let other = CreateExecutionRequest { session_id: "t".into(), spec: Some(spec), ..request() };
        assert_eq!(refused(other), "session_id");
    }

    #[test]
    fn the_same_request_has_the_same_digest_and_another_one_has_not() {
        let digest = |request| parse(request).expect("fine").digest;
        assert_eq!(digest(request()), digest(request()));
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        assert_ne!(digest(request()), digest(CreateExecutionRequest { labels, ..request() }));
    }

    #[test]
    fn an_id_is_generated_when_none_is_given() {
        let given = || CreateExecutionRequest::default();
        let (one, two) = (parse(given()).expect("fine"), parse(given()).expect("fine"));
        assert!(one.execution.as_str().starts_with("ex-"));
        assert_ne!(one.execution, two.execution);
    }

    #[test]
    fn what_cannot_be_created_is_refused_with_its_field() {
        assert_eq!(
            refused(CreateExecutionRequest { execution_id: "a b".into(), ..request() }),
            "execution_id"
        );
        assert_eq!(refused(CreateExecutionRequest { lease_owner: "me".into(), ..request() }), "lease_owner");
        assert_eq!(refused(CreateExecutionRequest { lease: Some(Default::default()), ..request() }), "lease");
        let labels = BTreeMap::from([("k".repeat(64), String::new())]);
        assert_eq!(refused(CreateExecutionRequest { labels, ..request() }), "labels.key");
        let name = "n".repeat(2_000);
        assert_eq!(refused(CreateExecutionRequest { display_name: name, ..request() }), "display_name");
    }
}

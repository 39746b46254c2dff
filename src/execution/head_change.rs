//! What an event's body changes in the head of its execution. What is empty leaves the head as it was,
//! except in a spec that takes the place of another.

use tapeline_storage::HeadChange;
use tapeline_storage::limits::{HEAD_ERROR_BYTES_MAX, HEAD_TEXT_BYTES_MAX};

use super::invalid::Invalid;
use super::phase;
use crate::proto::stigmer::agentexecution::AgentExecutionSpec;
use crate::proto::v1::event::Body;
use crate::proto::v1::{ExecutionCreated, PhaseChanged, SpecReplaced};

/// The change that the body at this place of its batch makes, if it makes one.
pub(super) fn of(index: usize, body: &Body) -> Result<Option<HeadChange>, Invalid> {
    let change = match body {
        Body::Created(created) => of_creation(created)?,
        Body::PhaseChanged(changed) => of_phase(changed),
        Body::SpecReplaced(replaced) => of_spec_replaced(index, replaced)?,
        _ => return Ok(None),
    };
    Ok((change != HeadChange::default()).then_some(change))
}

fn of_creation(created: &ExecutionCreated) -> Result<HeadChange, Invalid> {
    let change = of_spec("spec", created.spec.as_ref())?;
    Ok(HeadChange { display_name: text("display_name", &created.display_name)?, ..change })
}

fn of_phase(changed: &PhaseChanged) -> HeadChange {
    let error = shortened(&changed.error, HEAD_ERROR_BYTES_MAX);
    HeadChange {
        phase: phase::from_wire(changed.phase),
        error: (!error.is_empty()).then(|| error.to_owned()),
        ..Default::default()
    }
}

fn of_spec_replaced(index: usize, replaced: &SpecReplaced) -> Result<HeadChange, Invalid> {
    let Some(execution) = &replaced.execution else { return Ok(HeadChange::default()) };
    let place = format!("events[{index}].spec_replaced.execution");
    let change = of_spec(&format!("{place}.spec"), execution.spec.as_ref())?;
    // The new spec is the whole spec: one without a session takes the execution out of its session.
    let whole = |id: Option<String>| execution.spec.as_ref().map(|_| id.unwrap_or_default());
    let change =
        HeadChange { session_id: whole(change.session_id), agent_id: whole(change.agent_id), ..change };
    let name = execution.metadata.as_ref().map_or("", |metadata| metadata.name.as_str());
    Ok(HeadChange { display_name: text(&format!("{place}.metadata.name"), name)?, ..change })
}

fn of_spec(place: &str, spec: Option<&AgentExecutionSpec>) -> Result<HeadChange, Invalid> {
    let Some(spec) = spec else { return Ok(HeadChange::default()) };
    Ok(HeadChange {
        session_id: text(&format!("{place}.session_id"), &spec.session_id)?,
        agent_id: text(&format!("{place}.agent_id"), &spec.agent_id)?,
        ..Default::default()
    })
}

/// A text of the head; empty is no change.
fn text(field: &str, text: &str) -> Result<Option<String>, Invalid> {
    Invalid::check_length(field, text, 0, HEAD_TEXT_BYTES_MAX)?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// The longest beginning of a text that has at most `length_max` bytes and ends with a whole character.
fn shortened(text: &str, length_max: usize) -> &str {
    &text[..text.floor_char_boundary(length_max)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::stigmer::agentexecution::AgentExecution;

    #[test]
    fn an_error_is_shortened_at_a_character_boundary() {
        assert_eq!(shortened("äöü", 3), "ä");
        assert_eq!(shortened("äöü", 6), "äöü");
        assert_eq!(shortened("", 3), "");
        let changed =
            PhaseChanged { phase: 4, error: "ä".repeat(HEAD_ERROR_BYTES_MAX), ..Default::default() };
        let error = of_phase(&changed).error.expect("there is an error");
        assert_eq!(error.len(), HEAD_ERROR_BYTES_MAX);
    }

    #[test]
    fn an_empty_text_changes_nothing() {
        let changed = of(0, &Body::PhaseChanged(PhaseChanged { phase: 2, ..Default::default() }));
        let change = changed.expect("it is valid").expect("the phase changes");
        assert_eq!(change.error, None);
        let nothing = of(0, &Body::SpecReplaced(SpecReplaced::default())).expect("it is valid");
        assert_eq!(nothing, None);
    }

    #[test]
    fn a_spec_in_place_of_another_takes_its_session_and_its_agent_away() {
        let spec = Some(AgentExecutionSpec { agent_id: "a".into(), ..Default::default() });
        let execution = Some(AgentExecution { spec, ..Default::default() });
        let change = of(0, &Body::SpecReplaced(SpecReplaced { execution })).expect("it is valid");
        let expected = HeadChange {
            session_id: Some(String::new()),
            agent_id: Some("a".to_owned()),
            ..Default::default()
        };
        assert_eq!(change, Some(expected));
    }

    #[test]
    fn a_text_that_is_too_long_for_the_head_is_refused_with_its_place() {
        let spec = AgentExecutionSpec { agent_id: "x".repeat(HEAD_TEXT_BYTES_MAX + 1), ..Default::default() };
        let created = ExecutionCreated { spec: Some(spec), ..Default::default() };
        let refused = of(0, &Body::Created(created)).expect_err("it is too long");
        assert!(refused.to_string().starts_with("spec.agent_id: has 1025 bytes"), "{refused}");
    }
}

//! Empties secrets in events before any native reader gets them: callback tokens, and the values of an
//! environment that are marked as secrets. It must never hand out a payload that may hold a secret and
//! that it could not read.

use bytes::Bytes;
use prost::Message;

use super::kind::{CREATED, SPEC_REPLACED};
use crate::proto::stigmer::agentexecution::{AgentExecution, AgentExecutionSpec};
use crate::proto::v1::Event;
use crate::proto::v1::event::Body;

/// Empties the secrets of an execution.
pub fn execution(execution: &mut AgentExecution) -> bool {
    let in_spec = execution.spec.as_mut().is_some_and(empty_spec);
    let in_status = execution.status.as_mut().is_some_and(|status| take(&mut status.callback_token));
    in_spec || in_status
}

/// Puts the stored secrets into a spec that takes the stored one's place, where it has them empty: whoever
/// changes an execution that it was shown without its secrets does not mean to take them away.
pub fn restore(spec: &mut AgentExecutionSpec, stored: &AgentExecutionSpec) {
    if spec.callback_token.is_empty() {
        spec.callback_token = stored.callback_token.clone();
    }
    for (name, value) in spec.runtime_env.iter_mut().filter(|(_, value)| value.is_secret) {
        let secret = stored.runtime_env.get(name).filter(|stored| stored.is_secret);
        if let (true, Some(secret)) = (value.value.is_empty(), secret) {
            value.value.clone_from(&secret.value);
        }
    }
}

/// The stored payload of an event as native readers may see it. Only the two kinds that can hold a
/// secret are decoded. One that cannot be decoded comes back empty: an event without a body.
pub fn for_readers(type_tag: u32, payload: &Bytes) -> Bytes {
    if type_tag != CREATED && type_tag != SPEC_REPLACED {
        return payload.clone();
    }
    let Ok(mut event) = Event::decode(payload.clone()) else { return Bytes::new() };
    let emptied = match &mut event.body {
        Some(Body::Created(created)) => created.spec.as_mut().is_some_and(empty_spec),
        Some(Body::SpecReplaced(replaced)) => replaced.execution.as_mut().is_some_and(execution),
        _ => false,
    };
    if emptied { event.encode_to_vec().into() } else { payload.clone() }
}

/// Whether there was a secret to empty.
fn empty_spec(spec: &mut AgentExecutionSpec) -> bool {
    let mut emptied = take(&mut spec.callback_token);
    for value in spec.runtime_env.values_mut().filter(|value| value.is_secret && !value.value.is_empty()) {
        value.value.clear();
        emptied = true;
    }
    emptied
}

fn take(token: &mut Bytes) -> bool {
    !std::mem::take(token).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::stigmer::agentexecution::AgentExecutionStatus;
    use crate::proto::stigmer::executioncontext::ExecutionValue;
    use crate::proto::v1::{CustomEvent, ExecutionCreated, SpecReplaced};

    const SECRET: &str = "hunter2-hunter2";

    fn spec_with_secrets() -> AgentExecutionSpec {
        let value = |is_secret, value: &str| ExecutionValue { value: value.into(), is_secret };
        AgentExecutionSpec {
            message: "do it".into(),
            callback_token: Bytes::from_static(SECRET.as_bytes()),
            runtime_env: [("KEY".into(), value(true, SECRET)), ("LANG".into(), value(false, "C"))].into(),
            ..Default::default()
        }
    }

    fn payload(body: Body) -> Bytes {
        Event { body: Some(body), ..Default::default() }.encode_to_vec().into()
    }

    fn holds_the_secret(bytes: &[u8]) -> bool {
        bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
    }

    #[test]
    fn values_marked_secret_and_callback_tokens_are_in_no_native_read() {
        let created = payload(Body::Created(ExecutionCreated {
            spec: Some(spec_with_secrets()),
            ..Default::default()
        }));
        let token = Bytes::from_static(SECRET.as_bytes());
        let execution = AgentExecution {
            spec: Some(spec_with_secrets()),
            status: Some(AgentExecutionStatus { callback_token: token, ..Default::default() }),
            ..Default::default()
        };
        let replaced = payload(Body::SpecReplaced(SpecReplaced { execution: Some(execution) }));
        for (type_tag, stored) in [(CREATED, created), (SPEC_REPLACED, replaced)] {
            assert!(holds_the_secret(&stored), "the stored event keeps it");
            assert!(!holds_the_secret(&for_readers(type_tag, &stored)));
        }
    }

    #[test]
    fn secrets_that_were_not_shown_are_kept_and_others_are_replaced() {
        let stored = spec_with_secrets();
        let mut shown = AgentExecution { spec: Some(stored.clone()), ..Default::default() };
        execution(&mut shown);
        let mut changed = shown.spec.expect("it has one");
        changed.message = "do it again".into();
        restore(&mut changed, &stored);
        assert_eq!(changed, AgentExecutionSpec { message: "do it again".into(), ..stored.clone() });
        changed.runtime_env.insert("KEY".into(), ExecutionValue { value: "new".into(), is_secret: true });
        changed.runtime_env.insert("LANG".into(), ExecutionValue { value: "".into(), is_secret: true });
        restore(&mut changed, &stored);
        assert_eq!(changed.runtime_env["KEY"].value, "new");
        assert_eq!(changed.runtime_env["LANG"].value, "", "what was no secret is not kept as one");
        changed.runtime_env.clear();
        restore(&mut changed, &stored);
        assert!(changed.runtime_env.is_empty(), "what is left out is taken away");
    }

    #[test]
    fn what_is_no_secret_stays_as_it_was() {
        let created = payload(Body::Created(ExecutionCreated {
            spec: Some(spec_with_secrets()),
            ..Default::default()
        }));
        let read = Event::decode(for_readers(CREATED, &created)).expect("it is an event");
        let Some(Body::Created(read)) = read.body else { panic!("the body is gone") };
        let spec = read.spec.expect("the spec is there");
        assert_eq!(spec.message, "do it");
        assert_eq!(spec.runtime_env["LANG"].value, "C");
        assert!(spec.runtime_env["KEY"].is_secret, "the name of a secret is none");

        let custom = payload(Body::Custom(CustomEvent { r#type: "t".into(), ..Default::default() }));
        assert_eq!(for_readers(30, &custom), custom);
    }

    #[test]
    fn a_payload_that_cannot_be_read_is_not_handed_out() {
        let wrong = Bytes::from_static(&[0xff, 0xff, 0xff]);
        assert!(for_readers(CREATED, &wrong).is_empty());
        assert_eq!(for_readers(21, &wrong), wrong, "kinds without secrets are not looked into");
    }
}

//! Requests of the Stigmer contract that say too little, too much or nonsense: each has its code and details,
//! and nothing of it is written.

use std::fmt::Debug;

use tapeline::proto::stigmer::agentexecution as wire;
use tapeline::proto::stigmer::apiresource::ApiResourceId;
use tonic::{Code, Response, Status};

use super::contract::{
    COMPLETED, IN_PROGRESS, clients, contents, created, get, id_of, message, new_execution,
    new_execution_with_id, status_of, tail, update, update_with, written,
};
use super::refusal::{invalid_field, refused};
use super::support::daemon::Daemon;

fn not_found<T: Debug>(result: Result<Response<T>, Status>) {
    refused(result, Code::NotFound, "EXECUTION_NOT_FOUND").says([("execution_id", "aex-none")]);
}

#[tokio::test]
async fn an_id_that_is_empty_or_none_or_of_nobody_is_refused_by_every_call() {
    let daemon = Daemon::start();
    let (mut command, mut query) = clients(&daemon);
    let before = written(&daemon).await;
    for id in ["", "no id", "ä", "a/b"] {
        assert_eq!(invalid_field(query.get(id_of(id)).await), "value", "{id:?}");
        assert_eq!(invalid_field(query.subscribe(id_of(id)).await), "value", "{id:?}");
        assert_eq!(
            invalid_field(command.delete(ApiResourceId { value: id.into() }).await),
            "value",
            "{id:?}"
        );
        let refused = command.update_status(update(id, IN_PROGRESS, &[])).await;
        assert_eq!(invalid_field(refused), "execution_id", "{id:?}");
        let refused = command.update(new_execution_with_id(id)).await;
        assert_eq!(invalid_field(refused), "metadata.id", "{id:?}");
    }
    let long = "x".repeat(129);
    for result in
        [query.get(id_of(&long)).await, command.update_status(update(&long, IN_PROGRESS, &[])).await]
    {
        let refusal = refused(result, Code::InvalidArgument, "INVALID_FIELD");
        assert_eq!((refusal.number("limit"), refusal.number("actual")), (128, 129));
    }
    not_found(query.get(id_of("aex-none")).await);
    not_found(query.subscribe(id_of("aex-none")).await);
    not_found(command.delete(ApiResourceId { value: "aex-none".into() }).await);
    not_found(command.update_status(update("aex-none", IN_PROGRESS, &["a"])).await);
    not_found(command.update(new_execution_with_id("aex-none")).await);
    assert_eq!(written(&daemon).await, before);
}

/// A valid execution in which something is changed.
fn changed(id: &str, change: impl Fn(&mut wire::AgentExecution)) -> wire::AgentExecution {
    let mut execution = new_execution_with_id(id);
    change(&mut execution);
    execution
}

#[tokio::test]
async fn what_an_execution_must_say_is_asked_for_by_name() {
    let daemon = Daemon::start();
    let (mut command, _) = clients(&daemon);
    command.create(new_execution_with_id("one")).await.expect("it is valid");
    let before = written(&daemon).await;
    type Change = fn(&mut wire::AgentExecution);
    let changes: [(&str, Change); 9] = [
        ("spec", |execution| execution.spec = None),
        ("metadata.name", |execution| execution.metadata.as_mut().expect("set").name.clear()),
        ("metadata.name", |execution| execution.metadata.as_mut().expect("set").name = "n".repeat(1_025)),
        ("metadata.owner_scope", |execution| execution.metadata.as_mut().expect("set").owner_scope = 2),
        ("metadata.owner_scope", |execution| execution.metadata.as_mut().expect("set").owner_scope = 99),
        ("spec.message", |execution| execution.spec.as_mut().expect("set").message.clear()),
        ("spec.session_id", |execution| execution.spec.as_mut().expect("set").session_id.clear()),
        ("api_version", |execution| execution.api_version = "v2".into()),
        ("kind", |execution| execution.kind = "Other".into()),
    ];
    for (field, change) in changes {
        assert_eq!(invalid_field(command.create(changed("", change)).await), field);
        assert_eq!(invalid_field(command.update(changed("one", change)).await), field);
    }
    let without_metadata = wire::AgentExecution { metadata: None, ..new_execution("one") };
    assert_eq!(invalid_field(command.create(without_metadata.clone()).await), "metadata");
    assert_eq!(invalid_field(command.update(without_metadata).await), "metadata.id");
    let unset = wire::AgentExecutionUpdateStatusInput { execution_id: "one".into(), status: None };
    assert_eq!(invalid_field(command.update_status(unset).await), "status");
    assert_eq!(written(&daemon).await, before);
    let by_agent = changed("two", |execution| {
        let spec = execution.spec.as_mut().expect("set");
        (spec.session_id, spec.agent_id) = (String::new(), "a".into());
        execution.api_version = "agentic.stigmer.ai/v1".into();
        execution.kind = "AgentExecution".into();
    });
    command.create(by_agent).await.expect("an agent is enough");
}

/// A phase decides something, so an unknown one is refused; the other enums only say something, and a newer
/// runner may know more of them.
#[tokio::test]
async fn numbers_out_of_an_enum_are_refused_for_phases_and_kept_for_all_else() {
    let daemon = Daemon::start();
    let (mut command, mut query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let before = written(&daemon).await;
    for phase in [6, 77, -1] {
        assert_eq!(invalid_field(command.update_status(update(&id, phase, &["a"])).await), "status.phase");
        let list = wire::ListAgentExecutionsRequest { phase, ..Default::default() };
        assert_eq!(invalid_field(query.list(list).await), "phase");
    }
    let list = wire::ListAgentExecutionsRequest { page_size: -1, ..Default::default() };
    assert_eq!(invalid_field(query.list(list).await), "page_size");
    let list = wire::ListAgentExecutionsRequest { page_token: "!".into(), ..Default::default() };
    assert_eq!(invalid_field(query.list(list).await), "page_token");
    assert_eq!(written(&daemon).await, before);
    let status = wire::AgentExecutionStatus {
        messages: vec![wire::AgentMessage { r#type: 99, ..message("a") }],
        tool_calls: vec![wire::ToolCall { status: 99, ..Default::default() }],
        sub_agent_executions: vec![wire::SubAgentExecution { status: -7, ..Default::default() }],
        todos: [("t".to_owned(), wire::TodoItem { status: 99, ..Default::default() })].into(),
        ..Default::default()
    };
    command.update_status(update_with(&id, status.clone())).await.expect("they are kept");
    let expected = wire::AgentExecutionStatus { phase: 1, ..status };
    let shown = wire::AgentExecutionStatus { audit: None, ..status_of(&get(&query, &id).await).clone() };
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn behind_the_end_what_changes_nothing_is_fine_and_all_else_is_refused_with_the_end() {
    let daemon = Daemon::start();
    let (mut command, query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    command.update_status(update(&id, COMPLETED, &["a"])).await.expect("it is valid");
    let (before, end) = (written(&daemon).await, tail(&daemon, &id).await.to_string());
    for nothing in [update(&id, COMPLETED, &["a"]), update(&id, 0, &[]), update(&id, COMPLETED, &[])] {
        command.update_status(nothing).await.expect("nothing changes");
    }
    let mut renamed = new_execution_with_id(&id);
    renamed.metadata.as_mut().expect("set").name = "two".into();
    for result in [
        command.update_status(update(&id, COMPLETED, &["a", "b"])).await,
        command.update_status(update(&id, IN_PROGRESS, &[])).await,
        command.update(renamed).await,
    ] {
        let refusal = refused(result, Code::FailedPrecondition, "EXECUTION_ENDED");
        refusal.says([("final_seq", &end), ("phase", "PHASE_COMPLETED")]);
    }
    assert_eq!(written(&daemon).await, before);
    assert_eq!(contents(&get(&query, &id).await), ["a"]);
}

//! What the store finds too large, told with the field it came from.

use tapeline_storage::limits::PRODUCERS_MAX;
use tapeline_storage::{OpenOptions, RedbStore};

use super::*;
use crate::proto::stigmer::agentexecution::AgentExecutionSpec;
use crate::proto::v1::event::Body;
use crate::proto::v1::{CreateExecutionRequest, CustomEvent, Event};

async fn appender(directory: &std::path::Path) -> Appender {
    let options = OpenOptions::new(directory.join("data"));
    let opened = tokio::task::spawn_blocking(|| RedbStore::open(options)).await.expect("no panic");
    Appender::new(Arc::new(opened.expect("the store opens")))
}

fn batch_of(producer: usize) -> wire::AppendRequest {
    let custom = CustomEvent { r#type: "x".into(), ..Default::default() };
    wire::AppendRequest {
        execution_id: "one".into(),
        events: vec![Event { body: Some(Body::Custom(custom)), ..Default::default() }],
        producer: Some(wire::Producer { id: format!("p{producer}"), epoch: 1, seq: 0 }),
        ..Default::default()
    }
}

fn created(spec: Option<AgentExecutionSpec>) -> CreateExecutionRequest {
    CreateExecutionRequest { execution_id: "one".into(), spec, ..Default::default() }
}

#[tokio::test]
async fn one_producer_too_many_is_refused_by_the_name_of_its_field() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let appender = appender(directory.path()).await;
    appender.create(created(None)).await.expect("it is new");
    for producer in 0..PRODUCERS_MAX {
        appender.append(batch_of(producer)).await.expect("there is room for this producer");
    }
    match appender.append(batch_of(PRODUCERS_MAX)).await.expect_err("there is no room for one more") {
        AppendError::Invalid(Invalid::Field { field, excess, .. }) => {
            assert_eq!((field.as_str(), excess), ("producer.id", Excess::over(64, 65)));
        }
        other => panic!("another error: {other:?}"),
    }
}

#[tokio::test]
async fn a_spec_that_is_too_large_is_refused_as_the_spec() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let appender = appender(directory.path()).await;
    let spec = AgentExecutionSpec { message: "x".repeat(1 << 20), ..Default::default() };
    match appender.create(created(Some(spec))).await.expect_err("it is too large") {
        AppendError::Invalid(Invalid::EventTooLarge { field, excess }) => {
            assert_eq!((field.as_str(), excess.limit), ("spec", 1 << 20));
        }
        other => panic!("another error: {other:?}"),
    }
    let name = CreateExecutionRequest { display_name: "x".repeat(2 << 20), ..created(None) };
    let refused = appender.create(name).await.expect_err("it is too long");
    assert!(refused.to_string().starts_with("display_name: "), "{refused}");
}

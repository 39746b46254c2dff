//! What `-o json` prints and what `docs/cli-json.md` says are the same, field by field.

mod document;

use tapeline::proto::stigmer::agentexecution::agent_execution_command_controller_client::AgentExecutionCommandControllerClient;
use tapeline::proto::stigmer::agentexecution::{AgentExecution, AgentExecutionSpec, ExecutionConfig};
use tapeline::proto::stigmer::apiresource::ApiResourceMetadata;
use tapeline::proto::stigmer::executioncontext::ExecutionValue;
use tapeline::proto::v1::CreateExecutionRequest;
use tapeline::proto::v1::execution_log_service_client::ExecutionLogServiceClient;

use self::document::Document;
use super::support::{Daemon, Running, finish, tapeline};

/// An event of every kind, with every field.
const EVENTS: &str = concat!(
    r#"{"message_added":{"index":0,"message":{"content":"hi","metadata":{"a":[1]},"tool_calls":[{"args":{},"component_metadata":{"metadata":{}}}]}}}"#,
    "\n",
    r#"{"message_text_appended":{"index":0,"text":" there"}}"#,
    "\n",
    r#"{"message_replaced":{"index":0,"message":{"type":"MESSAGE_AI","tool_calls":[{"name":"grep"}]}}}"#,
    "\n",
    r#"{"message_tool_call_set":{"index":0,"tool_call_index":0,"tool_call":{"name":"ls"}}}"#,
    "\n",
    r#"{"tool_call_set":{"index":0,"tool_call":{"name":"cat","status":"TOOL_CALL_RUNNING"}}}"#,
    "\n",
    r#"{"text_appended":{"target":"TARGET_TOOL_CALL_RESULT","index":0,"text":"found"}}"#,
    "\n",
    r#"{"sub_agent_set":{"index":0,"sub_agent":{"name":"helper","status":"SUB_AGENT_PENDING","metadata":{}}}}"#,
    "\n",
    r#"{"list_truncated":{"list":"LIST_SUB_AGENTS","length":0}}"#,
    "\n",
    r#"{"todo_set":{"id":"1","item":{"id":"1","content":"think","status":"TODO_PENDING"}}}"#,
    "\n",
    r#"{"todo_removed":{"id":"1"}}"#,
    "\n",
    r#"{"spec_replaced":{"execution":{"metadata":{"name":"n","labels":{"a":"b"},"tags":["t"],"version":{"id":"v"}},"status":{},"spec":{"message":"more"}}}}"#,
    "\n",
    r#"{"output":{"stream":"STREAM_STDOUT","data":"text"}}"#,
    "\n",
    r#"{"output":{"stream":"STREAM_STDERR","data_base64":"/wA="}}"#,
    "\n",
    r#"{"custom":{"type":"x","data":"{}","attributes":{"k":"v"}}}"#,
    "\n",
    r#"{"custom":{"type":"x","data_base64":"/wA="}}"#,
    "\n",
);

/// An execution with all that the command line cannot say of one.
fn create_with_spec(daemon: &Daemon, id: &str) {
    let value = |is_secret| ExecutionValue { value: "v".to_owned(), is_secret };
    let spec = AgentExecutionSpec {
        message: "do it".to_owned(),
        execution_config: Some(ExecutionConfig::default()),
        runtime_env: [("PUBLIC".to_owned(), value(false)), ("SECRET".to_owned(), value(true))].into(),
        ..AgentExecutionSpec::default()
    };
    let labels = [("k".to_owned(), "v".to_owned())].into();
    let request = CreateExecutionRequest {
        execution_id: id.to_owned(),
        labels,
        spec: Some(spec),
        ..CreateExecutionRequest::default()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut client = ExecutionLogServiceClient::connect(daemon.url()).await.unwrap();
        client.create_execution(request).await.unwrap();
    });
}

/// An execution of an agent, whose id the daemon chose.
fn create_agent(daemon: &Daemon) -> String {
    let execution = AgentExecution {
        metadata: Some(ApiResourceMetadata { name: "an agent".to_owned(), ..ApiResourceMetadata::default() }),
        spec: Some(AgentExecutionSpec {
            agent_id: "a".to_owned(),
            message: "do it".to_owned(),
            ..AgentExecutionSpec::default()
        }),
        ..AgentExecution::default()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let created = runtime.block_on(async {
        let mut client = AgentExecutionCommandControllerClient::connect(daemon.url()).await.unwrap();
        client.create(execution).await.unwrap().into_inner()
    });
    created.metadata.unwrap().id
}

#[test]
fn every_command_prints_what_the_document_says_and_nothing_else() {
    let (daemon, mut document) = (Daemon::start(), Document::read());
    create_with_spec(&daemon, "e1");
    let mut check = |args: &[&str], input: &str| {
        let done = daemon.shell_with(&[args, &["-o", "json"]].concat(), input.as_bytes());
        let lines = done.json();
        assert!(!lines.is_empty(), "{args:?}: {}", done.stderr);
        lines.iter().for_each(|line| document.check(args[0], line));
    };
    check(&["append", "e1"], EVENTS);
    check(&["create", "e2"], "");
    let watch = Running::start(&mut daemon.command(&["watch", "e2", "-o", "json"]));
    watch.wait_for_lines(1);
    check(&["watchers"], "");
    check(&["stats"], "");
    daemon.end("e1", "FAILED");
    check(&["watch", "e1"], "");
    for (id, script) in [("coded", "exit 3"), ("signalled", "kill -9 $$")] {
        daemon.shell(&["run", "--id", id, "--", "sh", "-c", script]);
        check(&["logs", id], "");
    }
    check(&["get", "e1"], "");
    check(&["get", &create_agent(&daemon)], "");
    check(&["list"], "");
    check(&["trim", "e1", "--floor", "4"], "");
    check(&["logs", "e1", "--after", "1"], "");
    assert_eq!(document.unseen(), Vec::<String>::new(), "documented, and never printed");
}

#[test]
fn every_command_that_prints_json_is_in_the_document() {
    let help = finish(tapeline().arg("--help"), b"");
    let verbs = help.text().split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    let verbs =
        verbs.lines().filter_map(|line| line.split_whitespace().next()).filter(|verb| *verb != "help");
    let with_json =
        verbs.filter(|verb| finish(tapeline().args([verb, "--help"]), b"").text().contains("--output"));
    let mut with_json: Vec<_> = with_json.collect();
    with_json.sort_unstable();
    assert_eq!(with_json, Document::read().commands.keys().map(String::as_str).collect::<Vec<_>>());
    assert!(with_json.len() > 5, "{}", help.text());
}

#[test]
fn every_enumeration_in_the_document_has_all_of_its_values() {
    let pool = tapeline::proto::descriptors();
    for (name, documented) in Document::read().enumerations {
        let names = |values: prost_reflect::EnumDescriptor| -> Vec<String> {
            values.values().map(|value| value.name().to_owned()).collect()
        };
        let mut all = pool.all_enums().map(names);
        let known = all.find(|values| values.iter().any(|value| documented.contains(value)));
        let known = known.unwrap_or_else(|| panic!("{name} is no enumeration"));
        let missing: Vec<_> = known
            .iter()
            .filter(|value| {
                !value.to_ascii_uppercase().ends_with("_UNSPECIFIED") && !documented.contains(*value)
            })
            .collect();
        assert!(missing.is_empty(), "{name} lacks {missing:?}");
        assert!(documented.iter().all(|value| known.contains(value)), "{name} has others than {known:?}");
    }
}

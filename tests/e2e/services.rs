//! What stands beside the API on the port, and the log: health, reflection, JSON lines.

use serde_json::Value;
use tapeline::proto::v1::CreateExecutionRequest;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

use super::support::append::{batch, creation, custom};
use super::support::daemon::Daemon;

const SERVICES: [&str; 5] = [
    "",
    "tapeline.v1.ExecutionLogService",
    "tapeline.v1.AdminService",
    "ai.stigmer.agentic.agentexecution.v1.AgentExecutionCommandController",
    "ai.stigmer.agentic.agentexecution.v1.AgentExecutionQueryController",
];

#[tokio::test]
async fn health_says_serving_for_each_service_and_not_serving_once_the_daemon_stops() {
    let mut daemon = Daemon::start();
    let mut health = HealthClient::new(daemon.channel());
    let mut watches = Vec::new();
    for service in SERVICES {
        let request = HealthCheckRequest { service: service.into() };
        let status = health.check(request.clone()).await.expect("known").into_inner().status();
        assert_eq!(status, ServingStatus::Serving, "{service:?}");
        let mut watch = health.watch(request).await.expect("known").into_inner();
        let first = watch.message().await.expect("no error").expect("a status");
        assert_eq!(first.status(), ServingStatus::Serving);
        watches.push(watch);
    }
    let unknown = HealthCheckRequest { service: "no.such.Service".into() };
    assert_eq!(health.check(unknown).await.expect_err("unknown").code(), Code::NotFound);
    let stopping = tokio::task::spawn_blocking(move || daemon.terminate());
    for mut watch in watches {
        let next = watch.message().await.expect("told before the end").expect("a status");
        assert_eq!(next.status(), ServingStatus::NotServing);
    }
    let (status, took) = stopping.await.expect("no panic");
    assert!(status.success() && took.as_secs() < 5, "{status} after {took:?}");
}

#[tokio::test]
async fn reflection_lists_the_services_and_their_files_in_v1() {
    use v1::server_reflection_request::MessageRequest;
    use v1::server_reflection_response::MessageResponse;
    let daemon = Daemon::start();
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(daemon.channel());
    let ask = |message| v1::ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let requests = tokio_stream::iter([
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("tapeline.v1.ExecutionLogService".into())),
    ]);
    let mut replies = client.server_reflection_info(requests).await.expect("served").into_inner();
    let mut next = async || replies.message().await.expect("no error").expect("a reply").message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = next().await else { panic!("not a list") };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    for service in SERVICES[1..].iter().chain(&["grpc.health.v1.Health"]) {
        assert!(names.contains(service), "{service} is not in {names:?}");
    }
    let Some(MessageResponse::FileDescriptorResponse(files)) = next().await else { panic!("not a file") };
    assert!(!files.file_descriptor_proto.is_empty());
}

#[tokio::test]
async fn reflection_lists_the_services_in_v1alpha_for_older_tools() {
    use v1alpha::server_reflection_request::MessageRequest;
    use v1alpha::server_reflection_response::MessageResponse;
    let daemon = Daemon::start();
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(daemon.channel());
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = v1alpha::ServerReflectionRequest { host: String::new(), message_request };
    let replies = client.server_reflection_info(tokio_stream::iter([request])).await;
    let reply = replies.expect("served").into_inner().message().await.expect("no error").expect("a reply");
    let Some(MessageResponse::ListServicesResponse(list)) = reply.message_response else {
        panic!("not a list")
    };
    assert!(list.service.iter().any(|service| service.name == SERVICES[1]), "{list:?}");
}

#[tokio::test]
async fn the_log_is_one_json_object_a_line_without_payloads() {
    let mut daemon = Daemon::start_with(&["--log-format", "json", "--log-level", "trace"]);
    let mut client = daemon.client();
    let request = CreateExecutionRequest { display_name: "a-name-nobody-logs".into(), ..creation("one") };
    client.create_execution(request).await.expect("new");
    client.append(batch("one", vec![custom("a-payload-nobody-logs")])).await.expect("fine");
    client.append(batch("nobody", vec![custom("a-payload-nobody-logs")])).await.expect_err("refused");
    drop(client);
    let (status, _) = daemon.terminate();
    assert!(status.success());
    let log = daemon.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let said = |message: &str| lines.iter().any(|line| line["message"] == message && line["level"] == "INFO");
    assert!(said("ready") && said("stopping") && said("stopped"), "{log}");
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["target"].is_string()));
    let ours = log.lines().filter(|line| line.contains("\"target\":\"tapeline"));
    for line in ours {
        assert!(!line.contains("nobody-logs"), "{line}");
    }
}

#[tokio::test]
async fn an_answer_carries_no_date_so_that_no_clock_can_fail_it() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    let reply = client.create_execution(creation("one")).await.expect("new");
    assert_eq!(reply.metadata().get("date"), None);
    let refused = client.append(batch("no", vec![custom("x")])).await.expect_err("no such execution");
    assert_eq!(refused.metadata().get("date"), None);
}

//! Secrets are stored, and shown to no native reader and in no log.

use std::collections::BTreeMap;

use prost::Message;
use tapeline::proto::stigmer::agentexecution::{AgentExecution, AgentExecutionSpec};
use tapeline::proto::stigmer::executioncontext::ExecutionValue;
use tapeline::proto::v1::watch_response::Frame;
use tapeline::proto::v1::{
    CreateExecutionRequest, Event, GetExecutionRequest, ListExecutionsRequest, ReadEventsRequest,
    SpecReplaced, WatchAllRequest, event,
};

use super::stream::{Watch, watching};
use super::support::append::{batch, creation};
use super::support::daemon::{Client, Daemon};

const SECRETS: [&str; 2] = ["hunter2-in-the-env", "token-of-the-callback"];
const PLAIN: &str = "a value that is none";

fn spec() -> AgentExecutionSpec {
    let value = |value: &str, is_secret| ExecutionValue { value: value.into(), is_secret };
    AgentExecutionSpec {
        message: "do something".into(),
        runtime_env: BTreeMap::from([
            ("KEY".to_owned(), value(SECRETS[0], true)),
            ("PLAIN".to_owned(), value(PLAIN, false)),
        ]),
        callback_token: SECRETS[1].into(),
        ..AgentExecutionSpec::default()
    }
}

/// Asserts that an answer shows what is no secret and nothing that is one.
fn shows_no_secret(what: &str, answer: &[u8]) {
    let has = |word: &str| answer.windows(word.len()).any(|window| window == word.as_bytes());
    for secret in SECRETS {
        assert!(!has(secret), "{what} shows {secret:?}");
    }
}

async fn all_answers(client: &Client) -> Vec<(&'static str, Vec<u8>)> {
    let mut client = client.clone();
    let execution_id = "one".to_owned();
    let read = ReadEventsRequest { execution_id: execution_id.clone(), ..ReadEventsRequest::default() };
    let page = client.read_events(read).await.expect("fine").into_inner();
    let get = GetExecutionRequest { execution_id };
    let head = client.get_execution(get).await.expect("fine").into_inner();
    let list = client.list_executions(ListExecutionsRequest::default()).await.expect("fine").into_inner();
    let mut answers =
        vec![("read", page.encode_to_vec()), ("get", head.encode_to_vec()), ("list", list.encode_to_vec())];
    let one = Watch::open(&client, watching("one")).await.expect("there");
    let all = Watch::open_all(&client, WatchAllRequest::default()).await.expect("there");
    for (name, mut watch) in [("watch", one), ("watch of all", all)] {
        loop {
            match watch.next().await {
                Frame::Events(events) => answers.push((name, events.encode_to_vec())),
                Frame::CaughtUp(_) => break,
                other => panic!("unexpected: {other:?}"),
            }
        }
    }
    answers
}

#[tokio::test]
async fn secrets_are_shown_to_no_native_reader_live_or_later_and_in_no_log() {
    let mut daemon = Daemon::start_with(&["--log-level", "tapeline=trace,tapeline_storage=trace,info"]);
    let client = daemon.client();
    let mut live = Watch::open_all(&client, WatchAllRequest::default()).await.expect("there");
    live.until_caught_up().await;
    let request = CreateExecutionRequest { spec: Some(spec()), ..creation("one") };
    let created = client.clone().create_execution(request.clone()).await.expect("new").into_inner();
    shows_no_secret("create", &created.encode_to_vec());
    let execution = AgentExecution { spec: Some(spec()), ..AgentExecution::default() };
    let replaced = event::Body::SpecReplaced(SpecReplaced { execution: Some(execution) });
    let event = Event { body: Some(replaced), ..Event::default() };
    client.clone().append(batch("one", vec![event])).await.expect("fine");
    let mut seen = 0;
    while seen < 2 {
        if let Frame::Events(events) = live.next().await {
            seen += events.events.len();
            shows_no_secret("live", &events.encode_to_vec());
        }
    }
    for restarted in [false, true] {
        if restarted {
            daemon.kill();
            daemon.start_again();
        }
        let answers = all_answers(&daemon.client()).await;
        for (what, answer) in &answers {
            shows_no_secret(what, answer);
        }
        let plain = |answer: &[u8]| answer.windows(PLAIN.len()).any(|window| window == PLAIN.as_bytes());
        let shown = answers.iter().filter(|(_, answer)| plain(answer)).count();
        assert!(shown >= 3, "read, watch and watch of all show what is no secret");
    }
    // They are kept all the same: the creation with another secret is another creation.
    daemon.client().create_execution(request.clone()).await.expect("the same");
    let mut other = request;
    other.spec.get_or_insert_default().callback_token = "another".into();
    daemon.client().create_execution(other).await.expect_err("another");
    shows_no_secret("the log", daemon.log().as_bytes());
}

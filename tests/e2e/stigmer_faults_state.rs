//! What must not go wrong with what is stored of a run. Each test has the name of a fault of the server whose
//! contract this is, and passes where the fault is not.

use prost::Message;
use tapeline::proto::stigmer::agentexecution as wire;
use tapeline::proto::v1::event::Body;
use tapeline::proto::v1::watch_response::Frame;
use tapeline::proto::v1::{GetExecutionRequest, ReadEventsRequest};
use tonic::Code;

use super::contract::{
    COMPLETED, FAILED, IN_PROGRESS, clients, contents, created, get, message, phase_of, status_of, subscribe,
    tail, update, update_with,
};
use super::refusal::refused;
use super::stream::{Watch, watching};
use super::support::daemon::Daemon;

/// Where it happens, the sums are those of what the runner sent: 20 MB and not 200 KB.
#[tokio::test]
async fn whole_state_sent_stored_and_broadcast_each_time_o_n2_bytes() {
    const MESSAGES: usize = 200;
    const MESSAGE_BYTES: usize = 1_000;
    /// What new text may cost at most.
    const COST_MAX: u64 = 2 * (MESSAGES * MESSAGE_BYTES) as u64;
    let daemon = Daemon::start();
    let (mut command, _) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let texts: Vec<_> =
        (0..MESSAGES).map(|number| format!("{number:0width$}", width = MESSAGE_BYTES)).collect();
    let mut sent = 0;
    for known in 1..=MESSAGES {
        let texts: Vec<_> = texts[..known].iter().map(String::as_str).collect();
        let update = update(&id, IN_PROGRESS, &texts);
        sent += update.encoded_len() as u64;
        command.update_status(update).await.expect("it is valid");
    }
    assert!(sent > 10 * COST_MAX, "the runner sent little: {sent}");
    let client = daemon.client();
    let get = GetExecutionRequest { execution_id: id.clone() };
    let stored = client.clone().get_execution(get).await.expect("it is there").into_inner().stored_bytes;
    assert!(stored < COST_MAX, "{stored} bytes are stored of {sent}");
    let mut watch = Watch::open(&client, watching(&id)).await.expect("there");
    let mut broadcast = 0;
    loop {
        match watch.next().await {
            Frame::Events(batch) => broadcast += batch.encoded_len() as u64,
            Frame::CaughtUp(_) => break,
            other => panic!("unexpected: {other:?}"),
        }
    }
    assert!(broadcast < COST_MAX, "{broadcast} bytes are broadcast of {sent}");
}

/// Where it happens, clients that take 4 MiB fail at each reply and each state: the runner takes an update
/// that was stored for a failure, and nobody sees the end.
#[tokio::test]
async fn a_state_above_4_mib_makes_the_run_unwatchable_and_the_runner_resend_for_ever() {
    let daemon = Daemon::start();
    let (mut command, mut query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let long = "x".repeat(2 << 20);
    let reply =
        command.update_status(update(&id, IN_PROGRESS, &[&long, &long, &long])).await.expect("it fits");
    assert_eq!(reply.metadata().get("tapeline-truncated").expect("said"), "true");
    let reply = query.get(super::contract::id_of(&id)).await.expect("it fits");
    let lengths: Vec<_> = contents(reply.get_ref()).iter().map(|content| content.len()).collect();
    assert_eq!(lengths, [0, 0, 2 << 20]);
    let mut states = subscribe(&query, &id).await;
    let annotations = states.next().await.metadata.expect("always set").annotations;
    assert_eq!(annotations["tapeline-truncated"], "true");
    // Arguments are no text: they alone can be too much too.
    let value = prost_types::value::Kind::StringValue("a".repeat(1_000_000));
    let args = prost_types::Struct {
        fields: [("content".to_owned(), prost_types::Value { kind: Some(value) })].into(),
    };
    let call = |number: i32| wire::ToolCall {
        id: number.to_string(),
        args: Some(args.clone()),
        ..Default::default()
    };
    let status = wire::AgentExecutionStatus { tool_calls: (0..5).map(call).collect(), ..Default::default() };
    command.update_status(update_with(&id, status)).await.expect("it fits");
    assert_eq!(status_of(&states.next().await).tool_calls.len(), 5);
    command.update_status(update(&id, COMPLETED, &[])).await.expect("it fits");
    assert_eq!(phase_of(states.rest().await.last().expect("the last state")), COMPLETED);
}

/// Where it happens, one of two that write different parts at once writes back what it read of the other's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_concurrent_updates_overwrite_each_other() {
    const ROUNDS: usize = 50;
    let daemon = Daemon::start();
    let (command, query) = clients(&daemon);
    let id = created(&mut command.clone(), "one").await;
    let before = tail(&daemon, &id).await;
    let said = {
        let (mut command, id) = (command.clone(), id.clone());
        tokio::spawn(async move {
            for number in 0..ROUNDS {
                let text = format!("said {number}");
                let reply = command.update_status(update(&id, 0, &[&text])).await.expect("none is refused");
                assert_eq!(contents(reply.get_ref()), [text], "its own update is not in the reply");
            }
        })
    };
    let called = {
        let (mut command, id) = (command.clone(), id.clone());
        tokio::spawn(async move {
            for number in 1..=ROUNDS {
                let tool_calls = vec![wire::ToolCall::default(); number];
                let status = wire::AgentExecutionStatus { tool_calls, ..Default::default() };
                let reply = command.update_status(update_with(&id, status)).await.expect("none is refused");
                assert_eq!(status_of(reply.get_ref()).tool_calls.len(), number);
            }
        })
    };
    said.await.expect("no panic");
    called.await.expect("no panic");
    let state = get(&query, &id).await;
    assert_eq!(contents(&state), [format!("said {}", ROUNDS - 1)]);
    assert_eq!(status_of(&state).tool_calls.len(), ROUNDS);
    assert_eq!(tail(&daemon, &id).await, before + 2 * ROUNDS as u64, "each update is one event");
}

/// The same with many who all write the same part: each of them is in the log, none is merged away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_concurrent_updates_are_all_in_the_log() {
    let daemon = Daemon::start();
    let (mut command, query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let before = tail(&daemon, &id).await;
    let updates = (0..64).map(|number| {
        let (mut command, id) = (command.clone(), id.clone());
        tokio::spawn(async move {
            let text = format!("from {number}");
            let reply = command.update_status(update(&id, IN_PROGRESS, &[&text])).await;
            reply.map(|reply| contents(&reply.into_inner()).len())
        })
    });
    for update in updates.collect::<Vec<_>>() {
        assert_eq!(update.await.expect("no panic").expect("none is refused"), 1);
    }
    assert_eq!(tail(&daemon, &id).await, before + 65, "64 changes of the message and the phase");
    assert_eq!(contents(&get(&query, &id).await).len(), 1);
}

/// Where it happens, the run is in progress again, and who watched it to its end never learns of it.
#[tokio::test]
async fn a_late_update_reopens_a_finished_run() {
    let daemon = Daemon::start();
    let (mut command, query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    command.update_status(update(&id, COMPLETED, &["a"])).await.expect("it is valid");
    let end = tail(&daemon, &id).await;
    command.update_status(update(&id, COMPLETED, &["a"])).await.expect("nothing changes");
    for late in [update(&id, IN_PROGRESS, &["a"]), update(&id, 0, &["a", "b"]), update(&id, FAILED, &[])] {
        let refusal = refused(command.update_status(late).await, Code::FailedPrecondition, "EXECUTION_ENDED");
        refusal.says([("final_seq", &end.to_string()), ("phase", "PHASE_COMPLETED")]);
    }
    assert_eq!(tail(&daemon, &id).await, end);
    let state = get(&query, &id).await;
    assert_eq!((contents(&state), phase_of(&state)), (vec!["a"], COMPLETED));
}

/// Where it happens, the second one is in the log too: every watcher sees it, and text is there twice.
#[tokio::test]
async fn a_retried_update_is_applied_twice() {
    let mut daemon = Daemon::start();
    let (mut command, _) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let updates = [
        update(&id, IN_PROGRESS, &["a"]),
        update(&id, IN_PROGRESS, &["ab", "b"]),
        update(&id, IN_PROGRESS, &["ab"]),
        update(&id, COMPLETED, &["abc"]),
    ];
    for update in updates {
        command.update_status(update.clone()).await.expect("it is valid");
        let once = tail(&daemon, &id).await;
        command.update_status(update.clone()).await.expect("it is in there");
        // A runner that lost the reply to a crash does so too.
        daemon.kill();
        daemon.start_again();
        let (mut restarted, query) = clients(&daemon);
        let reply = restarted.update_status(update.clone()).await.expect("it is in there").into_inner();
        assert_eq!(tail(&daemon, &id).await, once);
        let sent = update.status.expect("set").messages;
        assert_eq!(status_of(&reply).messages, sent);
        assert_eq!(status_of(&get(&query, &id).await).messages, sent);
        command = restarted;
    }
}

/// A system that fails sends a status of its own: one message of the system, an error, FAILED. By the rule
/// that lists replace lists the transcript would be gone, and a client that prints the messages it has not
/// printed yet would not even show the error, which has the place of one it has printed. So such a status is
/// the exception: what it says goes behind the transcript.
#[tokio::test]
async fn a_system_failure_replaces_the_transcript_with_an_error() {
    let daemon = Daemon::start();
    let (mut command, query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    command.update_status(update(&id, IN_PROGRESS, &["do it", "working on it"])).await.expect("it is valid");
    let mut states = subscribe(&query, &id).await;
    states.next().await;
    let says = wire::AgentMessage { r#type: 4, ..message("the worker is gone") };
    let failure = wire::AgentExecutionStatus {
        phase: FAILED,
        error: "lost".into(),
        messages: vec![says],
        ..Default::default()
    };
    command.update_status(update_with(&id, failure.clone())).await.expect("it is valid");
    let shown = states.rest().await.pop().expect("the last state");
    assert_eq!(contents(&shown), ["do it", "working on it", "the worker is gone"]);
    assert_eq!((phase_of(&shown), status_of(&shown).error.as_str()), (FAILED, "lost"));
    let end = tail(&daemon, &id).await;
    command.update_status(update_with(&id, failure)).await.expect("it is in there");
    assert_eq!(tail(&daemon, &id).await, end, "the same failure once more is none");
    let request = ReadEventsRequest { execution_id: id, ..Default::default() };
    let events = daemon.client().read_events(request).await.expect("it is there").into_inner().events;
    let lost = events
        .iter()
        .filter(|event| matches!(&event.body, Some(Body::MessageReplaced(_) | Body::ListTruncated(_))));
    assert_eq!(lost.count(), 0, "{events:?}");
}

/// Where it happens, one of each pair is gone: they are told apart by what they say, not by where they are.
#[tokio::test]
async fn two_tool_calls_with_equal_content_collapse_into_one() {
    let daemon = Daemon::start();
    let (mut command, query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let call = wire::ToolCall { id: "c".into(), name: "ls".into(), status: 2, ..Default::default() };
    let calls = vec![call.clone(), call.clone()];
    let says = wire::AgentMessage { tool_calls: calls.clone(), ..message("twice") };
    let mut status = wire::AgentExecutionStatus {
        messages: vec![says.clone(), says],
        tool_calls: calls,
        sub_agent_executions: vec![wire::SubAgentExecution::default(); 2],
        ..Default::default()
    };
    command.update_status(update_with(&id, status.clone())).await.expect("it is valid");
    let pairs = |state: &wire::AgentExecution| {
        let status = status_of(state);
        (status.messages.clone(), status.tool_calls.clone(), status.sub_agent_executions.len())
    };
    let state = get(&query, &id).await;
    assert_eq!(pairs(&state), (status.messages.clone(), status.tool_calls.clone(), 2));
    // One of the two goes on by itself.
    for call in [&mut status.messages[1].tool_calls[0], &mut status.tool_calls[1]] {
        call.result = "a b".into();
    }
    command.update_status(update_with(&id, status.clone())).await.expect("it is valid");
    let state = get(&query, &id).await;
    assert_eq!(pairs(&state), (status.messages, status.tool_calls, 2));
}

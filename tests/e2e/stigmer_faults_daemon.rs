//! What must not go wrong with the daemon around the contract: its disk, its stop, its lists, its address.
//! Each test has the name of a fault of the server whose contract this is, and passes where the fault is not.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use tapeline::proto::stigmer::agentexecution as wire;
use tapeline::proto::stigmer::apiresource::ApiResourceId;
use tapeline::proto::v1::event::Body;
use tapeline::proto::v1::{Event, MessageAdded};
use tonic::Code;

use super::contract::{
    Command, IN_PROGRESS, clients, contents, created, get, id_of, message, new_execution,
    new_execution_with_id, phase_of, subscribe, tail, update,
};
use super::faults::seal;
use super::refusal::{refusal, refused};
use super::stream::{Watch, watching};
use super::support::append::batch;
use super::support::daemon::{Daemon, PATIENCE, exit_of};

/// Where it happens, a subscriber sees nothing of what did not come by `updateStatus`, and waits for ever for
/// what was deleted.
#[tokio::test]
async fn some_writers_by_pass_the_broker_delete_leaves_watchers_hanging() {
    let daemon = Daemon::start();
    let (mut command, mut query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let mut states = subscribe(&query, &id).await;
    let mut watch = Watch::open(&daemon.client(), watching(&id)).await.expect("there");
    states.next().await;
    let added = MessageAdded { index: 0, message: Some(message("native")) };
    let event = Event { body: Some(Body::MessageAdded(added)), ..Default::default() };
    daemon.client().append(batch(&id, vec![event])).await.expect("the index fits");
    assert_eq!(contents(&states.next().await), ["native"]);
    let mut renamed = new_execution("two");
    renamed.metadata.as_mut().expect("set").id = id.clone();
    command.update(renamed).await.expect("it is valid");
    assert_eq!(states.next().await.metadata.expect("always set").name, "two");
    let reply = command.delete(ApiResourceId { value: id.clone() }).await.expect("it is there").into_inner();
    assert_eq!(reply.metadata.as_ref().expect("always set").name, "two");
    assert_eq!(contents(&reply), ["native"]);
    refusal(states.error().await, Code::NotFound, "EXECUTION_NOT_FOUND");
    let rest = watch.rest().await;
    assert_eq!(rest.last().map(String::as_str), Some("end REASON_DELETED 4 PHASE_PENDING"));
    refused(query.get(id_of(&id)).await, Code::NotFound, "EXECUTION_NOT_FOUND");
    refused(query.subscribe(id_of(&id)).await, Code::NotFound, "EXECUTION_NOT_FOUND");
}

/// Where it happens, a runner takes an execution that cannot be read for one that was deleted, and gives up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_errors_are_reported_as_not_found() {
    let mut daemon = Daemon::start_faulty();
    let (mut command, _) = clients(&daemon);
    for (id, word) in [("bad", "uniquely"), ("good", "ordinarily")] {
        command.create(new_execution_with_id(id)).await.expect("it is valid");
        command.update_status(update(id, IN_PROGRESS, &[word])).await.expect("it is valid");
    }
    daemon.kill();
    seal(&daemon).await;
    daemon.script("archive read flip text=uniquely");
    daemon.start_again();
    let (mut command, mut query) = clients(&daemon);
    let (code, reason) = (Code::DataLoss, "CORRUPT_RECORD");
    refused(query.get(id_of("bad")).await, code, reason);
    refused(command.update_status(update("bad", IN_PROGRESS, &["b"])).await, code, reason);
    let mut states = subscribe(&query, "bad").await;
    refusal(states.error().await, code, reason);
    assert_eq!(contents(&get(&query, "good").await), ["ordinarily"]);
    // A disk that fails altogether.
    let mut states = subscribe(&query, "good").await;
    states.next().await;
    daemon.script("journal sync_data eio");
    let (code, reason) = (Code::Unavailable, "OUTCOME_UNKNOWN");
    refused(command.update_status(update("good", IN_PROGRESS, &["b"])).await, code, reason);
    refusal(states.error().await, Code::Unavailable, "STORAGE_FAILED");
    assert_eq!(daemon.ended().code(), Some(74), "{}", daemon.log());
}

/// Where it happens, the update is acknowledged before the disk has it: it comes back though the sync takes
/// its time, or has failed, and is gone after a kill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_but_not_synced() {
    const SYNC: Duration = Duration::from_millis(1_500);
    let mut daemon = Daemon::start_faulty();
    let (mut command, query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let mut states = subscribe(&query, &id).await;
    states.next().await;
    daemon.script(&format!("journal sync_data delay {} times=1", SYNC.as_millis()));
    let begun = Instant::now();
    command.update_status(update(&id, IN_PROGRESS, &["a", "b"])).await.expect("it is valid");
    assert!(begun.elapsed() >= SYNC, "acknowledged after {:?}", begun.elapsed());
    daemon.kill();
    daemon.start_again();
    let (mut command, query) = clients(&daemon);
    assert_eq!(contents(&get(&query, &id).await), ["a", "b"]);
    daemon.script("journal sync_data eio");
    let lost = command.update_status(update(&id, IN_PROGRESS, &["a", "b", "c"])).await;
    refused(lost, Code::Unavailable, "OUTCOME_UNKNOWN");
    daemon.ended();
}

async fn created_with_tag(command: &mut Command, number: usize) -> String {
    let mut execution = new_execution(&format!("n{number}"));
    execution.metadata.as_mut().expect("set").tags = vec![format!("t{}", number % 2)];
    let spec = execution.spec.as_mut().expect("set");
    spec.session_id = if number < 4 { "s".into() } else { "other".into() };
    let reply = command.create(execution).await.expect("it is valid").into_inner();
    reply.metadata.expect("always set").id
}

fn ids(list: wire::AgentExecutionList) -> Vec<String> {
    list.entries.into_iter().map(|entry| entry.metadata.expect("always set").id).collect()
}

/// Where it happens, there are no entries, or the first page again and again.
#[tokio::test]
async fn lists_come_back_empty_and_ignore_paging() {
    let daemon = Daemon::start();
    let (mut command, mut query) = clients(&daemon);
    let mut newest_first = Vec::new();
    for number in 0..5 {
        newest_first.insert(0, created_with_tag(&mut command, number).await);
    }
    // The reply has no place for a token: the id of the last entry is one. Another is in the metadata.
    for by_id in [true, false] {
        let (mut seen, mut page_token) = (Vec::new(), String::new());
        while seen.len() < 5 {
            let request = wire::ListAgentExecutionsRequest { page_size: 2, page_token, ..Default::default() };
            let reply = query.list(request).await.expect("it is valid");
            let next = reply.metadata().get("tapeline-next-page-token").cloned();
            let page = reply.into_inner();
            assert_eq!((page.total_pages, page.entries.len()), (3, 2.min(5 - seen.len())));
            seen.extend(ids(page));
            // Pages are stable while others are created.
            created_with_tag(&mut command, 9).await;
            command.delete(ApiResourceId { value: newest_of(&mut query).await }).await.expect("it is there");
            page_token = match (by_id, next) {
                (false, Some(token)) => token.to_str().expect("it is ASCII").to_owned(),
                _ => seen.last().expect("a page is not empty here").clone(),
            };
        }
        assert_eq!(seen, newest_first);
    }
    command.update_status(update(&newest_first[0], IN_PROGRESS, &[])).await.expect("it is valid");
    let tagged = wire::ListAgentExecutionsRequest { tags: vec!["t1".into()], ..Default::default() };
    assert_eq!(
        ids(query.list(tagged).await.expect("valid").into_inner()),
        [&newest_first[1], &newest_first[3]].map(Clone::clone)
    );
    let running = wire::ListAgentExecutionsRequest { phase: IN_PROGRESS, ..Default::default() };
    let page = query.list(running).await.expect("valid").into_inner();
    assert_eq!((page.total_pages, phase_of(&page.entries[0])), (1, IN_PROGRESS));
    assert_eq!(ids(page), newest_first[..1]);
    let (mut seen, mut page_token) = (BTreeSet::new(), String::new());
    for _ in 0..2 {
        let session_id = "s".to_owned();
        let request = wire::ListAgentExecutionsBySessionRequest { session_id, page_size: 2, page_token };
        let reply = query.list_by_session(request).await.expect("it is valid");
        page_token = reply
            .metadata()
            .get("tapeline-next-page-token")
            .map_or_else(String::new, |token| token.to_str().expect("it is ASCII").to_owned());
        assert_eq!(reply.get_ref().total_pages, 2);
        seen.extend(ids(reply.into_inner()));
    }
    assert_eq!(seen, newest_first[1..].iter().cloned().collect());
}

async fn newest_of(query: &mut super::contract::Query) -> String {
    let request = wire::ListAgentExecutionsRequest { page_size: 1, ..Default::default() };
    ids(query.list(request).await.expect("it is valid").into_inner()).remove(0)
}

/// Where it happens, the daemon waits for subscribers to leave, who wait for the next state.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_hangs_while_a_watcher_is_connected() {
    let mut daemon = Daemon::start();
    let (mut command, query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let mut readers = Vec::new();
    for _ in 0..20 {
        let mut states = subscribe(&query, &id).await;
        states.next().await;
        readers.push(tokio::spawn(async move { states.error().await }));
    }
    // One that reads nothing, on a connection whose buffers are full.
    let _sleeper = subscribe(&clients(&daemon).1, &id).await;
    for number in 0..40 {
        let text = format!("{number}{}", "x".repeat(256 << 10));
        command.update_status(update(&id, IN_PROGRESS, &[&text])).await.expect("it is valid");
    }
    let stopping = tokio::task::spawn_blocking(move || daemon.terminate());
    for reader in readers {
        refusal(reader.await.expect("no panic"), Code::Unavailable, "SHUTTING_DOWN");
    }
    let (status, took) = stopping.await.expect("no panic");
    assert!(status.success() && took < Duration::from_secs(5), "{status} after {took:?}");
}

/// The addresses on which something listens at this port, as Linux tells them.
fn listening_on(port: u16) -> Vec<String> {
    let mut addresses = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let table = std::fs::read_to_string(table).unwrap_or_default();
        for line in table.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (address, found) = words[1].split_once(':').expect("an address has a port");
            if words[3] == "0A" && u16::from_str_radix(found, 16) == Ok(port) {
                addresses.push(address.to_owned());
            }
        }
    }
    addresses
}

/// Where it happens, the address is 0.0.0.0, by default or because somebody said so.
#[tokio::test]
async fn listens_on_all_interfaces_with_no_auth() {
    let daemon = Daemon::start();
    let loopback = format!("{:08X}", u32::from(Ipv4Addr::LOCALHOST).swap_bytes());
    assert_eq!(listening_on(daemon.addr().port()), [loopback]);
    assert_eq!(tapeline::config::LISTEN_DEFAULT.to_string(), "127.0.0.1:50051");
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:50051"] {
        let mut serve = Process::new(env!("CARGO_BIN_EXE_tapeline"));
        serve.args(["serve", "--listen", listen, "--data-dir"]).arg(daemon.path("other"));
        let (code, stderr) = exit_of(&mut serve, &daemon.path("stderr"));
        assert_eq!(code, Some(78), "{listen}: {stderr}");
    }
    // Whether the port is free or taken on this machine, what it says names the default.
    let mut serve = Process::new(env!("CARGO_BIN_EXE_tapeline"));
    serve.arg("serve").arg("--data-dir").arg(daemon.path("default"));
    serve.env_remove("TAPELINE_LISTEN").env_remove("TAPELINE_CONFIG").stdin(Stdio::null());
    let stdout = std::fs::File::create(daemon.path("stdout")).expect("it can be made");
    let stderr = std::fs::File::create(daemon.path("stderr")).expect("it can be made");
    let mut child = serve.stdout(stdout).stderr(stderr).spawn().expect("the binary starts");
    let begun = Instant::now();
    let said = loop {
        let said =
            ["stdout", "stderr"].map(|name| std::fs::read_to_string(daemon.path(name)).unwrap_or_default());
        let ended = child.try_wait().expect("it can be waited for").is_some();
        if said[0].contains('\n') || ended {
            break said;
        }
        assert!(begun.elapsed() < PATIENCE, "{said:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    // It may have ended by itself.
    let _ = child.kill();
    child.wait().expect("it can be reaped");
    assert!(said.concat().contains("127.0.0.1:50051"), "{said:?}");
    assert_eq!(tail(&daemon, &created(&mut clients(&daemon).0, "one").await).await, 2);
}

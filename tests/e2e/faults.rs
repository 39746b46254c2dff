//! The rows of the error table that only a failing disk can provoke, through the real daemon on a disk
//! whose faults are scripted.

use std::time::{Duration, Instant};

use tapeline::proto::v1::{
    DeleteExecutionRequest, GetExecutionRequest, GetStatsRequest, ReadEventsRequest, WatchAllRequest,
};
use tapeline_storage::{EventStore, OpenOptions, RedbStore};
use tokio::task::JoinSet;
use tonic::Code;

use super::refusal::{refusal, refused};
use super::stream::{Watch, eventually, watching};
use super::support::append::{batch, creation, custom, produced};
use super::support::daemon::{Client, Daemon, PATIENCE};

/// From the error to the end of the process. What is promised is 500 ms; the rest is for a machine
/// under load.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

async fn tail(client: &Client, id: &str) -> u64 {
    let request = GetExecutionRequest { execution_id: id.into() };
    client.clone().get_execution(request).await.expect("it exists").into_inner().tail_seq
}

fn read(id: &str, after_seq: u64) -> ReadEventsRequest {
    ReadEventsRequest { execution_id: id.into(), after_seq, ..ReadEventsRequest::default() }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_while_reads_and_watches_go_on_and_is_left_without_a_restart() {
    let daemon = Daemon::start_faulty();
    let (client, admin) = (daemon.client(), daemon.admin());
    client.clone().create_execution(creation("one")).await.expect("new");
    client.clone().append(produced("one", ("p", 1, 0), vec![custom("x")])).await.expect("next");
    let mut watch = Watch::open(&client, watching("one")).await.expect("there");
    watch.until_caught_up().await;
    daemon.script("free 0");
    let (code, reason) = (Code::ResourceExhausted, "DISK_FULL");
    refused(client.clone().append(batch("one", vec![custom("y")])).await, code, reason).says([]);
    refused(client.clone().create_execution(creation("two")).await, code, reason).says([]);
    let delete = DeleteExecutionRequest { execution_id: "one".into() };
    refused(client.clone().delete_execution(delete).await, code, reason).says([]);
    let stats = async || admin.clone().get_stats(GetStatsRequest {}).await.expect("fine").into_inner();
    // More than the least that is needed, but not clearly: who went on now would soon stop again.
    daemon.script(&format!("free {}", 40 << 20));
    refused(client.clone().append(batch("one", vec![custom("y")])).await, code, reason).says([]);
    assert!(stats().await.disk_full, "the script has taken effect");
    let again = client.clone().append(produced("one", ("p", 1, 0), vec![custom("x")])).await;
    assert!(again.expect("what was written is recognised").into_inner().duplicate);
    assert_eq!(tail(&client, "one").await, 2);
    let mut other = Watch::open(&client, watching("one")).await.expect("watches go on");
    assert_eq!(other.until_caught_up().await, ["events 1,2", "caught up 2"]);
    daemon.script("");
    let room = async || client.clone().append(produced("one", ("p", 1, 1), vec![custom("z")])).await.is_ok();
    eventually("there is room again", room).await;
    assert!(!stats().await.disk_full);
    let log = daemon.log();
    let said = |what: &str| {
        let of_journal = log.lines().filter(|line| line.contains("file=Journal"));
        of_journal.filter(|line| line.contains(what)).count()
    };
    assert_eq!((said("nothing new is written"), said("writing goes on"), said("")), (1, 1, 2), "{log}");
    watch.events_until(2, 3).await;
    other.events_until(2, 3).await;
}

/// The daemon fails with `script` while one watches an execution, all, and one appends. Returns the
/// answer to the append.
async fn fail(daemon: &mut Daemon, script: &str) -> tonic::Status {
    let client = daemon.client();
    client.clone().create_execution(creation("one")).await.expect("new");
    let mut one = Watch::open(&client, watching("one")).await.expect("there");
    let mut all = Watch::open_all(&client, WatchAllRequest::default()).await.expect("there");
    one.until_caught_up().await;
    all.until_caught_up().await;
    daemon.script(script);
    let told = client.clone().append(produced("one", ("p", 1, 0), vec![custom("perhaps")])).await;
    let failed = Instant::now();
    for watch in [&mut one, &mut all] {
        refusal(watch.error().await, Code::Unavailable, "STORAGE_FAILED").says([]);
    }
    let status = daemon.ended();
    assert_eq!(status.code(), Some(74), "{}", daemon.log());
    assert!(failed.elapsed() < ENDS_WITHIN, "it took {:?}", failed.elapsed());
    told.expect_err("it is not acknowledged")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_before_the_commit_is_told_as_nothing_written_and_ends_the_daemon_with_74() {
    let mut daemon = Daemon::start_faulty();
    let told = fail(&mut daemon, "journal begin eio times=1").await;
    refusal(told, Code::Unavailable, "STORAGE_FAILED").says([]);
    daemon.start_again();
    assert_eq!(tail(&daemon.client(), "one").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sync_is_told_as_an_unknown_outcome_and_the_same_triple_again_is_written_once() {
    let mut daemon = Daemon::start_faulty();
    let told = fail(&mut daemon, "journal sync_data eio").await;
    refusal(told, Code::Unavailable, "OUTCOME_UNKNOWN").says([]);
    daemon.script("");
    daemon.start_again();
    let client = daemon.client();
    let again = client.clone().append(produced("one", ("p", 1, 0), vec![custom("perhaps")])).await;
    let again = again.expect("a retry is safe").into_inner();
    assert_eq!((again.first_seq, again.tail_seq), (2, 2), "once, whether it was there or not");
}

/// Seals all that the killed daemon left in its journal, as a daemon does when there is enough of it.
pub(crate) async fn seal(daemon: &Daemon) {
    let options = OpenOptions::new(daemon.data_dir());
    let store = tokio::task::spawn_blocking(|| {
        let store = RedbStore::open(options).expect("it opens");
        assert!(store.seal_now(), "it can be sealed");
        store
    });
    store.await.expect("no panic").close().await;
}

#[tokio::test]
async fn a_wrong_byte_is_reported_with_execution_and_seq_and_harms_nobody_else() {
    let mut daemon = Daemon::start_faulty();
    let client = daemon.client();
    for (id, word) in [("bad", "uniquely"), ("good", "ordinarily")] {
        client.clone().create_execution(creation(id)).await.expect("new");
        client.clone().append(batch(id, vec![custom(word)])).await.expect("fine");
    }
    daemon.kill();
    seal(&daemon).await;
    daemon.script("archive read flip text=uniquely");
    daemon.start_again();
    let client = daemon.client();
    let (code, reason) = (Code::DataLoss, "CORRUPT_RECORD");
    let seq = {
        let refusal = refused(client.clone().read_events(read("bad", 0)).await, code, reason);
        refusal.number("seq")
    };
    assert!((1..=2).contains(&seq), "{seq}");
    let mut watch = Watch::open(&client, watching("bad")).await.expect("its head is fine");
    assert!((1..=2).contains(&refusal(watch.error().await, code, reason).number("seq")));
    let page = client.clone().read_events(read("good", 0)).await.expect("unharmed").into_inner();
    assert_eq!(page.events.len(), 2);
    client.clone().append(batch("bad", vec![custom("goes on")])).await.expect("the log goes on");
    let page =
        client.clone().read_events(read("bad", 2)).await.expect("what is sound is served").into_inner();
    assert_eq!(page.events[0].seq, 3);
}

#[tokio::test]
async fn when_the_writer_does_not_get_on_a_full_queue_refuses_after_5_s_and_writes_nothing_of_it() {
    const BATCHES: u64 = 20;
    /// As large as a batch may be, so that 16 of them fill the queue.
    const EVENT: usize = (1 << 20) - 64;
    let daemon = Daemon::start_faulty();
    let client = daemon.client();
    client.clone().create_execution(creation("one")).await.expect("new");
    daemon.script("journal sync_data delay 10000 times=1");
    let begun = Instant::now();
    let mut appends = JoinSet::new();
    for number in 0..BATCHES {
        let mut client = daemon.client();
        let request = produced("one", (&format!("p{number}"), 1, 0), vec![custom(vec![1; EVENT]); 4]);
        appends.spawn(async move { client.append(request).await });
    }
    let mut written = 0;
    while let Some(append) = appends.join_next().await {
        match append.expect("no panic") {
            Ok(_) => written += 1,
            Err(status) => {
                refusal(status, Code::ResourceExhausted, "WRITER_BUSY").says([]);
                assert!(begun.elapsed() >= Duration::from_secs(5), "after {:?}", begun.elapsed());
                assert_eq!(tail(&client, "one").await, 1, "reads do not wait for the writer");
            }
        }
    }
    assert!(begun.elapsed() < PATIENCE && written < BATCHES, "the script has taken effect: {written}");
    assert_eq!(tail(&client, "one").await, 1 + 4 * written);
}

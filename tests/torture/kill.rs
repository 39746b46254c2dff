//! `kill -9` under load, over and over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tapeline::proto::v1::{AppendRequest, Producer};
use tapeline::proto::v1::{CreateExecutionRequest, Event, Phase, PhaseChanged, event};

use super::dose::dose;
use super::producer::{Acked, produce};
use super::support::append::until_acknowledged;
use super::support::daemon::Daemon;
use super::support::watcher::{read_to_tail, watch_to_end};

const EXECUTIONS: usize = 4;
const PRODUCERS: usize = 8;
const WATCHERS_EACH: usize = 2;

fn execution(index: usize) -> String {
    format!("killed-{}", index % EXECUTIONS)
}

/// Each of eight producers writes to one of four executions, each watched twice, while the daemon is
/// killed and started again. In the end every acknowledged event is there once, at the seq that was
/// acknowledged, and every watcher has seen the whole log.
#[test]
fn what_was_acknowledged_survives_kill_9_and_watchers_resume_without_gap_or_duplicate() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    // Connections are made in it, also where nothing is waited for.
    let _inside = runtime.enter();
    let mut daemon = Daemon::start();
    runtime.block_on(create_all(&daemon));

    let stop = Arc::new(AtomicBool::new(false));
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|index| {
            let (client, stop) = (daemon.client(), stop.clone());
            let name = format!("producer-{index}");
            runtime.spawn(async move { produce(client, execution(index), name, &stop).await })
        })
        .collect();
    let watchers: Vec<_> = (0..EXECUTIONS * WATCHERS_EACH)
        .map(|index| runtime.spawn(watch_to_end(daemon.client(), execution(index))))
        .collect();

    for cycle in 0..dose().kills {
        // Not waiting for anything: the kill shall come at any moment.
        std::thread::sleep(Duration::from_millis(40 + (cycle as u64 * 97) % 400));
        daemon.kill();
        daemon.start_again();
        runtime.block_on(async {
            for index in 0..EXECUTIONS {
                read_to_tail(daemon.client(), &execution(index)).await.data();
            }
        });
    }
    stop.store(true, Ordering::Relaxed);

    runtime.block_on(async {
        let mut acked: BTreeMap<String, Acked> = BTreeMap::new();
        for (index, producer) in producers.into_iter().enumerate() {
            acked.entry(execution(index)).or_default().extend(producer.await.expect("no panic"));
        }
        end_all(&daemon).await;
        let mut logs = BTreeMap::new();
        for (execution, acked) in &acked {
            let log = read_to_tail(daemon.client(), execution).await;
            let data = log.data();
            assert!(!acked.is_empty(), "nothing was acknowledged on {execution}");
            for (said, seq) in acked {
                assert_eq!(data.get(said), Some(seq), "{said:?} of {execution}");
            }
            logs.insert(execution.clone(), log);
        }
        for (index, watcher) in watchers.into_iter().enumerate() {
            let seen = watcher.await.expect("no panic");
            let log = &logs[&execution(index)];
            assert_eq!(seen.cursor(), log.cursor());
            seen.assert_same_log(log);
        }
    });
}

async fn create_all(daemon: &Daemon) {
    for index in 0..EXECUTIONS {
        let request =
            CreateExecutionRequest { execution_id: execution(index), ..CreateExecutionRequest::default() };
        daemon.client().create_execution(request).await.expect("a new id");
    }
}

async fn end_all(daemon: &Daemon) {
    for index in 0..EXECUTIONS {
        let ended = PhaseChanged { phase: Phase::Completed.into(), ..PhaseChanged::default() };
        let request = AppendRequest {
            execution_id: execution(index),
            events: vec![Event { body: Some(event::Body::PhaseChanged(ended)), ..Event::default() }],
            producer: Some(Producer { id: "the end".into(), epoch: 1, seq: 0 }),
            ..AppendRequest::default()
        };
        until_acknowledged(&daemon.client(), &request).await;
    }
}

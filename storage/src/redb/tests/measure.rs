//! Figures of the whole store, for whoever asks: `cargo test -p tapeline-storage -- --ignored measure --nocapture`.

use std::sync::Arc;
use std::time::Instant;

use super::super::{OpenOptions, RedbStore};
use super::support::{creation, event, id_of};
use crate::{AppendRequest, EventStore, PageSize};

fn of(id: &str, events: usize, bytes: usize) -> AppendRequest {
    AppendRequest {
        execution: id_of(id),
        events: (0..events).map(|number| event(vec![number as u8; bytes])).collect(),
        expected_last_seq: None,
        producer: None,
        stream: None,
    }
}

async fn appended(store: &Arc<RedbStore>, producers: usize, appends: usize, events: usize) -> f64 {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..producers)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..appends {
                    store.append(of(&format!("e{number}"), events, 256)).await.expect("written");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    (producers * appends * events) as f64 / begun.elapsed().as_secs_f64()
}

/// Processor time of this thread: on a busy machine it says more than the clock.
fn thread_cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0) / 1_000_000
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes seconds and proves nothing; it tells figures"]
async fn measure_appends_reads_and_a_start_with_a_full_journal() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    // Nothing is sealed, so that the start at the end is the longest there can be.
    let options = || OpenOptions::new(dir.path()).seal_at(300 << 20, 16 << 20);
    let store = Arc::new(RedbStore::open(options()).expect("a new store"));
    for number in 0..512 {
        store.create(creation(&format!("e{number}"), &[])).await.expect("new");
    }
    for (producers, appends, events) in
        [(1, 2_000, 1), (8, 2_000, 1), (64, 1_000, 1), (512, 200, 1), (8, 200, 64)]
    {
        let rate = appended(&store, producers, appends, events).await;
        println!("{producers} producers, {events} events an append: {rate:.0} events/s");
    }
    while store.stats().unsealed_bytes < 250 << 20 {
        appended(&store, 8, 20, 64).await;
    }
    let store = Arc::try_unwrap(store).expect("no task holds it");
    drop(store);
    let (begun, cpu_ms) = (Instant::now(), thread_cpu_ms());
    let store = RedbStore::open(options()).expect("it is sound");
    let (mib, cpu_ms) = (store.stats().unsealed_bytes >> 20, thread_cpu_ms() - cpu_ms);
    println!("start with {mib} MiB unsealed: {:?}, {cpu_ms} ms of processor time", begun.elapsed());
    let (begun, mut after, mut read) = (Instant::now(), 0, 0);
    while after < store.tail_position() {
        let page = store.read_all(after, PageSize::default()).await.expect("sound");
        (after, read) = (page.through, read + page.events.len());
    }
    println!("read_all, unsealed: {:.0} events/s", read as f64 / begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    assert!(store.seal_now());
    println!("sealed in {:?} to {} MiB", begun.elapsed(), store.stats().archive_bytes >> 20);
    let (begun, mut after) = (Instant::now(), 0);
    loop {
        let page = store.read(&id_of("e0"), after, PageSize::default()).await.expect("sound");
        let Some(last) = page.events.last() else { break };
        after = last.seq;
    }
    println!("read of one, sealed: {:.0} events/s", after as f64 / begun.elapsed().as_secs_f64());
}

//! The store beside the raw limit, in one run: the same bytes appended to a plain file with
//! `fdatasync` by one thread. Rounds are interleaved; what counts is the ratio, since machines differ.
//!
//! `cargo bench -p tapeline-storage --bench append`

#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tapeline_storage::{
    AppendRequest, CreateRequest, EventStore, ExecutionId, NewEvent, OpenOptions, PageSize, RedbStore,
};

const ROUNDS: usize = 5;
const EVENTS: usize = 20_000;
const EVENT_BYTES: usize = 256;
const EXECUTIONS: usize = 256;

/// How the events are sent.
#[derive(Clone, Copy)]
struct Shape {
    /// Appends that wait for their acknowledgement at the same time.
    window: usize,
    /// Events in an append.
    batch: usize,
}

const SHAPES: [Shape; 4] = [
    Shape { window: 1, batch: 1 },
    Shape { window: 64, batch: 1 },
    Shape { window: 512, batch: 1 },
    Shape { window: 1, batch: 100 },
];

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on a real disk");
    println!("{EVENTS} events of {EVENT_BYTES} bytes, {EXECUTIONS} executions, medians of {ROUNDS} rounds");
    println!("{:>6} {:>6} {:>12} {:>12} {:>7}", "window", "batch", "raw ev/s", "store ev/s", "ratio");
    for shape in SHAPES {
        let (mut raw, mut ours) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            raw.push(raw_file(&dir.path().join("raw"), shape));
            ours.push(
                runtime.block_on(store(&dir.path().join(format!("store-{}-{round}", shape.window)), shape)),
            );
        }
        let (raw, ours) = (median(raw), median(ours));
        println!("{:>6} {:>6} {raw:>12.0} {ours:>12.0} {:>7.2}", shape.window, shape.batch, ours / raw);
    }
    runtime.block_on(replay(&dir.path().join("replay")));
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn events_of(shape: Shape) -> usize {
    // One at a time is slow on any disk; a tenth is enough to tell.
    if shape.window * shape.batch == 1 { EVENTS / 10 } else { EVENTS }
}

/// Events a second of one thread that writes what a window holds and syncs once.
fn raw_file(path: &Path, shape: Shape) -> f64 {
    let (events, at_once) = (events_of(shape), shape.window * shape.batch);
    let bytes = vec![0x5A; at_once * EVENT_BYTES];
    let mut file = File::create(path).expect("creates");
    let begun = Instant::now();
    for _ in 0..events / at_once {
        file.write_all(&bytes).expect("writes");
        file.sync_data().expect("syncs");
    }
    (events / at_once * at_once) as f64 / begun.elapsed().as_secs_f64()
}

/// Events a second of the store, every one acknowledged.
async fn store(path: &Path, shape: Shape) -> f64 {
    let store = RedbStore::open(OpenOptions::new(path)).expect("opens");
    let names = create_all(&store).await;
    let appends = events_of(shape) / shape.batch;
    let store = Arc::new(store);
    let begun = Instant::now();
    let tasks: Vec<_> = (0..shape.window)
        .map(|task| {
            let (store, names) = (store.clone(), names.clone());
            tokio::spawn(async move {
                for append in (task..appends).step_by(shape.window) {
                    let request = request(&names[append % EXECUTIONS], shape.batch);
                    store.append(request).await.expect("acknowledged");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    let rate = (appends * shape.batch) as f64 / begun.elapsed().as_secs_f64();
    store.close().await;
    rate
}

async fn create_all(store: &RedbStore) -> Arc<[ExecutionId]> {
    let mut names = Vec::new();
    for index in 0..EXECUTIONS {
        let execution = ExecutionId::parse(&format!("execution-{index}")).expect("an id");
        let events = vec![event()];
        let request =
            CreateRequest { execution: execution.clone(), digest: 0, labels: Default::default(), events };
        store.create(request).await.expect("a new id");
        names.push(execution);
    }
    names.into()
}

fn event() -> NewEvent {
    NewEvent { type_tag: 30, payload: Bytes::from(vec![0x5A; EVENT_BYTES]), ..NewEvent::default() }
}

fn request(execution: &ExecutionId, batch: usize) -> AppendRequest {
    AppendRequest {
        execution: execution.clone(),
        events: vec![event(); batch],
        expected_last_seq: None,
        producer: None,
        stream: None,
    }
}

/// Reads one long execution from its beginning, page by page.
async fn replay(path: &Path) {
    let store = RedbStore::open(OpenOptions::new(path)).expect("opens");
    let names = create_all(&store).await;
    for _ in 0..400 {
        store.append(request(&names[0], 1_000)).await.expect("acknowledged");
    }
    let begun = Instant::now();
    let mut cursor = 0;
    loop {
        let page = store.read(&names[0], cursor, PageSize::default()).await.expect("reads");
        let Some(last) = page.events.last() else { break };
        cursor = last.seq;
    }
    println!("replay of {cursor} events: {:.0} ev/s", cursor as f64 / begun.elapsed().as_secs_f64());
    store.close().await;
}

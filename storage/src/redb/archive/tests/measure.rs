//! Figures, on a real file. `cargo test -p tapeline-storage measure -- --ignored --nocapture`

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redb::Database;

use super::super::{Archive, Visibility};
use super::bulk::Bulk;
use super::support::{STORE, payload};
use crate::limits::{GENERATION_BYTES_MAX, MIB, REDB_CACHE_BYTES};
use crate::{ListQuery, PageSize};

fn open(path: &Path) -> Archive {
    let mut builder = Database::builder();
    builder.set_cache_size(REDB_CACHE_BYTES);
    builder.set_repair_callback(|_| panic!("an archive never needs a full repair"));
    let db = builder.open(path).expect("opens");
    Archive::open(db, STORE).expect("opens")
}

fn create(path: &Path) -> Archive {
    let db = Database::builder().set_cache_size(REDB_CACHE_BYTES).create(path).expect("creates");
    Archive::init(&db, STORE).expect("inits");
    Archive::open(db, STORE).expect("opens")
}

fn texts() -> Vec<Bytes> {
    const WORDS: [&str; 12] = [
        "the",
        "agent",
        "reads",
        "file",
        "src/main.rs",
        "and",
        "runs",
        "cargo",
        "test",
        "then",
        "answers",
        "with",
    ];
    let text = |seed: u64| {
        let choice = payload(seed, 64, true);
        let mut text = format!("{{\"index\":{seed},\"text\":\"");
        for byte in choice.iter() {
            text.push_str(WORDS[usize::from(*byte) % WORDS.len()]);
            text.push(' ');
        }
        text.truncate(256);
        Bytes::from(text)
    };
    (1..1_000).map(text).collect()
}

fn random() -> Vec<Bytes> {
    (1..1_000).map(|seed| payload(seed, 256, true)).collect()
}

fn rate(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / MIB as f64 / time.as_secs_f64()
}

fn measure(what: &str, executions: u64, payloads: Vec<Bytes>, generations: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("archive.redb");
    let archive = create(&path);
    let mut bulk = Bulk::new(executions, payloads);
    let (mut time, mut raw, mut stored, mut units) = (Duration::ZERO, 0, 0, 0);
    for _ in 0..generations {
        let input = bulk.next(GENERATION_BYTES_MAX);
        let start = Instant::now();
        let outcome = archive.seal(&input, &|| Ok(())).expect("sound");
        time += start.elapsed();
        raw += outcome.raw_bytes;
        stored += outcome.stored_bytes;
        units += outcome.durable_commits;
    }
    let file = std::fs::metadata(&path).expect("is there");
    println!(
        "{what}, {executions} executions: {} events, {} MiB raw sealed at {:.0} MiB/s in {units} durable commits; \
         {} MiB of chunks, {} MiB in use, {} MiB on disk",
        bulk.events(),
        raw / MIB as u64,
        rate(raw, time),
        stored / MIB as u64,
        archive.used_bytes() / MIB as u64,
        std::os::unix::fs::MetadataExt::blocks(&file) * 512 / MIB as u64,
    );
    measure_reads(&archive, executions);
    measure_open(&path, archive);
}

fn measure_reads(archive: &Archive, executions: u64) {
    let start = Instant::now();
    let mut events = 0;
    for number in 1..=executions.min(2_000) {
        let mut after = 0;
        loop {
            let page = archive.read(number, after, PageSize::default()).expect("sound");
            let Some(last) = page.last() else { break };
            after = last.seq;
            events += page.len();
        }
    }
    let by_execution = events as f64 / start.elapsed().as_secs_f64();
    let start = Instant::now();
    let (mut after, mut events, mut first_page) = (0, 0, Duration::ZERO);
    while after < archive.meta().sealed_position.min(2_000_000) {
        let page = archive.read_all(after, PageSize::default(), &|_| Visibility::AsArchived).expect("sound");
        events += page.events.len();
        if after == 0 {
            first_page = start.elapsed();
        }
        after = page.through;
    }
    let of_all = events as f64 / start.elapsed().as_secs_f64();
    let start = Instant::now();
    let query = ListQuery { heads_max: 1_000, ..ListQuery::default() };
    let listed = archive.list_candidates(&query).expect("sound").heads.len();
    println!(
        "  read: {:.2} M events/s by execution, {:.2} M events/s of all (first page {first_page:.1?}), \
         {listed} heads listed in {:.1?}",
        by_execution / 1e6,
        of_all / 1e6,
        start.elapsed(),
    );
}

/// Opens a copy of the file, taken as a killed process leaves it.
fn measure_open(path: &Path, archive: Archive) {
    let copy = path.with_extension("killed");
    std::fs::copy(path, &copy).expect("copies");
    // Not to be counted: the open syncs, and would write the copy out.
    std::fs::File::open(&copy).and_then(|file| file.sync_all()).expect("syncs");
    let start = Instant::now();
    let opened = open(&copy);
    let time = start.elapsed();
    assert_eq!(opened.meta(), archive.meta());
    println!("  open as after a kill: {time:.1?}");
}

#[test]
#[ignore = "a measurement"]
fn measure_sealing_and_opening() {
    measure("text", 1_024, texts(), 20);
    measure("random", 1_024, random(), 20);
    measure("random", 16_384, random(), 10);
    measure("text", 1_000_000, texts(), 30);
}

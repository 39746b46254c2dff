//! A wrong byte anywhere in one of the two files, redb's own pages included: what is answered is right, or an
//! error, and the process goes on. What redb makes of a wrong page is its affair, a panic too.
//! `TAPELINE_FLIPS` says how many bytes are tried, if not so few.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::{OpenOptions, RedbStore};
use super::support::{Fixture, creation, id_of, produced};
use crate::panics::caught;
use crate::test_util::Faults;
use crate::{EventStore, OpenError, PageSize, ReadError, StoredEvent, TrimRequest};

const PAGE_BYTES: usize = 4096;
/// Small ballasts, because the directory is copied for each flip.
const SMALL: &str = "ballast 65536\n";
const IDS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "deleted"];
/// Bytes that are tried in each file.
const FLIPS: u64 = 250;

struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// What a store answers when nothing is wrong with it.
struct Sound {
    heads: Vec<Result<crate::Head, ReadError>>,
    logs: Vec<Vec<StoredEvent>>,
    all: Vec<(String, StoredEvent)>,
}

async fn write(fixture: &Fixture) {
    for id in IDS {
        fixture.store.create(creation(id, &[("of", id)])).await.expect("the id is free");
    }
    for round in 0..4_u64 {
        for (index, id) in IDS.into_iter().enumerate() {
            let long = format!("{round}-{}", "y".repeat(700 * index));
            fixture.try_append(produced(id, ("p", 1, round), &[&long, "short"])).await.expect("next");
        }
        if round == 2 {
            let request = TrimRequest { execution: id_of("b"), floor_seq: 4, base: None };
            fixture.store.trim(request).await.expect("the floor can be");
            fixture.store.delete(&id_of("deleted")).await.expect("it is there");
        }
        // The last round stays in the journal.
        if round < 3 {
            assert!(fixture.store.seal_now());
        }
        if round == 2 {
            fixture.store.create(creation("new", &[])).await.expect("the id is free");
            return;
        }
    }
}

async fn read_log(store: &RedbStore, id: &str) -> Result<Vec<StoredEvent>, ReadError> {
    let head = store.head(&id_of(id)).await?;
    let (mut events, mut after) = (Vec::new(), head.floor_seq - 1);
    while after < head.tail_seq {
        let page = store.read(&id_of(id), after, PageSize { events_max: 3, bytes_max: 1 << 20 }).await?;
        // Also with a wrong byte a page before the tail is never empty.
        after = page.events.last().expect("a page before the tail holds an event").seq;
        events.extend(page.events);
    }
    Ok(events)
}

/// Everything of all executions up to the end or an error.
async fn read_all(store: &RedbStore) -> (Vec<(String, StoredEvent)>, Result<(), ReadError>) {
    let (mut events, mut after) = (Vec::new(), 0);
    loop {
        match store.read_all(after, PageSize::default()).await {
            Ok(page) => {
                events.extend(page.events.into_iter().map(|(of, event)| (of.id.to_string(), event)));
                after = page.through;
                if after >= page.tail_position {
                    return (events, Ok(()));
                }
            }
            Err(error) => return (events, Err(error)),
        }
    }
}

async fn ask_sound(store: &RedbStore) -> Sound {
    let mut sound = Sound { heads: Vec::new(), logs: Vec::new(), all: read_all(store).await.0 };
    for id in IDS {
        sound.heads.push(store.head(&id_of(id)).await.map(|head| crate::Head::clone(&head)));
        sound.logs.push(read_log(store, id).await.unwrap_or_default());
    }
    sound
}

/// What a store with a wrong byte answered.
#[derive(Debug, Default)]
struct Answered {
    refused: usize,
    /// What was answered as if it were right, and is not.
    wrong: Vec<String>,
}

impl Answered {
    fn check<T: PartialEq>(&mut self, what: &str, now: Result<T, ReadError>, sound: Result<&T, &ReadError>) {
        match now {
            Ok(now) if sound != Ok(&now) => self.wrong.push(what.to_owned()),
            Ok(_) => {}
            // The key of an id has no checksum: one that cannot be found looks like one that never was.
            Err(error) => self.refused += usize::from(sound.err() != Some(&error)),
        }
    }
}

async fn compare(store: &RedbStore, sound: &Sound) -> Answered {
    let mut answered = Answered::default();
    for (index, id) in IDS.into_iter().enumerate() {
        let head = store.head(&id_of(id)).await.map(|head| crate::Head::clone(&head));
        answered.check(&format!("the head of {id}"), head, sound.heads[index].as_ref());
        let log = sound.heads[index].as_ref().map(|_| &sound.logs[index]);
        answered.check(&format!("the log of {id}"), read_log(store, id).await, log);
    }
    let (events, ended) = read_all(store).await;
    if sound.all.get(..events.len()) != Some(&events[..]) {
        answered.wrong.push("an event of all".to_owned());
    }
    match ended {
        Ok(()) if events.len() < sound.all.len() => answered.wrong.push("the end of all".to_owned()),
        Ok(()) => {}
        Err(_) => answered.refused += 1,
    }
    answered
}

fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = std::fs::read_dir(dir).expect("it is there").map(|file| file.expect("readable").path());
    files.map(|path| (path.clone(), std::fs::read(&path).expect("readable"))).collect()
}

fn open(dir: &Path) -> Result<RedbStore, OpenError> {
    let faults = Faults::new();
    faults.script(SMALL).expect("parses");
    RedbStore::open(OpenOptions::new(dir).on_disk(&faults))
}

/// Ends a store as a process that dies does: nothing more is written. A close would let redb write what it
/// knows of free pages, and only readers are promised anything about wrong bytes there.
fn kill(store: RedbStore) {
    let died = caught(|| {
        let _store = store;
        // redb writes nothing while its thread unwinds.
        std::panic::resume_unwind(Box::new("dies"));
    });
    assert_eq!(died, Err("dies".to_owned()));
}

/// Flips a byte of a page that is in use, as often as not in the part where redb keeps its own numbers.
fn flip(bytes: &mut [u8], chance: &mut Chance) -> usize {
    let used: Vec<usize> = (0..bytes.len() / PAGE_BYTES)
        .filter(|page| bytes[page * PAGE_BYTES..][..PAGE_BYTES].iter().any(|byte| *byte != 0))
        .collect();
    let page = used[chance.below(used.len())];
    let within = [8, 128, PAGE_BYTES, PAGE_BYTES][chance.below(4)];
    let at = page * PAGE_BYTES + chance.below(within);
    bytes[at] ^= 1 + chance.below(255) as u8;
    at
}

async fn flip_many(file: &str) {
    let faults = Faults::new();
    faults.script(SMALL).expect("parses");
    let fixture = Fixture::on_disk(&faults);
    write(&fixture).await;
    fixture.store.close().await;
    let files = snapshot(fixture.dir.path());
    let sound = ask_sound(&open(fixture.dir.path()).expect("sound")).await;
    assert!(sound.all.len() > 40, "{}", sound.all.len());
    let (mut refused, mut served, mut wrong) = (0, 0, Vec::new());
    let flips = std::env::var("TAPELINE_FLIPS").ok().and_then(|flips| flips.parse().ok());
    for seed in 0..flips.unwrap_or(FLIPS) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut at = 0;
        for (path, bytes) in &files {
            let name = path.file_name().expect("a file has a name");
            let mut bytes = bytes.clone();
            if name == file {
                at = flip(&mut bytes, &mut Chance(seed));
            }
            std::fs::write(dir.path().join(name), bytes).expect("it can be written");
        }
        let answered = match open(dir.path()) {
            Ok(store) => {
                let answered = compare(&store, &sound).await;
                kill(store);
                answered
            }
            Err(_) => Answered { refused: 1, ..Answered::default() },
        };
        match answered {
            Answered { wrong: found, .. } if !found.is_empty() => wrong.push((seed, at, found)),
            Answered { refused: 0, .. } => served += 1,
            _ => refused += 1,
        }
    }
    assert!(wrong.is_empty(), "seed, place, what is wrong: {wrong:#?}");
    assert!(refused > 0 && served > 0, "{refused} refused, {served} served");
    println!("{file}: {refused} refused, {served} made no difference");
}

#[tokio::test]
async fn a_wrong_byte_anywhere_in_the_archive_is_an_error_or_makes_no_difference() {
    flip_many("archive.redb").await;
}

#[tokio::test]
async fn a_wrong_byte_anywhere_in_the_journal_is_an_error_or_makes_no_difference() {
    flip_many("journal.redb").await;
}

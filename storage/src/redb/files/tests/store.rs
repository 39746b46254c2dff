//! A whole store whose files were exchanged: by older ones, by each other, by those of another store.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::super::dir::{ARCHIVE, JOURNAL, SIDECAR};
use crate::{
    AppendRequest, CreateRequest, EventStore, ExecutionId, NewEvent, OpenError, OpenOptions, PageSize,
    RedbStore, digest_events,
};

const FILES: [&str; 3] = [JOURNAL, ARCHIVE, SIDECAR];

/// The three files of a closed store, and how many events it had.
struct Copy {
    files: BTreeMap<&'static str, Vec<u8>>,
    events: u64,
}

fn id() -> ExecutionId {
    ExecutionId::parse("aex-1").expect("it is allowed")
}

fn event(text: &str) -> NewEvent {
    NewEvent { type_tag: 21, payload: text.to_owned().into(), ..NewEvent::default() }
}

async fn open(path: &Path) -> Result<RedbStore, OpenError> {
    RedbStore::open(OpenOptions::new(path))
}

/// Appends some events, seals if wanted, closes the store and copies its files.
async fn go_on(path: &Path, seal: bool) -> Copy {
    let store = open(path).await.expect("opens");
    let events = vec![event("first")];
    let digest = digest_events(&events);
    let create = CreateRequest { execution: id(), digest, labels: BTreeMap::new(), events };
    store.create(create).await.expect("creates or finds it");
    for _ in 0..5 {
        append(&store).await;
    }
    if seal {
        assert!(store.seal_now(), "seals");
        append(&store).await;
    }
    let events = store.tail_position();
    store.close().await;
    let read = |name| fs::read(path.join(name)).expect("reads");
    Copy { files: FILES.into_iter().map(|name| (name, read(name))).collect(), events }
}

async fn append(store: &RedbStore) {
    let request = AppendRequest {
        execution: id(),
        events: vec![event("more")],
        expected_last_seq: None,
        producer: None,
        stream: None,
    };
    store.append(request).await.expect("appends");
}

fn put(path: &Path, copy: &Copy, names: &[&str]) {
    for name in names {
        fs::write(path.join(name), &copy.files[name]).expect("writes");
    }
}

/// Opens the store and counts its events; `None` if it is refused as damaged.
async fn events(path: &Path) -> Option<u64> {
    let store = match open(path).await {
        Ok(store) => store,
        Err(OpenError::Damaged { .. }) => return None,
        Err(other) => panic!("{other:?}"),
    };
    let (mut after, page) = (0, PageSize::default());
    loop {
        let page = store.read(&id(), after, page).await.expect("reads");
        match page.events.last() {
            Some(last) => after = last.seq,
            None => break,
        }
    }
    assert_eq!(after, store.tail_position());
    store.close().await;
    Some(after)
}

#[tokio::test]
async fn an_older_journal_or_archive_is_refused_or_has_lost_nothing() {
    let dir = tempfile::tempdir().expect("a place for files");
    let mut copies = Vec::new();
    for seal in [false, false, true, false, true, true, false] {
        copies.push(go_on(dir.path(), seal).await);
    }
    let newest = copies.pop().expect("some were made");
    put(dir.path(), &newest, &FILES);
    assert_eq!(events(dir.path()).await, Some(newest.events), "the copies are good");
    for (age, old) in copies.iter().enumerate() {
        for names in [&[JOURNAL][..], &[ARCHIVE], &[JOURNAL, ARCHIVE]] {
            put(dir.path(), &newest, &FILES);
            put(dir.path(), old, names);
            let found = events(dir.path()).await;
            // The newest events are in the newest journal alone, and the sidecar knows of them. An
            // older archive does no harm as long as the journal still has what it lacks.
            let allowed = [None, (!names.contains(&JOURNAL)).then_some(newest.events)];
            assert!(allowed.contains(&found), "copy {age} of {names:?}: {found:?} of {}", newest.events);
        }
    }
}

#[tokio::test]
async fn an_older_sidecar_and_an_older_directory_are_not_noticed() {
    let dir = tempfile::tempdir().expect("a place for files");
    let old = go_on(dir.path(), true).await;
    let new = go_on(dir.path(), true).await;
    put(dir.path(), &old, &[SIDECAR]);
    assert_eq!(events(dir.path()).await, Some(new.events));
    put(dir.path(), &old, &FILES);
    assert_eq!(events(dir.path()).await, Some(old.events));
}

#[tokio::test]
async fn files_that_were_exchanged_are_refused() {
    let (dir, elsewhere) = (tempfile::tempdir().expect("a place"), tempfile::tempdir().expect("a place"));
    let mine = go_on(dir.path(), true).await;
    let other = go_on(elsewhere.path(), true).await;
    for names in [&[JOURNAL][..], &[ARCHIVE], &[SIDECAR], &[JOURNAL, ARCHIVE]] {
        put(dir.path(), &mine, &FILES);
        put(dir.path(), &other, names);
        assert_eq!(events(dir.path()).await, None, "{names:?} of another store");
    }
    put(dir.path(), &mine, &FILES);
    for (name, in_its_place) in [(JOURNAL, ARCHIVE), (ARCHIVE, JOURNAL)] {
        fs::write(dir.path().join(name), &mine.files[in_its_place]).expect("writes");
        assert_eq!(events(dir.path()).await, None, "{in_its_place} in the place of {name}");
        put(dir.path(), &mine, &FILES);
    }
    assert_eq!(events(dir.path()).await, Some(mine.events));
}

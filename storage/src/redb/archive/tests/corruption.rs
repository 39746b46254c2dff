//! A wrong byte is reported by the read that meets it; nothing wrong is served, nothing panics.

use std::fmt::Debug;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;
use redb::{Database, ReadableTable, TableDefinition};

use super::super::super::error::EngineError;
use super::super::super::format::FormatError;
use super::super::schema::{BASES, CHUNK_PARTS, CHUNKS, GENERATION_CHUNKS, GENERATIONS, HEADS, IDS, META};
use super::super::{Archive, Archived, Candidates, SealError, Visibility};
use super::checks::check;
use super::model::Model;
use super::script::{play, script};
use super::support::{Append, Journal, STORE, new_archive, payload};
use super::tidy::check_tidy;
use crate::redb::testing::disk::Disk;
use crate::{BatchSpan, ExecutionId, ListQuery, PageSize, Position, Producer, Seq, StoredEvent};

/// Flips one bit of one value, if the table has one.
fn flip<K: redb::Key + 'static>(
    db: &Database,
    table: TableDefinition<'static, K, &'static [u8]>,
    row: Index,
    bit: Index,
) -> bool {
    let txn = db.begin_write().expect("writes");
    {
        let mut table = txn.open_table(table).expect("is there");
        let rows: Vec<(Vec<u8>, Vec<u8>)> = table
            .iter()
            .expect("reads")
            .map(|row| row.expect("reads"))
            .map(|(key, value)| (K::as_bytes(&key.value()).as_ref().to_vec(), value.value().to_vec()))
            .collect();
        if rows.is_empty() {
            return false;
        }
        let (key, mut value) = rows[row.index(rows.len())].clone();
        let bit = bit.index(value.len() * 8);
        value[bit / 8] ^= 1 << (bit % 8);
        table.insert(K::from_bytes(&key), value.as_slice()).expect("writes");
    }
    txn.commit().expect("commits");
    true
}

/// Flips one bit in the table with this number, of those whose values carry a checksum.
fn flip_in(db: &Database, table: usize, row: Index, bit: Index) -> bool {
    match table {
        0 => flip(db, META, row, bit),
        1 => flip(db, HEADS, row, bit),
        2 => flip(db, IDS, row, bit),
        3 => flip(db, CHUNKS, row, bit),
        4 => flip(db, CHUNK_PARTS, row, bit),
        5 => flip(db, GENERATIONS, row, bit),
        _ => flip(db, BASES, row, bit),
    }
}

/// Everything that can be read.
#[derive(Debug)]
struct Answers {
    ids: Vec<Result<Archived, EngineError>>,
    pages: Vec<Result<Vec<StoredEvent>, EngineError>>,
    times: Vec<Result<Seq, EngineError>>,
    batches: Vec<Result<Option<(u128, BatchSpan)>, EngineError>>,
    bases: Vec<Result<Option<Bytes>, EngineError>>,
    all: Vec<Result<(Vec<StoredEvent>, Position), EngineError>>,
    list: Result<Candidates, EngineError>,
}

fn ask(archive: &Archive, model: &Model, cursors: &[Position]) -> Answers {
    let ids = model.executions.values().map(|execution| &execution.id).chain(model.deleted.keys());
    let parse = |id: &String| ExecutionId::parse(id).expect("allowed");
    let executions = || model.executions.values();
    let pages = executions().flat_map(|execution| {
        let page = PageSize { events_max: 10, bytes_max: usize::MAX };
        (0..=execution.tail_seq()).step_by(10).map(move |after| archive.read(execution.number, after, page))
    });
    let middle_time = |events: &[StoredEvent]| events[events.len() / 2].record_time_ns;
    let batches = executions().flat_map(|execution| {
        let find = |(producer, ..): &(Producer, _, _)| archive.find_batch(execution.number, producer);
        execution.batches.iter().map(find).collect::<Vec<_>>()
    });
    let all = cursors.iter().map(|after| {
        let page = archive.read_all(*after, PageSize::default(), &|_| Visibility::AsArchived)?;
        Ok((page.events.into_iter().map(|(_, event)| event).collect(), page.through))
    });
    Answers {
        ids: ids.map(|id| archive.lookup(&parse(id))).collect(),
        pages: pages.collect(),
        times: executions().map(|e| archive.cursor_at_time(e.number, middle_time(&e.events))).collect(),
        batches: batches.collect(),
        bases: executions().map(|execution| archive.base(execution.number)).collect(),
        all: all.collect(),
        list: archive.list_candidates(&ListQuery { heads_max: usize::MAX, ..ListQuery::default() }),
    }
}

/// Where each page of all events begins.
fn cursors(archive: &Archive) -> Vec<Position> {
    let (mut cursors, mut after) = (Vec::new(), 0);
    while after < archive.meta().sealed_position {
        cursors.push(after);
        let page = archive.read_all(after, PageSize::default(), &|_| Visibility::AsArchived);
        after = page.expect("sound").through;
    }
    cursors
}

/// Each answer is the right one or says that something is corrupt. Counts the latter.
fn compare<T: PartialEq + Debug>(sound: &[Result<T, EngineError>], now: &[Result<T, EngineError>]) -> usize {
    assert_eq!(sound.len(), now.len());
    let mut corrupt = 0;
    for (sound, now) in sound.iter().zip(now) {
        match now {
            Ok(now) => assert_eq!(sound.as_ref().expect("nothing was wrong before"), now),
            Err(EngineError::Corrupt(_)) => corrupt += 1,
            Err(error) => panic!("a wrong byte is not a failure of the disk: {error}"),
        }
    }
    corrupt
}

fn compare_all(sound: &Answers, now: &Answers) -> usize {
    compare(&sound.ids, &now.ids)
        + compare(&sound.pages, &now.pages)
        + compare(&sound.times, &now.times)
        + compare(&sound.batches, &now.batches)
        + compare(&sound.bases, &now.bases)
        + compare(&sound.all, &now.all)
        + compare(std::slice::from_ref(&sound.list), std::slice::from_ref(&now.list))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_flipped_bit_is_reported_and_never_served(
        steps in script(60),
        flips in proptest::collection::vec((0..7usize, any::<Index>(), any::<Index>()), 12),
    ) {
        let (disk, archive) = new_archive();
        let mut journal = Journal::default();
        play(&mut journal, &steps, |journal, commits| journal.seal(&archive, commits));
        while archive.clean(&|| Ok(())).expect("sound") {}
        check_tidy(&archive);
        let model = &journal.sealed;
        let cursors = cursors(&archive);
        let sound = ask(&archive, model, &cursors);
        for (table, row, bit) in flips {
            let damaged = Disk::with_image(disk.image_now());
            if !flip_in(&damaged.open(), table, row, bit) {
                continue;
            }
            let corrupt = match Archive::open(damaged.open(), STORE) {
                Ok(archive) => compare_all(&sound, &ask(&archive, model, &cursors)),
                Err(FormatError::Engine(EngineError::Corrupt(_))) => 1,
                Err(FormatError::Newer { .. }) => 1,
                Err(error) => panic!("{error}"),
            };
            prop_assert!(corrupt > 0, "nothing reads the flipped bit in table {table}");
        }
    }

    #[test]
    fn input_with_a_flipped_bit_is_refused_and_changes_nothing(
        steps in script(40),
        commit in any::<Index>(),
        bit in any::<Index>(),
    ) {
        let (_, archive) = new_archive();
        let mut journal = Journal::default();
        play(&mut journal, &steps, |_, _| {});
        prop_assume!(journal.unsealed() > 0);
        let mut input = journal.input(journal.unsealed());
        let chosen = commit.index(input.commits.len());
        let mut bytes = input.commits[chosen].to_vec();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        input.commits[chosen] = bytes.into();
        let refused = archive.seal(&input, &|| Ok(()));
        prop_assert!(matches!(refused, Err(SealError::Engine(EngineError::Corrupt(_)))));
        check(&archive, &journal.sealed);
        journal.seal_all(&archive);
        check(&archive, &journal.sealed);
    }
}

fn two_generations() -> (Disk, Archive, Journal, u64) {
    let (disk, archive) = new_archive();
    let mut journal = Journal::default();
    let number = journal.create("one", &[], Append::of([payload(1, 100, true)]));
    journal.append(number, Append::of((0..400).map(|seed| payload(seed, 256, true))));
    journal.seal_all(&archive);
    journal.append(number, Append::of((0..400).map(|seed| payload(seed, 256, true))));
    journal.seal_all(&archive);
    (disk, archive, journal, number)
}

#[test]
fn input_that_does_not_follow_what_is_sealed_is_refused() {
    let (_, archive, mut journal, number) = two_generations();
    for _ in 0..3 {
        journal.append(number, Append::of([payload(9, 10, false)]));
        journal.commit();
    }
    let sound = journal.input(3);
    let changes: [fn(&mut super::super::SealInput); 6] = [
        |input| input.last_row = 1,
        |input| input.first_position += 1,
        |input| input.last_position += 1,
        |input| input.commits.swap(0, 1),
        |input| drop(input.commits.remove(1)),
        |input| input.commits.push(input.commits[2].clone()),
    ];
    for change in changes {
        let mut input = sound.clone();
        change(&mut input);
        let refused = archive.seal(&input, &|| Ok(()));
        assert!(matches!(refused, Err(SealError::Engine(EngineError::Corrupt(_)))), "{refused:?}");
    }
    journal.seal_all(&archive);
    check(&archive, &journal.sealed);
}

#[test]
fn input_whose_times_run_backwards_is_refused() {
    let (_, archive) = new_archive();
    let mut journal = Journal::default();
    journal.advance_clock(1_000);
    let number = journal.create("one", &[], Append::of([payload(1, 100, true)]));
    journal.seal_all(&archive);
    journal.rewind_clock();
    journal.append(number, Append::of([payload(2, 100, true)]));
    journal.commit();
    let refused = archive.seal(&journal.input(1), &|| Ok(()));
    assert!(matches!(refused, Err(SealError::Engine(EngineError::Corrupt(_)))), "{refused:?}");
    check(&archive, &journal.sealed);
}

#[test]
fn a_chunk_that_is_missing_is_reported_with_the_execution_and_the_seq() {
    let (_, archive, _, number) = two_generations();
    let txn = archive.db.begin_write().expect("writes");
    let gone = {
        let mut chunks = txn.open_table(CHUNKS).expect("is there");
        let keys: Vec<(u64, u64)> =
            chunks.iter().expect("reads").map(|row| row.expect("reads").0.value()).collect();
        let gone = keys[keys.len() / 2];
        chunks.remove(gone).expect("writes");
        gone.1
    };
    txn.commit().expect("commits");
    let Err(EngineError::Corrupt(corruption)) = archive.read(number, gone - 1, PageSize::default()) else {
        panic!("a missing chunk was read")
    };
    assert_eq!((corruption.number, corruption.seq), (number, gone));
    let all = archive.read_all(401, PageSize::default(), &|_| Visibility::AsArchived);
    assert!(matches!(all, Err(EngineError::Corrupt(_))));
    // What does not need it is still read.
    assert!(!archive.read(number, 0, PageSize::default()).expect("sound").is_empty());
}

/// Names of chunks stand in keys, which have no checksum. A wrong byte in one once made the events of an
/// execution vanish from what readers of all executions got.
#[test]
fn a_chunk_whose_name_is_wrong_is_reported_and_never_left_out() {
    let (disk, archive) = new_archive();
    let mut journal = Journal::default();
    let numbers = ["one", "two"].map(|id| journal.create(id, &[], Append::of([payload(1, 100, true)])));
    journal.seal_all(&archive);
    for number in numbers {
        journal.append(number, Append::of([payload(2, 100, true)]));
    }
    journal.seal_all(&archive);
    let cursors = cursors(&archive);
    let sound = ask(&archive, &journal.sealed, &cursors);
    let [one, two] = numbers;
    let wrong =
        [(1, 9_000, 1), (1, one, 9), (1, two, 1), (1, two, 2), (3, one, 1), (4, one, 1), (9_000, one, 1)];
    for place in wrong {
        let damaged = Disk::with_image(disk.image_now());
        let db = damaged.open();
        let txn = db.begin_write().expect("writes");
        {
            let mut places = txn.open_table(GENERATION_CHUNKS).expect("is there");
            places.remove((1, one, 1)).expect("writes").expect("is there");
            places.insert(place, ()).expect("writes");
        }
        txn.commit().expect("commits");
        drop(db);
        let archive = Archive::open(damaged.open(), STORE).expect("the state is sound");
        let corrupt = compare_all(&sound, &ask(&archive, &journal.sealed, &cursors));
        assert!(corrupt > 0, "{place:?} is served as if it were right");
    }
}

#[test]
fn a_generation_that_cannot_be_found_is_reported_and_never_left_out() {
    let (_, archive, ..) = two_generations();
    let txn = archive.db.begin_write().expect("writes");
    txn.open_table(GENERATIONS).expect("is there").remove(1).expect("writes").expect("is there");
    txn.commit().expect("commits");
    let all = archive.read_all(0, PageSize::default(), &|_| Visibility::AsArchived);
    assert!(matches!(all, Err(EngineError::Corrupt(_))), "{all:?}");
    let later = archive.read_all(401, PageSize::default(), &|_| Visibility::AsArchived).expect("sound");
    assert_eq!(later.events.first().map(|(_, event)| event.position), Some(402));
}

//! What a start makes of a journal whose frames are sound and whose contents cannot be.

use super::super::testing::disk::Disk;
use super::*;
use crate::record::{BatchStart, EventRecord, ProducerStamp};
use crate::{Creation, ExecutionId, LogId, Producer, Seq, StoreId};

const STORE: StoreId = StoreId(42);

fn new_files() -> (Journal, Archive) {
    let (journal, archive) = (Disk::default().open_repairing(), Disk::default().open());
    Journal::init(&journal, STORE).expect("inits");
    Archive::init(&archive, STORE).expect("inits");
    let opened = (Journal::open(journal, STORE), Archive::open(archive, STORE));
    (opened.0.expect("just made"), opened.1.expect("just made"))
}

fn creation(number: u64) -> Record<'static> {
    let id = ExecutionId::parse(&format!("e{number}")).expect("an id");
    let labels = std::collections::BTreeMap::new();
    Record::Create(Creation { number, id, log_id: LogId(1), digest: 0, labels })
}

/// An event of the first execution; with `says` the first of an append of so many.
fn event(seq: Seq, says: Option<u32>) -> Record<'static> {
    let producer = Producer { id: "p".into(), epoch: 1, seq };
    let batch = |events| BatchStart {
        events,
        producer: Some(ProducerStamp { producer, digest: 3 }),
        rule_state: None,
    };
    Record::Event(EventRecord {
        number: 1,
        seq,
        position: seq,
        record_time_ns: 5,
        type_tag: 1,
        custom_type: None,
        head_change: None,
        batch: says.map(batch),
        payload: b"x",
    })
}

/// What a start says of these commits.
fn start(commits: &[&[Record<'_>]]) -> Result<Recovered, EngineError> {
    let (journal, archive) = new_files();
    let mut row = 1;
    for (records, commit) in commits.iter().zip(1..) {
        let mut bytes = Vec::new();
        records.iter().for_each(|record| record.encode(&mut bytes));
        row = journal.append(commit, row, &bytes, None).expect("appends").last_row + 1;
    }
    recover(&journal, &archive)
}

/// A duplicate is answered with the span that the first event of its append promises.
#[test]
fn an_append_must_have_as_many_events_as_it_says() {
    let sound: [&[Record<'_>]; 3] = [
        &[creation(1), event(1, Some(1))],
        &[event(2, Some(2)), event(3, None), event(4, Some(1))],
        &[event(5, Some(1)), creation(2)],
    ];
    assert_eq!(start(&sound).expect("sound").next.position, 6);
    let wrong: [&[&[Record<'_>]]; 7] = [
        &[&[creation(1), event(1, Some(2))]],
        &[&[creation(1), event(1, Some(2))], &[event(2, None)]],
        &[&[creation(1), event(1, Some(2)), event(2, Some(1))]],
        &[&[creation(1), event(1, Some(2)), creation(2)]],
        &[&[creation(1), event(1, Some(1)), event(2, None)]],
        &[&[creation(1), event(1, Some(0))]],
        &[&[creation(1), event(1, Some(u32::MAX))]],
    ];
    for (index, commits) in wrong.into_iter().enumerate() {
        let Err(EngineError::Corrupt(_)) = start(commits) else { panic!("case {index} was taken") };
    }
}

#[test]
fn a_number_that_no_store_reaches_is_refused() {
    let Err(EngineError::Corrupt(corruption)) = start(&[&[creation(NUMBERING_MAX)]]) else {
        panic!("it was taken")
    };
    assert!(corruption.what.contains("journal row 1"), "{}", corruption.what);
}

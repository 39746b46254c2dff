//! Compares everything an archive says with what the model says.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Archive, Archived, Visibility};
use super::model::{Execution, Model, log_id};
use super::support::digest_of;
use crate::{ExecutionId, Head, ListQuery, PageSize, Phase, Position, Producer, Seq, StoredEvent};

const SMALL_PAGE: PageSize = PageSize { events_max: 7, bytes_max: 3_000 };

/// Every read function, over everything.
pub(super) fn check(archive: &Archive, model: &Model) {
    check_except(archive, model, &BTreeSet::new());
}

/// Every read function, while a sealing that concerns the executions `unfinished` has not ended. Their
/// places in lists are the business of who knows what is not sealed.
pub(super) fn check_except(archive: &Archive, model: &Model, unfinished: &BTreeSet<u64>) {
    let meta = archive.meta();
    assert_eq!(meta.sealed_position, model.position);
    assert_eq!(meta.next_number, model.last_number + 1);
    assert_eq!(meta.executions, model.executions.len() as u64);
    for (id, number) in &model.deleted {
        let id = ExecutionId::parse(id).expect("allowed");
        assert_eq!(archive.lookup(&id).expect("sound"), Archived::Deleted { number: *number });
        assert_eq!(archive.head(*number).expect("sound"), None);
        assert!(archive.read(*number, 0, PageSize::default()).expect("sound").is_empty());
    }
    for execution in model.executions.values() {
        check_execution(archive, execution);
    }
    check_all(archive, model);
    check_lists(archive, model, unfinished);
}

/// What was created and is not sealed is not there, whatever a sealing that did not end has written.
pub(super) fn check_absent(archive: &Archive, sealed: &Model, now: &Model) {
    let later =
        now.executions.values().filter(|execution| !sealed.executions.contains_key(&execution.number));
    for execution in later {
        let id = ExecutionId::parse(&execution.id).expect("allowed");
        assert_eq!(archive.lookup(&id).expect("sound"), Archived::Absent);
        assert_eq!(archive.head(execution.number).expect("sound"), None);
        assert!(archive.read(execution.number, 0, PageSize::default()).expect("sound").is_empty());
        assert_eq!(archive.base(execution.number).expect("sound"), None);
    }
}

fn check_execution(archive: &Archive, execution: &Execution) {
    let id = ExecutionId::parse(&execution.id).expect("allowed");
    let Archived::Present(head) = archive.lookup(&id).expect("sound") else {
        panic!("execution {} is not there", execution.number)
    };
    assert_eq!(archive.head(execution.number).expect("sound").as_ref(), Some(&*head));
    check_head(&head, execution);
    let kept = execution.kept();
    assert_eq!(read_to_end(archive, execution.number, 0, PageSize::default()), kept);
    assert_eq!(read_to_end(archive, execution.number, 0, SMALL_PAGE), kept);
    for cursor in
        [execution.floor_seq - 1, (execution.floor_seq + execution.tail_seq()) / 2, execution.tail_seq()]
    {
        let expected = &execution.events[(cursor.max(execution.floor_seq - 1)) as usize..];
        assert_eq!(read_to_end(archive, execution.number, cursor, SMALL_PAGE), expected);
    }
    assert_eq!(archive.base(execution.number).expect("sound"), execution.base);
    check_times(archive, execution);
    check_batches(archive, execution);
}

fn check_head(head: &Head, execution: &Execution) {
    assert_eq!(head.number, execution.number);
    assert_eq!(head.execution.log_id, log_id(execution.number));
    assert_eq!(head.execution.labels, execution.labels);
    assert_eq!(head.phase, execution.phase);
    assert_eq!((head.floor_seq, head.tail_seq), (execution.floor_seq, execution.tail_seq()));
    assert_eq!(&*head.session_id, execution.session.as_str());
    let last = execution.events.last().expect("a creation has an event");
    assert_eq!((head.tail_position, head.update_time_ns), (last.position, last.record_time_ns));
    let stored = execution.kept().iter().map(|event| event.payload.len() as u64).sum::<u64>();
    assert_eq!(head.stored_bytes, stored);
}

pub(super) fn read_to_end(archive: &Archive, number: u64, after: Seq, size: PageSize) -> Vec<StoredEvent> {
    let (mut events, mut after): (Vec<StoredEvent>, _) = (Vec::new(), after);
    loop {
        let page = archive.read(number, after, size).expect("sound");
        assert!(page.len() <= size.events_max);
        let Some(last) = page.last() else { return events };
        let but_last: usize = page[..page.len() - 1].iter().map(|event| event.payload.len()).sum();
        assert!(but_last < size.bytes_max, "only the event that passes the size is still returned");
        after = last.seq;
        events.extend(page);
    }
}

fn check_times(archive: &Archive, execution: &Execution) {
    let mut times: Vec<u64> = execution.events.iter().map(|event| event.record_time_ns).collect();
    times.dedup();
    for since_ns in times.iter().step_by(1 + times.len() / 8).flat_map(|time| [*time, *time + 1]) {
        let first = execution.events.iter().find(|event| event.record_time_ns >= since_ns);
        let expected = first.map_or(execution.tail_seq(), |event| event.seq - 1).max(execution.floor_seq - 1);
        assert_eq!(archive.cursor_at_time(execution.number, since_ns).expect("sound"), expected);
    }
}

fn check_batches(archive: &Archive, execution: &Execution) {
    for (producer, digest, span) in &execution.batches {
        let expected = (span.first_seq >= execution.floor_seq).then_some((*digest, *span));
        assert_eq!(archive.find_batch(execution.number, producer).expect("sound"), expected, "{producer:?}");
        assert_eq!(*digest, digest_of(producer));
    }
    let unknown = Producer { id: "nobody".into(), epoch: 0, seq: 0 };
    assert_eq!(archive.find_batch(execution.number, &unknown).expect("sound"), None);
}

fn check_all(archive: &Archive, model: &Model) {
    let all: Vec<(Position, String, StoredEvent)> =
        model.all().into_iter().map(|(_, id, event)| (event.position, id.to_string(), event)).collect();
    for (after, size) in [(0, PageSize::default()), (0, SMALL_PAGE), (model.position / 2, SMALL_PAGE)] {
        let expected: Vec<_> = all.iter().filter(|(position, ..)| *position > after).cloned().collect();
        assert_eq!(all_to_end(archive, after, size, &|_| Visibility::AsArchived), expected);
    }
    let floor = all.first().map_or(model.position + 1, |(position, ..)| *position);
    assert_eq!(floor_position(archive, &|_| Visibility::AsArchived), floor);
    check_overlay(archive, model);
}

fn check_overlay(archive: &Archive, model: &Model) {
    let overlay = |number: u64| match number % 3 {
        0 => Visibility::AsArchived,
        1 => Visibility::Deleted,
        _ => Visibility::Floor(3),
    };
    let shown = |number: u64, seq: Seq| match overlay(number) {
        Visibility::AsArchived | Visibility::Unknown => true,
        Visibility::Deleted => false,
        Visibility::Floor(floor_seq) => seq >= floor_seq,
    };
    let expected: Vec<_> = model
        .all()
        .into_iter()
        .filter(|(number, _, event)| shown(*number, event.seq))
        .map(|(_, id, event)| (event.position, id.to_string(), event))
        .collect();
    assert_eq!(all_to_end(archive, 0, SMALL_PAGE, &overlay), expected);
    let floor = expected.first().map_or(model.position + 1, |(position, ..)| *position);
    assert_eq!(floor_position(archive, &overlay), floor);
}

pub(super) fn all_to_end(
    archive: &Archive,
    after: Position,
    size: PageSize,
    overlay: &dyn Fn(u64) -> Visibility,
) -> Vec<(Position, String, StoredEvent)> {
    let (mut events, mut after) = (Vec::new(), after);
    let sealed_position = archive.meta().sealed_position;
    while after < sealed_position {
        let page = archive.read_all(after, size, overlay).expect("sound");
        assert!(page.through > after, "a page moves on");
        assert!(page.events.iter().all(|(_, event)| event.position <= page.through));
        assert!(page.events.len() <= size.events_max);
        after = page.through;
        let own = page
            .events
            .into_iter()
            .map(|(execution, event)| (event.position, execution.id.to_string(), event));
        events.extend(own);
    }
    assert_eq!(after, sealed_position);
    events
}

fn check_lists(archive: &Archive, model: &Model, unfinished: &BTreeSet<u64>) {
    let mut queries = vec![ListQuery::default()];
    let phases = [Phase::Pending, Phase::InProgress, Phase::Completed];
    queries.extend(phases.map(|phase| ListQuery { phase: Some(phase), ..ListQuery::default() }));
    for execution in model.executions.values().step_by(1 + model.executions.len() / 3) {
        let session_id = Some(execution.session.clone());
        queries.push(ListQuery { session_id: session_id.clone(), ..ListQuery::default() });
        queries.push(ListQuery { labels: execution.labels.clone(), ..ListQuery::default() });
        let labels = execution.labels.clone();
        let phase = Some(execution.phase);
        queries.push(ListQuery { session_id, labels, phase, ..ListQuery::default() });
    }
    let labels = BTreeMap::from([("no".to_owned(), "such".to_owned())]);
    queries.push(ListQuery { labels, ..ListQuery::default() });
    for query in queries {
        let numbers = model.executions.values().rev().filter(|execution| matches(&query, execution));
        let mut expected: Vec<u64> = numbers.map(|execution| execution.number).collect();
        expected.retain(|number| !unfinished.contains(number));
        let mut listed = list_to_end(archive, query);
        listed.retain(|number| !unfinished.contains(number));
        assert_eq!(listed, expected);
    }
}

fn matches(query: &ListQuery, execution: &Execution) -> bool {
    query.phase.is_none_or(|phase| phase == execution.phase)
        && query.session_id.as_ref().is_none_or(|session| *session == execution.session)
        && query.labels.iter().all(|(key, value)| execution.labels.get(key) == Some(value))
}

pub(super) fn list_to_end(archive: &Archive, query: ListQuery) -> Vec<u64> {
    let mut query = ListQuery { heads_max: 3, ..query };
    let mut numbers = Vec::new();
    loop {
        let page = archive.list_candidates(&query).expect("sound");
        assert!(page.heads.len() <= query.heads_max);
        numbers.extend(page.heads.iter().map(|head| head.number));
        if page.examined_through == 0 {
            return numbers;
        }
        assert!(query.before_number.is_none_or(|before| page.examined_through < before));
        query.before_number = Some(page.examined_through);
    }
}

/// The lowest archived position that is kept; one more than the last sealed one if there is none.
fn floor_position(archive: &Archive, overlay: &dyn Fn(u64) -> Visibility) -> Position {
    let first = archive.read_all(0, PageSize { events_max: 1, bytes_max: 1 }, overlay).expect("sound");
    first.events.first().map_or(first.through + 1, |(_, event)| event.position)
}

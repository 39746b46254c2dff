//! Compares what a store holds with what the model holds, by every way of reading.

use std::collections::BTreeMap;

use super::model::Model;
use crate::{EventStore, ExecutionId, ListQuery, PageSize, Phase, ReadError, RedbStore, Seq, StoredEvent};

/// Everything, by every way.
pub(super) async fn everything(store: &RedbStore, model: &Model) {
    for execution in model.logs.keys().chain(&model.deleted) {
        log(store, model, execution, 3).await;
    }
    all(store, model).await;
    let phases = [Phase::Pending, Phase::InProgress, Phase::Completed, Phase::Failed];
    for phase in [None].into_iter().chain(phases.map(Some)) {
        list(store, model, ListQuery { phase, heads_max: 2, ..ListQuery::default() }).await;
    }
    let labels = BTreeMap::from([("kind".to_owned(), "1".to_owned())]);
    list(store, model, ListQuery { labels, heads_max: 1, ..ListQuery::default() }).await;
    let stats = store.stats();
    assert_eq!((stats.executions, stats.tail_position), (model.logs.len() as u64, model.position));
}

/// One execution: its head, its base, its events in small pages, its times.
pub(super) async fn log(store: &RedbStore, model: &Model, execution: &ExecutionId, page: usize) {
    let Some(log) = model.logs.get(execution) else {
        let deleted = model.deleted.contains(execution);
        let error = store.head(execution).await.expect_err("the model has no such execution");
        assert_eq!(error, ReadError::NotFound { execution: execution.clone(), deleted });
        return;
    };
    let head = store.head(execution).await.expect("the model has this execution");
    assert_eq!(
        (head.number, head.floor_seq, head.tail_seq, head.phase),
        (log.number, log.floor, log.tail(), log.phase)
    );
    let kept_bytes: usize = log.kept().map(|(_, entry)| entry.event.payload.len()).sum();
    assert_eq!(head.stored_bytes, kept_bytes as u64);
    assert_eq!(store.base(execution).await.expect("a base is readable").as_deref(), log.base.as_deref());
    let events = read_to_tail(store, execution, log.floor - 1, page).await;
    assert_eq!(events.len(), log.kept().count(), "{execution}");
    let mut last_time = 0;
    for (event, (seq, entry)) in events.iter().zip(log.kept()) {
        assert_eq!((event.seq, event.position), (seq, entry.position));
        assert_eq!((event.type_tag, &event.custom_type), (entry.event.type_tag, &entry.event.custom_type));
        assert_eq!(event.payload, entry.event.payload);
        assert!(event.record_time_ns >= last_time, "time runs backwards at {seq}");
        last_time = event.record_time_ns;
    }
    for since in events.iter().map(|event| event.record_time_ns).chain([0, last_time + 1]) {
        let first = events.iter().find(|event| event.record_time_ns >= since);
        let cursor = first.map_or(log.tail(), |event| event.seq - 1).max(log.floor - 1);
        assert_eq!(store.cursor_at_time(execution, since).await, Ok(cursor));
    }
}

async fn read_to_tail(
    store: &RedbStore,
    execution: &ExecutionId,
    mut after: Seq,
    page: usize,
) -> Vec<StoredEvent> {
    let mut events = Vec::new();
    loop {
        let size = PageSize { events_max: page, ..PageSize::default() };
        let read = store.read(execution, after, size).await.expect("a kept event is readable");
        assert!(read.events.len() <= page);
        let Some(last) = read.events.last() else { return events };
        after = last.seq;
        events.extend(read.events);
    }
}

/// Any number as a cursor.
pub(super) async fn cursor(store: &RedbStore, model: &Model, execution: &ExecutionId, after: Seq) {
    let Some(log) = model.logs.get(execution) else { return };
    let (floor_seq, tail_seq) = (log.floor, log.tail());
    let read = store.read(execution, after, PageSize::default()).await;
    match read {
        Err(error) if after + 1 < floor_seq => assert_eq!(error, ReadError::Trimmed { floor_seq, tail_seq }),
        Err(error) => {
            assert!(after > tail_seq, "{error:?} at {after}");
            assert_eq!(error, ReadError::Ahead { floor_seq, tail_seq });
        }
        Ok(page) => {
            assert!(after + 1 >= floor_seq && after <= tail_seq, "{after} is not a cursor of {execution}");
            assert_eq!(page.events.first().map_or(after + 1, |event| event.seq), after + 1);
        }
    }
}

/// The events of all executions, in order of position.
async fn all(store: &RedbStore, model: &Model) {
    let positions = model.positions();
    let mut expected = positions.iter();
    let mut after = 0;
    assert_eq!(store.tail_position(), model.position);
    while after < model.position {
        let size = PageSize { events_max: 5, ..PageSize::default() };
        let page = store.read_all(after, size).await.expect("kept events are readable");
        assert!(page.through > after, "a page that looks at nothing");
        for (of, event) in page.events {
            let found = (&event.position, (&of.id, event.seq));
            assert_eq!(Some(found), expected.next().map(|(position, place)| (position, *place)));
        }
        after = page.through;
    }
    assert_eq!(expected.next(), None);
    let floor = positions.keys().next().copied().unwrap_or(model.position + 1);
    assert_eq!(store.floor_position().await, Ok(floor));
    assert!(matches!(
        store.read_all(model.position + 1, PageSize::default()).await,
        Err(ReadError::Ahead { .. })
    ));
}

async fn list(store: &RedbStore, model: &Model, mut query: ListQuery) {
    let mut found = Vec::new();
    loop {
        let page = store.list(query.clone()).await.expect("heads are readable");
        assert!(page.heads.len() <= query.heads_max);
        found.extend(page.heads.iter().map(|head| head.execution.id.clone()));
        query.before_number = page.next_before;
        if page.next_before.is_none() {
            break;
        }
    }
    assert_eq!(found.iter().collect::<Vec<_>>(), model.list(&query), "{query:?}");
}

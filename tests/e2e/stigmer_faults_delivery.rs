//! What must not go wrong on the way to those who watch. Each test has the name of a fault of the server
//! whose contract this is, and passes where the fault is not.

use std::time::Duration;

use tapeline::proto::stigmer::agentexecution as wire;
use tapeline::proto::v1::event::Body;
use tapeline::proto::v1::watch_request::Start;
use tapeline::proto::v1::watch_response::Frame;
use tapeline::proto::v1::{Event, ReadEventsRequest, WatchRequest};

use super::contract::{
    COMPLETED, FAILED, IN_PROGRESS, clients, contents, created, get, phase_of, status_of, subscribe, update,
    update_with,
};
use super::stream::{Watch, watching};
use super::support::daemon::{Client, Daemon, PATIENCE};

/// More updates than the buffers of a subscriber had slots.
const UPDATES: usize = 200;

/// Enough text for each update that what lies between a daemon and a client that does not read is full.
fn long(number: usize) -> String {
    format!("{number}{}", "x".repeat(64 << 10))
}

/// Where it happens, the subscriber hangs in front of the last states, or skips some of their messages.
#[tokio::test]
async fn an_update_is_dropped_when_a_subscribers_100_slot_buffer_is_full() {
    let daemon = Daemon::start();
    let (mut command, query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let mut sleeper = subscribe(&query, &id).await;
    for number in 0..UPDATES {
        let (marker, text) = (number.to_string(), long(number));
        command.update_status(update(&id, IN_PROGRESS, &[&text, &marker])).await.expect("it is valid");
    }
    let last = (UPDATES - 1).to_string();
    let states = sleeper.until(|state| contents(state).get(1) == Some(&last.as_str())).await;
    assert!(states.len() < UPDATES, "the subscriber was never behind: {}", states.len());
    // The subscription goes on after it, and others had it meanwhile.
    command.update_status(update(&id, IN_PROGRESS, &["next"])).await.expect("it is valid");
    assert_eq!(contents(&sleeper.next().await), ["next"]);
    assert_eq!(contents(&subscribe(&query, &id).await.next().await), ["next"]);
}

/// Where it happens, the stream waits for ever behind the last state that found a slot.
#[tokio::test]
async fn the_dropped_one_may_be_the_terminal_one_then_the_stream_never_ends() {
    let daemon = Daemon::start();
    let (mut command, query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let mut sleeper = subscribe(&query, &id).await;
    for number in 0..UPDATES {
        command.update_status(update(&id, IN_PROGRESS, &[&long(number)])).await.expect("it is valid");
    }
    command.update_status(update(&id, COMPLETED, &["end"])).await.expect("it is valid");
    let states = sleeper.rest().await;
    let last = states.last().expect("there is at least one");
    assert_eq!((phase_of(last), contents(last)), (COMPLETED, vec!["end"]));
    assert!(states.len() < UPDATES, "the subscriber was never behind: {}", states.len());
}

/// Where it happens, a subscriber whose call runs beside an update shows the state before it and waits. The
/// state is large, so that loading it takes a while, and the update comes a little later each time; the race
/// itself is explored under every interleaving by the tests of the broker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_between_loading_the_state_and_registering_the_channel_is_lost() {
    const ROUNDS: u32 = 60;
    const STEP: Duration = Duration::from_micros(250);
    let daemon = Daemon::start();
    let (mut command, query) = clients(&daemon);
    let large = "x".repeat(3 << 20);
    let id = created(&mut command, "one").await;
    command.update_status(update(&id, IN_PROGRESS, &[&large])).await.expect("it is valid");
    for round in 0..ROUNDS {
        let error = format!("e{round}");
        let status = wire::AgentExecutionStatus { error: error.clone(), ..Default::default() };
        let updating = {
            let (mut command, update) = (command.clone(), update_with(&id, status));
            async move {
                tokio::time::sleep(STEP * round).await;
                command.update_status(update).await
            }
        };
        // The only one, so that what is loaded is loaded for it.
        let mut states = subscribe(&query, &id).await;
        let updating = tokio::spawn(updating);
        let seen = states.until(|state| status_of(state).error == error);
        let seen = tokio::time::timeout(PATIENCE / 4, seen).await.expect("the update was lost");
        assert!(seen.len() <= 2, "round {round}: {}", seen.len());
        updating.await.expect("no panic").expect("it is valid");
    }
}

/// Where it happens, the second `rest` never returns.
#[tokio::test]
async fn subscribing_to_an_execution_that_has_already_ended_never_ends() {
    let daemon = Daemon::start();
    let (mut command, query) = clients(&daemon);
    for phase in [COMPLETED, FAILED, 5] {
        let id = created(&mut command, "one").await;
        command.update_status(update(&id, phase, &["a"])).await.expect("it is valid");
        let states = subscribe(&query, &id).await.rest().await;
        assert_eq!(states.len(), 1);
        assert_eq!((phase_of(&states[0]), contents(&states[0])), (phase, vec!["a"]));
    }
}

async fn events(client: &Client, id: &str) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let after_seq = events.last().map_or(0, |event| event.seq);
        let request =
            ReadEventsRequest { execution_id: id.into(), after_seq, max_events: 1_000, ..Default::default() };
        let page = client.clone().read_events(request).await.expect("it is there").into_inner();
        let tail = page.tail_seq;
        events.extend(page.events);
        if events.last().map_or(0, |event| event.seq) == tail {
            return events;
        }
    }
}

/// Where it happens, a subscriber sees a state that was overwritten after one that overwrote it: what it
/// saw is not in the order of the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broadcast_order_is_not_commit_order() {
    const UPDATERS: usize = 64;
    let daemon = Daemon::start();
    let (mut command, query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    let mut states = subscribe(&query, &id).await;
    states.next().await;
    let seen = tokio::spawn(async move { states.rest().await });
    let updates = (0..UPDATERS).map(|number| {
        let (mut command, id) = (command.clone(), id.clone());
        let status = wire::AgentExecutionStatus { error: format!("e{number}"), ..Default::default() };
        tokio::spawn(async move { command.update_status(update_with(&id, status)).await })
    });
    for update in updates.collect::<Vec<_>>() {
        update.await.expect("no panic").expect("none is refused");
    }
    command.update_status(update(&id, COMPLETED, &[])).await.expect("it is valid");
    let committed: Vec<String> = events(&daemon.client(), &id)
        .await
        .into_iter()
        .filter_map(|event| match event.body {
            Some(Body::PhaseChanged(changed)) if !changed.error.is_empty() => Some(changed.error),
            _ => None,
        })
        .collect();
    assert_eq!(committed.len(), UPDATERS);
    let places = seen.await.expect("no panic").into_iter().map(|state| {
        let error = &status_of(&state).error;
        committed.iter().position(|committed| committed == error).expect("it is in the log")
    });
    let places: Vec<_> = places.collect();
    assert!(places.is_sorted(), "{places:?}");
    assert_eq!(places.last(), Some(&(UPDATERS - 1)));
}

/// Where it happens, all that is left of a run is its last state: no earlier one can be had, and whoever was
/// away begins anew.
#[tokio::test]
async fn no_history_no_cursor() {
    let mut daemon = Daemon::start();
    let (mut command, query) = clients(&daemon);
    let id = created(&mut command, "one").await;
    for texts in [&["hel"][..], &["hello"], &["another"]] {
        command.update_status(update(&id, IN_PROGRESS, texts)).await.expect("it is valid");
    }
    let history = events(&daemon.client(), &id).await;
    let said = |event: &Event| match &event.body {
        Some(Body::MessageAdded(added)) => added.message.as_ref().map(|message| message.content.clone()),
        Some(Body::MessageTextAppended(text)) => Some(text.text.clone()),
        Some(Body::MessageReplaced(replaced)) => {
            replaced.message.as_ref().map(|message| message.content.clone())
        }
        _ => None,
    };
    assert_eq!(history.iter().filter_map(said).collect::<Vec<_>>(), ["hel", "lo", "another"]);
    let cursor = history[history.len() - 2].seq;
    let log_id = Watch::open(&daemon.client(), watching(&id)).await.expect("there").hello.log_id;
    daemon.kill();
    daemon.start_again();
    let resumed = WatchRequest { start: Some(Start::AfterSeq(cursor)), log_id, ..watching(&id) };
    let mut watch = Watch::open(&daemon.client(), resumed).await.expect("the cursor is still good");
    let Frame::Events(batch) = watch.next().await else { panic!("there is one event more") };
    assert_eq!(batch.events, history[history.len() - 1..]);
    drop(query);
    assert_eq!(contents(&get(&clients(&daemon).1, &id).await), ["another"]);
}

//! Watching what has ended.

use std::time::{Duration, Instant};

use tapeline::proto::v1::{AppendRequest, CreateExecutionRequest, Event, Phase, PhaseChanged, event};

use super::support::append::{custom, until_acknowledged};
use super::support::daemon::Daemon;
use super::support::watcher::watch_to_end;

/// Far below any heartbeat or time-out that could end a wait by chance.
const AT_ONCE: Duration = Duration::from_secs(5);

#[test]
fn a_watch_on_an_ended_execution_replays_says_end_and_returns_at_once() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    // Connections are made in it, also where nothing is waited for.
    let _inside = runtime.enter();
    let mut daemon = Daemon::start();
    runtime.block_on(async {
        let client = daemon.client();
        let request =
            CreateExecutionRequest { execution_id: "ended".into(), ..CreateExecutionRequest::default() };
        client.clone().create_execution(request).await.expect("a new id");
        let failed = PhaseChanged {
            phase: Phase::Failed.into(),
            error: "out of luck".into(),
            ..PhaseChanged::default()
        };
        let last = Event { body: Some(event::Body::PhaseChanged(failed)), ..Event::default() };
        let request = AppendRequest {
            execution_id: "ended".into(),
            events: vec![custom("work"), last],
            ..AppendRequest::default()
        };
        until_acknowledged(&client, &request).await;
    });
    for round in 0..2 {
        let begun = Instant::now();
        let seen = runtime.block_on(watch_to_end(daemon.client(), "ended".into()));
        assert!(begun.elapsed() < AT_ONCE, "round {round}: it took {:?}", begun.elapsed());
        assert_eq!(seen.cursor(), 3);
        daemon.kill();
        daemon.start_again();
    }
}

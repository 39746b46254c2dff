//! The order of a log, and where a resumed watch goes on; no connection is needed for either.

use super::*;

fn events(seqs: &[u64]) -> Vec<Event> {
    seqs.iter().map(|&seq| Event { seq, ..Event::default() }).collect()
}

fn hello(log_id: &str, tail_seq: u64) -> Hello {
    Hello { store_id: "store".to_owned(), log_id: log_id.to_owned(), tail_seq, ..Hello::default() }
}

#[test]
fn a_missing_event_and_a_repeated_one_are_errors() {
    let mut place = Place::default();
    place.pass(&events(&[5, 6, 7])).expect("the first may be any");
    assert!(matches!(place.pass(&events(&[9])), Err(CliError::OutOfOrder { after: 7, got: 9 })));
    assert!(matches!(place.pass(&events(&[7])), Err(CliError::OutOfOrder { after: 7, got: 7 })));
    place.pass(&events(&[8])).expect("the next one");
}

#[test]
fn under_a_filter_seqs_may_be_left_out_but_never_repeated() {
    let mut place = Place { filtered: true, ..Place::default() };
    place.pass(&events(&[2, 9])).expect("rising");
    place.reach(20);
    assert!(place.pass(&events(&[20])).is_err(), "a caught-up watch has everything up to 20");
    place.pass(&events(&[30])).expect("rising");
}

#[test]
fn a_gap_moves_the_cursor_to_its_end() {
    let mut place = Place { seq: Some(3), ..Place::default() };
    place.reach(10);
    place.pass(&events(&[11])).expect("the first after the gap");
}

#[test]
fn a_resumed_watch_names_its_log_and_its_cursor() {
    let mut place = Place::default();
    let mut request = WatchRequest { start: Some(Start::Tail(5)), ..WatchRequest::default() };
    place.greet(&hello("log", 40), &request);
    place.resume(&mut request);
    assert_eq!(request.start, Some(Start::Tail(5)), "nothing was seen: the same start again");
    place.pass(&events(&[36])).expect("the first");
    place.resume(&mut request);
    assert_eq!(request.start, Some(Start::AfterSeq(36)));
    assert_eq!((request.store_id.as_str(), request.log_id.as_str()), ("store", "log"));
}

#[test]
fn a_live_watch_that_breaks_before_its_first_event_misses_none() {
    let mut place = Place::default();
    let mut request = WatchRequest { start: Some(Start::Live(true)), ..WatchRequest::default() };
    place.greet(&hello("log", 40), &request);
    place.resume(&mut request);
    assert_eq!(request.start, Some(Start::AfterSeq(40)));
}

#[test]
fn a_watch_that_waits_for_a_creation_is_bound_to_no_store() {
    let mut place = Place::default();
    let mut request = WatchRequest { wait_for_create: true, ..WatchRequest::default() };
    place.greet(&hello("", 0), &request);
    place.resume(&mut request);
    assert_eq!((request.store_id.as_str(), request.start), ("", None));
}

/// A watch of a daemon that is not there, asked again and again until it gives up.
async fn given_up(mut follow: Follow) -> (Duration, CliError) {
    let begun = Instant::now();
    loop {
        match follow.next().await {
            Ok(Step::Reconnecting(_)) => {}
            Ok(other) => panic!("nobody is there to say {other:?}"),
            Err(error) => return (begun.elapsed(), error),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_is_not_there_is_tried_to_the_end_of_the_time_and_then_once_more() {
    let client = Client::new(&crate::cli::client::AddrArgs::at("http://127.0.0.1:1")).expect("an address");
    let follow = || Follow::new(client.clone(), WatchRequest::default());
    let (took, error) = given_up(follow()).await;
    assert!(took >= FIRST_CONNECT_MAX, "{took:?}");
    assert!(matches!(error, CliError::Unreachable { .. }), "{error:?}");

    let patience = Duration::from_secs(77);
    let mut greeted = follow().reconnect_max(patience);
    greeted.place.greeted = true;
    let (took, error) = given_up(greeted).await;
    assert!(took >= patience, "{took:?}");
    assert!(matches!(error, CliError::Lost { after, .. } if after >= patience), "{error:?}");

    let (took, _) = given_up(follow().reconnect_max(Duration::ZERO)).await;
    assert!(took < FIRST_CONNECT_MAX, "nobody wanted it to be tried again: {took:?}");
}

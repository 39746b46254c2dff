//! Watches whose stream breaks, repeats, leaves out or is refused.

use std::time::Duration;

use tapeline::proto::v1::watch_request::Start;
use tapeline::proto::v1::watch_response::Frame as Body;
use tapeline::proto::v1::{Heartbeat, WatchRequest};
use tonic::{Code, Status};

use super::super::support::{Done, seqs};
use super::{Script, end, events, hello, play, refused};

fn watch(streams: Vec<Vec<Result<Body, Status>>>, args: &[&str]) -> (Done, Vec<WatchRequest>) {
    let script = Script { watches: streams.into(), ..Script::default() };
    let (done, script) = play(script, &[&["watch", "e1", "-o", "json"], args].concat());
    (done, script.watched)
}

#[test]
fn an_event_that_comes_twice_is_shown_once_and_reported() {
    for wrong in [vec![3], vec![2], vec![1, 2, 3], vec![0]] {
        let (done, _) = watch(vec![vec![hello(), events(&[1, 2, 3]), events(&wrong), end()]], &[]);
        assert_eq!((done.code, seqs(&done.json())), (Some(5), vec![1, 2, 3]), "{wrong:?}");
        assert!(done.stderr.contains("out of order"), "{}", done.stderr);
    }
}

#[test]
fn an_event_that_is_missing_is_reported_and_nothing_after_it_is_shown() {
    let (done, _) = watch(vec![vec![hello(), events(&[1, 2]), events(&[4, 5]), end()]], &[]);
    assert_eq!((done.code, seqs(&done.json())), (Some(5), vec![1, 2]));
    // Also across a reconnect.
    let (done, _) = watch(vec![vec![hello(), events(&[1, 2])], vec![hello(), events(&[4]), end()]], &[]);
    assert_eq!((done.code, seqs(&done.json())), (Some(5), vec![1, 2]));
}

#[test]
fn a_stream_without_its_end_is_resumed_at_its_cursor() {
    let broken = Err(Status::internal("h2 protocol error"));
    let leaving = Err(refused(Code::Unavailable, "SHUTTING_DOWN", None));
    let streams = vec![
        vec![hello(), events(&[1])],
        vec![hello(), events(&[2, 3]), broken],
        vec![hello(), leaving],
        vec![hello(), events(&[4]), end()],
    ];
    let (done, watched) = watch(streams, &[]);
    assert_eq!((done.code, seqs(&done.json())), (Some(0), vec![1, 2, 3, 4]), "{}", done.stderr);
    let starts: Vec<_> = watched.iter().map(|request| request.start).collect();
    assert_eq!(starts, [None, Some(Start::AfterSeq(1)), Some(Start::AfterSeq(3)), Some(Start::AfterSeq(3))]);
    assert!(watched[1..].iter().all(|request| request.store_id == "store" && request.log_id == "log"));
}

#[test]
fn under_a_filter_a_heartbeat_moves_the_cursor() {
    let heartbeat = Ok(Body::Heartbeat(Heartbeat { seq: 40, ..Heartbeat::default() }));
    let streams = vec![vec![hello(), events(&[7]), heartbeat], vec![hello(), events(&[41, 50]), end()]];
    let (done, watched) = watch(streams, &["--types", "output"]);
    assert_eq!((done.code, seqs(&done.json())), (Some(0), vec![7, 41, 50]), "{}", done.stderr);
    assert_eq!(watched[1].start, Some(Start::AfterSeq(40)));
}

#[test]
fn a_daemon_that_has_too_many_watchers_is_asked_again() {
    let full = Err(refused(Code::ResourceExhausted, "TOO_MANY_WATCHERS", Some(Duration::from_millis(50))));
    let (done, watched) = watch(vec![vec![full], vec![hello(), events(&[1]), end()]], &[]);
    assert_eq!((done.code, watched.len()), (Some(0), 2), "{}", done.stderr);
}

#[test]
fn a_daemon_that_never_lets_a_watch_in_is_told_from_one_that_is_not_there() {
    let full =
        || vec![Err(refused(Code::ResourceExhausted, "TOO_MANY_WATCHERS", Some(Duration::from_millis(50))))];
    let streams = std::iter::repeat_with(full).take(100).collect();
    let (done, watched) = watch(streams, &["--reconnect-for", "400ms"]);
    assert_eq!(done.code, Some(5), "{}", done.stderr);
    assert!(watched.len() > 1, "it is asked again");
    let (_, last) = done.stderr.split_once("error: ").expect("it fails");
    assert!(last.contains("TOO_MANY_WATCHERS") && !last.contains("cannot reach"), "{last}");
}

#[test]
fn what_can_never_work_is_not_tried_again() {
    for (code, reason, exit) in [
        (Code::FailedPrecondition, "LOG_REPLACED", 5),
        (Code::OutOfRange, "CURSOR_AHEAD", 5),
        (Code::DataLoss, "CORRUPT_RECORD", 5),
        (Code::InvalidArgument, "INVALID_FIELD", 2),
    ] {
        let (done, watched) = watch(vec![vec![Err(refused(code, reason, None))]], &[]);
        assert_eq!((done.code, watched.len()), (Some(exit), 1), "{reason}");
        assert!(done.stderr.contains(reason), "{}", done.stderr);
    }
}

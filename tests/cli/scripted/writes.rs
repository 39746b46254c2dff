//! Appends and runs whose batches are refused, or whose outcome stays unknown.

use std::collections::VecDeque;
use std::time::Duration;

use tapeline::proto::v1::{AppendRequest, AppendResponse};
use tonic::{Code, Status};

use super::{Script, play, play_with, refused};

#[test]
fn an_append_whose_outcome_is_unknown_is_repeated_under_its_number() {
    let unknown = || Err(refused(Code::Unavailable, "OUTCOME_UNKNOWN", Some(Duration::from_millis(10))));
    let written = Ok(AppendResponse { first_seq: 2, last_seq: 2, tail_seq: 2, ..AppendResponse::default() });
    let script = Script { appends: VecDeque::from([unknown(), unknown(), written]), ..Script::default() };
    let (done, script) = play(script, &["append", "e1", "--type", "t", "--data", "d"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(script.appended.len(), 3);
    assert!(script.appended.iter().all(|request| request == &script.appended[0]));
    assert!(script.appended[0].producer.is_some());
}

#[test]
fn an_append_that_breaks_off_says_that_its_outcome_is_unknown() {
    let broken = Err(Status::internal("h2 protocol error"));
    let script = Script { appends: VecDeque::from([broken]), ..Script::default() };
    let (done, _) = play(script, &["append", "e1", "--type", "t", "--data", "d"]);
    assert_eq!(done.code, Some(5), "{}", done.stderr);
    assert!(done.stderr.contains("unknown") && done.stderr.contains("twice"), "{}", done.stderr);
    assert!(!done.stderr.contains("cannot reach"), "{}", done.stderr);
}

#[test]
fn an_append_that_fails_in_the_middle_says_how_far_it_came() {
    let written = Ok(AppendResponse { last_seq: 77, ..AppendResponse::default() });
    let ended = Err(refused(Code::FailedPrecondition, "EXECUTION_ENDED", None));
    let script = Script { appends: VecDeque::from([written, ended]), ..Script::default() };
    let lines = "{\"custom\":{\"type\":\"n\",\"data\":\"1\"}}\n".repeat(1_500);
    let (done, script) = play_with(script, &["append", "e1"], lines.as_bytes());
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    let told = format!("{} events were appended before; the last is seq 77", script.appended[0].events.len());
    assert!(done.stderr.contains(&told), "{}", done.stderr);
    assert!(done.stderr.contains("EXECUTION_ENDED"), "{}", done.stderr);
}

#[test]
fn a_run_that_is_refused_goes_on_unrecorded() {
    let fenced = Err(refused(Code::PermissionDenied, "PRODUCER_FENCED", None));
    let script = Script { appends: VecDeque::from([fenced]), ..Script::default() };
    let (done, script) = play(script, &["run", "--", "sh", "-c", "echo out; exit 9"]);
    assert_eq!((done.code, done.text()), (Some(9), "out\n"));
    assert!(done.stderr.contains("recording has stopped"), "{}", done.stderr);
    assert_eq!(script.appended.len(), 1, "it does not knock again");
}

#[test]
fn the_batches_of_a_run_are_numbered_without_a_hole_and_repeated_as_they_were() {
    let busy = || Err(refused(Code::ResourceExhausted, "DISK_FULL", Some(Duration::from_millis(10))));
    let appends = VecDeque::from([busy(), Ok(AppendResponse::default()), busy(), busy()]);
    let script = Script { appends, ..Script::default() };
    let (done, script) =
        play(script, &["run", "--", "sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.02; done"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let mut batches: Vec<AppendRequest> = Vec::new();
    for request in script.appended {
        let number = usize::try_from(request.producer.as_ref().unwrap().seq).unwrap();
        if number == batches.len() {
            batches.push(request);
        } else {
            assert_eq!(Some(&request), batches.last(), "a repeated batch is the same batch");
        }
    }
    assert!(batches.len() >= 2, "{}", batches.len());
}

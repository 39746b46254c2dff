//! Retries, conflicts, gaps and fences, as a producer meets them over the wire.

use tapeline::proto::v1::{AppendRequest, Phase, TrimExecutionRequest};
use tonic::Code;

use super::refusal::{invalid_field, refused};
use super::support::append::{batch, creation, custom, phase, produced};
use super::support::daemon::Daemon;

#[tokio::test]
async fn the_same_triple_again_returns_the_first_seqs_and_writes_nothing_also_after_a_restart() {
    let mut daemon = Daemon::start();
    daemon.client().create_execution(creation("one")).await.expect("new");
    let mut replies = Vec::new();
    for seq in 0..3 {
        let request = produced("one", ("p", 1, seq), vec![custom(seq.to_string()), custom("x")]);
        replies.push((request.clone(), daemon.client().append(request).await.expect("next").into_inner()));
    }
    for killed in [false, true] {
        if killed {
            daemon.kill();
            daemon.start_again();
        }
        for (request, first) in &replies {
            let again = daemon.client().append(request.clone()).await.expect("a duplicate").into_inner();
            assert!(again.duplicate);
            assert_eq!((again.first_seq, again.last_seq), (first.first_seq, first.last_seq));
            assert_eq!((again.tail_seq, again.last_position), (7, first.last_position));
            assert_eq!(again.record_time, first.record_time);
        }
    }
}

#[tokio::test]
async fn a_duplicate_of_what_was_trimmed_is_one_with_seqs_0() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    client.create_execution(creation("one")).await.expect("new");
    for seq in 0..3 {
        client.append(produced("one", ("p", 1, seq), vec![custom("x")])).await.expect("next");
    }
    let trim = TrimExecutionRequest { execution_id: "one".into(), floor_seq: 4 };
    daemon.admin().trim_execution(trim).await.expect("fine");
    let again =
        client.append(produced("one", ("p", 1, 0), vec![custom("x")])).await.expect("old").into_inner();
    assert_eq!((again.duplicate, again.first_seq, again.last_seq, again.tail_seq), (true, 0, 0, 4));
}

#[tokio::test]
async fn a_conflict_a_gap_and_an_old_epoch_are_refused_with_what_is_expected_and_nothing_is_written() {
    let mut daemon = Daemon::start();
    daemon.client().create_execution(creation("one")).await.expect("new");
    for seq in 0..2 {
        let request = produced("one", ("p", 3, seq), vec![custom(seq.to_string())]);
        daemon.client().append(request).await.expect("next");
    }
    for restarted in [false, true] {
        if restarted {
            daemon.kill();
            daemon.start_again();
        }
        let mut client = daemon.client();
        let expected = [("expected_seq", "2"), ("current_epoch", "3")];
        for (triple, code, reason) in [
            (("p", 3, 1), Code::Aborted, "PRODUCER_CONFLICT"),
            (("p", 3, 0), Code::Aborted, "PRODUCER_CONFLICT"),
            (("p", 3, 3), Code::FailedPrecondition, "PRODUCER_GAP"),
            (("p", 3, u64::MAX), Code::FailedPrecondition, "PRODUCER_GAP"),
            (("p", 2, 2), Code::PermissionDenied, "PRODUCER_FENCED"),
            (("p", 0, 0), Code::PermissionDenied, "PRODUCER_FENCED"),
        ] {
            let request = produced("one", triple, vec![custom("something else")]);
            refused(client.append(request).await, code, reason).says(expected);
        }
        let request = produced("one", ("new", 1, 1), vec![custom("x")]);
        refused(client.append(request).await, Code::FailedPrecondition, "PRODUCER_GAP")
            .number("expected_seq");
    }
    let reply = daemon.client().append(produced("one", ("p", 4, 0), vec![custom("x")])).await;
    assert_eq!(reply.expect("a new epoch starts at 0").into_inner().first_seq, 4);
}

#[tokio::test]
async fn the_retry_of_a_terminal_append_is_a_duplicate_and_everything_else_is_refused() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    client.create_execution(creation("one")).await.expect("new");
    let last = produced("one", ("p", 1, 0), vec![custom("x"), phase(Phase::Cancelled)]);
    client.append(last.clone()).await.expect("next");
    assert!(client.append(last).await.expect("a retry").into_inner().duplicate);
    let ended = [("final_seq", "3"), ("phase", "PHASE_CANCELLED")];
    for request in [
        batch("one", vec![custom("y")]),
        batch("one", vec![phase(Phase::Cancelled)]),
        produced("one", ("p", 1, 1), vec![custom("y")]),
        produced("one", ("p", 1, 5), vec![custom("y")]),
        AppendRequest { expected_last_seq: Some(1), ..batch("one", vec![custom("y")]) },
    ] {
        refused(client.append(request).await, Code::FailedPrecondition, "EXECUTION_ENDED").says(ended);
    }
}

#[tokio::test]
async fn an_expected_seq_that_is_not_the_tail_is_refused_with_the_tail_but_duplicates_come_first() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    client.create_execution(creation("one")).await.expect("new");
    let first = AppendRequest {
        expected_last_seq: Some(1),
        ..produced("one", ("p", 1, 0), vec![custom("x"), custom("y")])
    };
    client.append(first.clone()).await.expect("it is the tail");
    for wrong in [0, 1, 2, 4, u64::MAX] {
        let request = AppendRequest { expected_last_seq: Some(wrong), ..batch("one", vec![custom("z")]) };
        refused(client.append(request).await, Code::Aborted, "SEQ_MISMATCH")
            .says([("expected", &wrong.to_string()), ("tail_seq", "3")]);
    }
    assert!(client.append(first).await.expect("a duplicate").into_inner().duplicate);
    let request = AppendRequest { expected_last_seq: Some(3), ..batch("one", vec![custom("z")]) };
    assert_eq!(client.append(request).await.expect("it is the tail").into_inner().tail_seq, 4);
}

#[tokio::test]
async fn at_most_64_producers_write_to_an_execution() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    client.create_execution(creation("one")).await.expect("new");
    for number in 0..64 {
        let request = produced("one", (&format!("p{number}"), 1, 0), vec![custom("x")]);
        client.append(request).await.expect("there is room");
    }
    let request = produced("one", ("one more", 1, 0), vec![custom("x")]);
    assert!(invalid_field(client.append(request).await).starts_with("producer"));
    client.append(produced("one", ("p7", 1, 1), vec![custom("x")])).await.expect("a known one");
}

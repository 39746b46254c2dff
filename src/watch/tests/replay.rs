//! From replay to live in one call.

use tapeline_storage::Phase;

use super::support::{House, events, output, request, seqs, spec_replaced, terminal, words};
use crate::proto::v1::event::Body;
use crate::proto::v1::watch_response::Frame;
use crate::proto::v1::{WatchRequest, watch_request::Start};

#[tokio::test]
async fn who_comes_late_gets_the_log_and_then_what_is_committed_with_no_gap_at_the_hand_over() {
    let house = House::open().await;
    house.create("run").await;
    house.append("run", vec![output(b"a"), output(b"b")]).await;

    let mut client = house.watch(request("run")).await;
    let replay = client.until_caught_up().await;
    assert_eq!(words(&replay), ["hello 1..=3", "events 1,2,3", "caught up 3"]);

    house.append("run", vec![output(b"c"), output(b"d")]).await;
    assert_eq!(words(&[client.frame().await]), ["events 4,5"]);
    house.finish("run").await;
    assert_eq!(words(&client.rest().await), ["events 6", "end REASON_TERMINAL 6"]);
}

#[tokio::test]
async fn events_are_as_they_were_appended_and_say_which_log_they_are_of() {
    let house = House::open().await;
    house.create("run").await;
    house.append("run", vec![output(b"hello")]).await;
    let head = house.head("run").await;

    let mut client = house.watch(request("run")).await;
    let frames = client.until_caught_up().await;
    let Frame::Hello(hello) = &frames[0] else { panic!("Hello comes first") };
    assert_eq!(hello.log_id, head.execution.log_id.to_string());
    assert_eq!(hello.phase, Phase::Pending as i32);
    let event = &events(&frames)[1];
    assert!(matches!(&event.body, Some(Body::Output(output)) if output.data == "hello"));
    assert_eq!((event.seq, event.position, event.execution_id.as_str()), (2, 2, ""));
    let time = event.record_time.as_ref().expect("the time is set");
    let time_ns = time.seconds as u64 * 1_000_000_000 + time.nanos as u64;
    assert_eq!(time_ns, head.update_time_ns);
}

#[tokio::test]
async fn watching_an_execution_that_has_ended_replays_says_end_and_closes() {
    let house = House::open().await;
    house.create("run").await;
    house.append("run", vec![output(b"a"), terminal(Phase::Failed, "it broke")]).await;

    let frames = house.watch(request("run")).await.rest().await;
    assert_eq!(words(&frames), ["hello 1..=3", "events 1,2,3", "caught up 3", "end REASON_TERMINAL 3"]);
    let Some(Frame::End(end)) = frames.last() else { panic!("End comes last") };
    assert_eq!((end.phase, end.error.as_str()), (Phase::Failed as i32, "it broke"));

    let at_the_tail = WatchRequest { start: Some(Start::AfterSeq(3)), ..request("run") };
    let frames = house.watch(at_the_tail).await.rest().await;
    assert_eq!(words(&frames), ["hello 1..=3", "caught up 3", "end REASON_TERMINAL 3"]);
}

#[tokio::test]
async fn the_live_end_carries_the_phase_and_the_error() {
    let house = House::open().await;
    house.create("run").await;
    let mut client = house.watch(request("run")).await;
    client.until_caught_up().await;
    house.append("run", vec![terminal(Phase::Cancelled, "enough")]).await;
    let frames = client.rest().await;
    let Some(Frame::End(end)) = frames.last() else { panic!("End comes last") };
    assert_eq!((end.phase, end.error.as_str()), (Phase::Cancelled as i32, "enough"));
}

#[tokio::test]
async fn a_long_log_comes_in_frames_that_fit_the_limits_of_clients() {
    let house = House::open().await;
    house.create("run").await;
    for _ in 0..8 {
        house.append("run", (0..500).map(|_| output(&[7; 256])).collect()).await;
    }
    house.append("run", vec![output(&vec![1; 900_000]), output(&vec![2; 900_000])]).await;

    let frames = house.watch(request("run")).await.until_caught_up().await;
    assert_eq!(seqs(&frames), (1..=4_003).collect::<Vec<_>>());
    for frame in &frames {
        let Frame::Events(batch) = frame else { continue };
        let bytes: usize = batch.events.iter().map(prost::Message::encoded_len).sum();
        assert!(bytes <= 1 << 20 || batch.events.len() == 1);
    }
}

#[tokio::test]
async fn what_is_committed_during_a_replay_is_given_once() {
    let house = House::open().await;
    house.create("run").await;
    // Several pages, so that the replay is in the middle when more is committed.
    for _ in 0..6 {
        house.append("run", (0..400).map(|_| output(&[7; 256])).collect()).await;
    }
    let mut client = house.watch(request("run")).await;
    let mut frames = vec![client.frame().await, client.frame().await];
    house.append_each("run", 20).await;
    frames.extend(client.until_caught_up().await);
    house.append_each("run", 3).await;
    house.finish("run").await;
    frames.extend(client.rest().await);
    assert_eq!(seqs(&frames), (1..=1 + 2_400 + 20 + 3 + 1).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_deleted_execution_ends_its_watchers_live_and_replaying() {
    let house = House::open().await;
    house.create("run").await;
    for _ in 0..6 {
        house.append("run", (0..400).map(|_| output(&[7; 256])).collect()).await;
    }
    let mut live = house.watch(request("run")).await;
    live.until_caught_up().await;
    let mut replaying = house.watch(request("run")).await;
    let mut replayed = vec![replaying.frame().await, replaying.frame().await];

    house.delete("run").await;

    assert_eq!(words(&live.rest().await), ["end REASON_DELETED 2401"]);
    replayed.extend(replaying.rest().await);
    let given = seqs(&replayed);
    assert_eq!(given, (1..=given.len() as u64).collect::<Vec<_>>(), "what was given has no hole");
    assert!(given.len() < 2_401, "the rest is gone");
    let last = replayed.last().expect("there are frames");
    assert_eq!(words(std::slice::from_ref(last)), [format!("end REASON_DELETED {}", given.len())]);
}

#[tokio::test]
async fn resuming_at_every_cursor_gives_what_is_missing_of_the_log() {
    let house = House::open().await;
    house.create("run").await;
    house.append_each("run", 30).await;
    let tail = house.finish("run").await;
    let whole = events(&house.watch(request("run")).await.rest().await);
    assert_eq!(whole.len() as u64, tail);
    for cursor in 0..=tail {
        let resumed = WatchRequest { start: Some(Start::AfterSeq(cursor)), ..request("run") };
        let rest = events(&house.watch(resumed).await.rest().await);
        assert_eq!(rest, whole[cursor as usize..], "after {cursor}");
    }
}

#[tokio::test]
async fn values_marked_secret_reach_no_watcher_replayed_or_live() {
    let secret = "hunter2-hunter2";
    let house = House::open().await;
    house.create("run").await;
    house.append("run", vec![spec_replaced(secret)]).await;
    let mut frames = Vec::new();
    let mut client = house.watch(request("run")).await;
    frames.extend(client.until_caught_up().await);
    house.append("run", vec![spec_replaced(secret)]).await;
    frames.push(client.frame().await);

    assert_eq!(seqs(&frames), [1, 2, 3]);
    let told = format!("{frames:?}");
    assert!(!told.contains(secret));
    assert_eq!(told.matches("an ordinary message").count(), 2, "the rest is there");
}

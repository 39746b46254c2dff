//! What a subscription gets of which commit, through the real thread.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tapeline_storage::{CommitSlice, Phase, SliceChange};
use tokio::time::timeout;

use super::{appended, appended_at, commit, execution};
use crate::broker::inbox::Message;
use crate::broker::topics::Topics;
use crate::broker::{Broker, Delivery, Slice, Subscription, Topic};
use crate::limits::SUBSCRIPTION_SLICES_MAX;

async fn next(subscription: &Subscription) -> Delivery {
    let next = poll_fn(|cx| subscription.poll_next(cx));
    timeout(Duration::from_secs(10), next).await.expect("a delivery is due")
}

async fn next_slice(subscription: &Subscription) -> Slice {
    match next(subscription).await {
        Delivery::Slice(slice) => slice,
        Delivery::Lagged => panic!("nothing overflowed"),
    }
}

fn span(slice: &Slice) -> (u64, u64) {
    match slice {
        Slice::Events(events) => (events.encoded.first(), events.encoded.last()),
        other => panic!("not events: {other:?}"),
    }
}

#[tokio::test]
async fn a_panic_of_the_thread_is_told_with_its_words_and_keeps_nobody_waiting() {
    let broker = Broker::start_panicking();
    let failed = broker.failed();
    let one = execution("one");
    for seq in 1..=3 {
        broker.hook().committed(&commit(vec![appended(&one, seq, seq, Phase::Pending)]));
    }
    assert_eq!(timeout(Duration::from_secs(10), failed).await.expect("it is told"), "scripted");
    assert_eq!(broker.failed().await, "scripted", "also to those who ask later");
    broker.stop();
}

#[tokio::test]
async fn appends_of_one_commit_to_one_execution_are_one_slice() {
    let broker = Broker::start().expect("a thread is to be had");
    let (one, two) = (execution("one"), execution("two"));
    let of_one = broker.subscribe(Topic::Execution(one.id.clone()));
    let of_all = broker.subscribe(Topic::All);
    broker.hook().committed(&commit(vec![
        appended_at(&one, 1, 1, 2, Phase::Pending),
        appended_at(&two, 3, 1, 1, Phase::Pending),
        appended_at(&one, 4, 3, 5, Phase::Failed),
    ]));

    let slice = next_slice(&of_one).await;
    assert_eq!(span(&slice), (1, 5), "by seq");
    let Slice::Events(events) = slice else { panic!("not events") };
    assert_eq!((events.phase, events.record_time_ns), (Phase::Failed, 5), "where it stands after the last");
    assert_eq!(span(&next_slice(&of_all).await), (1, 6), "by position");
    assert_eq!(broker.tail_seq(&one.id), 5);
    assert_eq!(broker.tail_seq(&two.id), 0, "nobody watches it");
    broker.stop();
}

#[tokio::test]
async fn trims_and_deletions_arrive_in_their_place_and_not_at_those_who_watch_all() {
    let broker = Broker::start().expect("a thread is to be had");
    let one = execution("one");
    let of_one = broker.subscribe(Topic::Execution(one.id.clone()));
    let of_all = broker.subscribe(Topic::All);
    let change = |change| CommitSlice { execution: one.clone(), change };
    broker.hook().committed(&commit(vec![
        appended(&one, 1, 3, Phase::Pending),
        change(SliceChange::Trimmed { floor_seq: 3 }),
        appended(&one, 4, 4, Phase::Pending),
        change(SliceChange::Deleted),
    ]));

    assert_eq!(span(&next_slice(&of_one).await), (1, 3));
    assert!(matches!(next_slice(&of_one).await, Slice::Trimmed { floor_seq: 3 }));
    assert_eq!(span(&next_slice(&of_one).await), (4, 4));
    assert!(matches!(next_slice(&of_one).await, Slice::Deleted));
    assert_eq!(span(&next_slice(&of_all).await), (1, 4));
    broker.stop();
    assert!(of_all.try_next().is_none());
}

#[tokio::test]
async fn a_subscription_that_is_full_gets_what_it_holds_and_then_hears_that_it_lagged() {
    let broker = Broker::start().expect("a thread is to be had");
    let one = execution("one");
    let (slow, gone) = (broker.subscribe(Topic::Execution(one.id.clone())), broker.subscribe(Topic::All));
    drop(gone);
    let held = SUBSCRIPTION_SLICES_MAX as u64;
    (1..=held + 8)
        .for_each(|seq| broker.hook().committed(&commit(vec![appended(&one, seq, seq, Phase::Pending)])));
    broker.stop();

    for seq in 1..=held {
        assert_eq!(span(&next_slice(&slow).await), (seq, seq));
    }
    assert!(matches!(next(&slow).await, Delivery::Lagged));
    assert!(matches!(next(&slow).await, Delivery::Lagged), "until it subscribes anew");
}

#[tokio::test]
async fn a_subscriber_that_waits_is_woken_by_a_commit_and_by_wake_all() {
    let broker = Broker::start().expect("a thread is to be had");
    let one = execution("one");
    let subscription = broker.subscribe(Topic::Execution(one.id.clone()));
    let waking = broker.clone();
    let mut polls = 0;
    // The second look comes only if the first one's waker is woken.
    let woken = poll_fn(|cx| {
        polls += 1;
        let delivery = subscription.poll_next(cx);
        match polls {
            1 => {
                assert!(delivery.is_pending());
                waking.wake_all();
                std::task::Poll::Pending
            }
            2 => {
                assert!(delivery.is_pending());
                waking.hook().committed(&commit(vec![appended(&one, 1, 1, Phase::Pending)]));
                std::task::Poll::Pending
            }
            _ => delivery.map(|_| ()),
        }
    });
    timeout(Duration::from_secs(10), woken).await.expect("it is woken");
    broker.stop();
}

#[test]
fn an_overrun_of_the_broker_is_told_to_every_subscription() {
    let topics: Arc<Topics> = Arc::default();
    let one = Topics::subscribe(&topics, Topic::Execution(execution("one").id.clone()));
    let all = Topics::subscribe(&topics, Topic::All);
    topics.handle(Message::Overrun);
    topics.handle(Message::Commit(&commit(vec![appended(&execution("one"), 1, 1, Phase::Pending)])));
    for lagged in [&one, &all] {
        assert!(matches!(lagged.try_next(), Some(Delivery::Lagged)), "and what came later is not shown");
    }
    let anew = Topics::subscribe(&topics, Topic::All);
    topics.handle(Message::Commit(&commit(vec![appended(&execution("one"), 2, 2, Phase::Pending)])));
    assert!(matches!(anew.try_next(), Some(Delivery::Slice(_))));
}

#[test]
fn a_broker_that_was_stopped_takes_commits_and_does_nothing() {
    let broker = Broker::start().expect("a thread is to be had");
    broker.stop();
    broker.stop();
    let one = execution("one");
    broker.hook().committed(&commit(vec![appended(&one, 1, 1, Phase::Pending)]));
}

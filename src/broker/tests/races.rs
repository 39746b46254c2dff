//! The races of the broadcast, every schedule of the threads that the model checker tries: a writer, and
//! watchers that read what is committed and then follow.

use std::future::poll_fn;
use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::sync::Mutex;
use shuttle::thread;
use tapeline_storage::{ExecutionRef, Phase};

use super::model::{MODEL_ITEMS_MAX, Model};
use super::{appended, commit, execution};
use crate::broker::slice::Slice;
use crate::broker::topics::{Topic, Topics};
use crate::broker::{Delivery, Subscription};

/// Schedules that are tried for each test.
const SCHEDULES: usize = 3_000;

/// A log that holds its tail only, and the topics that are told of its commits.
struct House {
    run: Arc<ExecutionRef>,
    tail: Mutex<u64>,
    topics: Arc<Topics<Model>>,
}

impl House {
    fn new() -> Arc<Self> {
        let (run, tail) = (execution("run-1"), Mutex::new(0));
        Arc::new(Self { run, tail, topics: Arc::new(Topics::default()) })
    }

    /// Commits an event, and tells of it afterwards, as the writer does.
    fn commit(&self, seq: u64, phase: Phase) {
        *self.tail.lock().expect("no thread panics") = seq;
        self.topics.publish(&commit(vec![appended(&self.run, seq, seq, phase)]));
    }

    fn subscribe(&self) -> Subscription<Model> {
        Topics::subscribe(&self.topics, Topic::Execution(self.run.id.clone()))
    }

    fn tail(&self) -> u64 {
        *self.tail.lock().expect("no thread panics")
    }

    /// Writes a whole log; the last event ends it.
    fn write(&self, last: u64) {
        for seq in 1..=last {
            self.commit(seq, if seq == last { Phase::Completed } else { Phase::InProgress });
        }
    }

    /// Reads and follows to the terminal event, as a watcher does. Returns what it was given and how
    /// often it fell behind.
    fn watch(&self, last: u64) -> (Vec<u64>, usize) {
        let (mut given, mut lags) = (Vec::new(), 0);
        loop {
            let subscription = self.subscribe();
            given.extend(given.len() as u64 + 1..=self.tail());
            while given.len() as u64 != last {
                match block_on(poll_fn(|cx| subscription.poll_next(cx))) {
                    Delivery::Slice(slice) => follow(&mut given, &slice),
                    Delivery::Lagged => {
                        lags += 1;
                        break;
                    }
                }
            }
            if given.len() as u64 == last {
                return (given, lags);
            }
        }
    }
}

fn follow(given: &mut Vec<u64>, slice: &Slice) {
    let Slice::Events(events) = slice else { panic!("only events were published") };
    let next = given.len() as u64 + 1;
    assert!(events.encoded.first() <= next, "a slice was skipped and nobody was told");
    given.extend(next..=events.encoded.last());
}

fn whole(last: u64) -> Vec<u64> {
    (1..=last).collect()
}

#[test]
fn who_subscribes_exactly_at_a_commit_gets_every_event_once() {
    shuttle::check_random(
        || {
            let house = House::new();
            let writing = Arc::clone(&house);
            let writer = thread::spawn(move || writing.write(2));
            assert_eq!(house.watch(2).0, whole(2));
            writer.join().expect("the writer does not panic");
        },
        SCHEDULES,
    );
}

#[test]
fn an_overflow_exactly_at_the_terminal_event_loses_nothing_and_ends() {
    let last = MODEL_ITEMS_MAX as u64 + 1;
    let most_lags = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let seen = Arc::clone(&most_lags);
    shuttle::check_random(
        move || {
            let house = House::new();
            let writing = Arc::clone(&house);
            let writer = thread::spawn(move || writing.write(last));
            let (given, lags) = house.watch(last);
            assert_eq!(given, whole(last));
            seen.fetch_max(lags, std::sync::atomic::Ordering::SeqCst);
            writer.join().expect("the writer does not panic");
        },
        SCHEDULES,
    );
    let most_lags = most_lags.load(std::sync::atomic::Ordering::SeqCst);
    assert!(most_lags > 0, "in some schedule the terminal event is the one that does not fit");
}

#[test]
fn who_unsubscribes_while_something_is_published_disturbs_nobody_and_leaves_nothing() {
    shuttle::check_random(
        || {
            let house = House::new();
            let (writing, leaving) = (Arc::clone(&house), Arc::clone(&house));
            let writer = thread::spawn(move || writing.write(3));
            let leaver = thread::spawn(move || drop(leaving.subscribe()));
            assert_eq!(house.watch(3).0, whole(3));
            writer.join().expect("the writer does not panic");
            leaver.join().expect("who leaves does not panic");
            assert_eq!(house.topics.watched_executions(), 0, "the last one takes the topic with it");
        },
        SCHEDULES,
    );
}

#[test]
fn watchers_of_one_execution_do_not_depend_on_each_other() {
    shuttle::check_random(
        || {
            let house = House::new();
            let (writing, watching) = (Arc::clone(&house), Arc::clone(&house));
            let writer = thread::spawn(move || writing.write(4));
            let other = thread::spawn(move || watching.watch(4).0);
            assert_eq!(house.watch(4).0, whole(4));
            assert_eq!(other.join().expect("the watcher does not panic"), whole(4));
            writer.join().expect("the writer does not panic");
        },
        SCHEDULES,
    );
}

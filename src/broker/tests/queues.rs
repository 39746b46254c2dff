//! What the model checker shows of its own queue holds for the daemon's queue as far as the two behave
//! alike. That is shown here, and no more is claimed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake as StdWake, Waker};

use atomic_waker::AtomicWaker;
use proptest::prelude::*;

use super::model::{ModelQueue, ModelWake};
use crate::broker::queue::{CrossbeamQueue, Queue, Wake, Weigh};

/// An item of this many bytes, and its number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item(usize, usize);

impl Weigh for Item {
    fn weight(&self) -> usize {
        self.0
    }
}

#[derive(Clone, Debug)]
enum Call {
    Send(usize),
    Receive,
    Close,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        20 => prop_oneof![Just(0), 1..40_usize, 90..130_usize].prop_map(Call::Send),
        16 => Just(Call::Receive),
        1 => Just(Call::Close),
    ];
    prop::collection::vec(call, 0..120)
}

/// What each call answered, and how many items were in the queue after it.
fn answers<Q: Queue<Item>>(calls: &[Call], items_max: usize) -> Vec<(String, usize)> {
    let queue = Q::bounded(items_max, 100);
    let answer = |(number, call): (usize, &Call)| {
        let answer = match call {
            Call::Send(bytes) => format!("{:?}", queue.try_send(Item(*bytes, number))),
            Call::Receive => format!("{:?}", queue.try_recv()),
            Call::Close => {
                queue.close();
                String::new()
            }
        };
        (answer, queue.len())
    };
    calls.iter().enumerate().map(answer).collect()
}

proptest! {
    #[test]
    fn the_queue_of_the_daemon_and_that_of_the_model_behave_alike(calls in calls(), items_max in 1..6_usize) {
        let model = shuttled(calls.clone(), items_max);
        prop_assert_eq!(answers::<CrossbeamQueue<Item>>(&calls, items_max), model);
    }
}

/// The model's primitives work inside of the model checker only.
fn shuttled(calls: Vec<Call>, items_max: usize) -> Vec<(String, usize)> {
    let found = Arc::new(std::sync::Mutex::new(Vec::new()));
    let result = Arc::clone(&found);
    let run =
        move || *result.lock().expect("one thread") = answers::<ModelQueue<Item, 100>>(&calls, items_max);
    shuttle::check_random(run, 1);
    let found = found.lock().expect("one thread");
    found.clone()
}

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl StdWake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Wakes of the first and the second waker, after each of: nothing registered, one, the other, none left.
fn wakes<W: Wake>() -> [(usize, usize); 4] {
    let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
    let wake = W::default();
    let look = || (first.0.load(Ordering::SeqCst), second.0.load(Ordering::SeqCst));
    wake.wake();
    let nobody = look();
    wake.register(&Waker::from(Arc::clone(&first)));
    wake.wake();
    let one = look();
    wake.register(&Waker::from(Arc::clone(&first)));
    wake.register(&Waker::from(Arc::clone(&second)));
    wake.wake();
    let other = look();
    wake.wake();
    [nobody, one, other, look()]
}

#[test]
fn the_waker_of_the_daemon_and_that_of_the_model_behave_alike() {
    let expected = [(0, 0), (1, 0), (1, 1), (1, 1)];
    assert_eq!(wakes::<AtomicWaker>(), expected);
    shuttle::check_random(move || assert_eq!(wakes::<ModelWake>(), expected), 1);
}

#[test]
fn what_was_sent_before_the_closing_is_received_before_the_end_is_said() {
    // The receiver looks, finds nothing, and looks whether the queue is closed; in between the sender
    // sends its last item and closes. The item must not be lost.
    for _ in 0..2_000 {
        let queue = Arc::new(CrossbeamQueue::bounded(4, 100));
        let sending = Arc::clone(&queue);
        let sender = std::thread::spawn(move || {
            sending.try_send(Item(1, 1)).expect("there is room");
            sending.close();
        });
        let mut received = 0;
        loop {
            match queue.try_recv() {
                Ok(_) => received += 1,
                Err(crate::broker::queue::Nothing::Yet) => std::thread::yield_now(),
                Err(crate::broker::queue::Nothing::More) => break,
            }
        }
        sender.join().expect("the sender does not panic");
        assert_eq!(received, 1);
    }
}

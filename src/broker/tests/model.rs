//! The seam on a model checker's primitives: every lock is a point where another thread may go on.

use std::collections::VecDeque;
use std::task::Waker;

use shuttle::sync::Mutex;

use crate::broker::queue::{Nothing, Queue, Seam, Wake, Weigh};

/// How many items the queues of [`Model`] take, whatever they are asked to: few, so that short runs
/// overflow them.
pub(super) const MODEL_ITEMS_MAX: usize = 2;

pub(super) struct Model;

impl Seam for Model {
    type Queue<T: Weigh> = ModelQueue<T, MODEL_ITEMS_MAX>;
    type Wake = ModelWake;
}

/// A queue of at most `CLAMP` items.
pub(super) struct ModelQueue<T, const CLAMP: usize> {
    items_max: usize,
    bytes_max: usize,
    state: Mutex<State<T>>,
}

struct State<T> {
    items: VecDeque<T>,
    closed: bool,
}

impl<T: Weigh, const CLAMP: usize> Queue<T> for ModelQueue<T, CLAMP> {
    fn bounded(items_max: usize, bytes_max: usize) -> Self {
        let state = Mutex::new(State { items: VecDeque::new(), closed: false });
        Self { items_max: items_max.min(CLAMP), bytes_max, state }
    }

    fn try_send(&self, item: T) -> Result<(), T> {
        let mut state = self.state.lock().expect("no thread panics");
        let held: usize = state.items.iter().map(Weigh::weight).sum();
        let fits = held == 0 || held + item.weight() <= self.bytes_max;
        if state.closed || !fits || state.items.len() == self.items_max {
            return Err(item);
        }
        state.items.push_back(item);
        Ok(())
    }

    fn try_recv(&self) -> Result<T, Nothing> {
        let mut state = self.state.lock().expect("no thread panics");
        let nothing = if state.closed { Nothing::More } else { Nothing::Yet };
        state.items.pop_front().ok_or(nothing)
    }

    fn len(&self) -> usize {
        self.state.lock().expect("no thread panics").items.len()
    }

    fn close(&self) {
        self.state.lock().expect("no thread panics").closed = true;
    }
}

pub(super) struct ModelWake(Mutex<Option<Waker>>);

impl Default for ModelWake {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl Wake for ModelWake {
    fn register(&self, waker: &Waker) {
        *self.0.lock().expect("no thread panics") = Some(waker.clone());
    }

    fn wake(&self) {
        let waker = self.0.lock().expect("no thread panics").take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

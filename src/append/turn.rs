//! Turns to change an execution. A change that is decided on its state waits for its turn, so that such
//! changes do not make each other decide anew; and one that appends of clients have overtaken holds those
//! back until it is through. What is written is right without all this: each change expects the seq it
//! was decided on. It must never hold an append back for longer than a bound.

use std::sync::Arc;
use std::time::Duration;

use tapeline_storage::{ExecutionId, WriteError};
use tokio::sync::{OwnedMutexGuard, Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use super::{AppendError, Appender};
use crate::limits::{APPEND_HELD_BACK_MAX, TURN_WAITERS_MAX};
use crate::shared::{Place, SharedByExecution};

/// The executions that are being changed. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(SharedByExecution<Meeting>);

/// Where those who change one execution meet.
#[derive(Debug)]
struct Meeting {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Places of those who wait for it, each with a request in memory.
    waiting: Arc<Semaphore>,
    /// Whether appends of clients wait.
    holds_back: watch::Sender<bool>,
}

impl Meeting {
    fn new() -> Self {
        let waiting = Arc::new(Semaphore::new(TURN_WAITERS_MAX));
        Self { turn: Arc::default(), waiting, holds_back: watch::Sender::new(false) }
    }
}

/// The turn to change an execution; the next one has it when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    meeting: Arc<Place<Meeting>>,
    _held: OwnedMutexGuard<()>,
}

impl Appender {
    /// Waits for the turn to change an execution, which need not exist. Fails with `Busy` if it does not come
    /// by the deadline, or too many wait for it.
    pub(crate) async fn turn(&self, execution: &ExecutionId, deadline: Instant) -> Result<Turn, AppendError> {
        Ok(self.turns.take(execution, deadline).await.ok_or(WriteError::Busy)?)
    }
}

impl Turn {
    /// Holds back the appends of clients that are not in the store's queue yet. What is in it goes first,
    /// so the change may have to be decided anew once more, and then nothing overtakes it.
    pub(crate) fn hold_back(&self) {
        self.meeting.holds_back.send_replace(true);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.meeting.holds_back.send_replace(false);
    }
}

impl Turns {
    async fn take(&self, execution: &ExecutionId, deadline: Instant) -> Option<Turn> {
        let meeting = self.0.of(execution, Meeting::new);
        let _waiting = meeting.waiting.clone().try_acquire_owned().ok()?;
        let held = timeout_at(deadline, meeting.turn.clone().lock_owned()).await.ok()?;
        Some(Turn { meeting, _held: held })
    }

    /// Waits while appends to an execution are held back, but not for ever.
    pub(super) async fn pass(&self, execution: &ExecutionId) {
        self.pass_within(APPEND_HELD_BACK_MAX, execution).await;
    }

    async fn pass_within(&self, held_back_max: Duration, execution: &ExecutionId) {
        let Some(meeting) = self.0.present(execution) else { return };
        let mut holds_back = meeting.holds_back.subscribe();
        // Whoever waits here must not be what keeps it.
        drop(meeting);
        // It does not matter why the wait ends: the turn is over, or it took too long.
        let _ = tokio::time::timeout(held_back_max, holds_back.wait_for(|holds| !holds)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn id() -> ExecutionId {
        ExecutionId::parse("one").expect("an id")
    }

    async fn turn(turns: &Turns) -> Turn {
        turns.take(&id(), Instant::now() + Duration::from_secs(60)).await.expect("few wait")
    }

    fn is_ready<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> bool {
        matches!(future.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(_))
    }

    #[tokio::test]
    async fn turns_come_one_after_the_other_and_leave_nothing_behind() {
        let turns = Turns::default();
        let first = turn(&turns).await;
        let mut second = Box::pin(turn(&turns));
        assert!(!is_ready(second.as_mut()), "two have the turn");
        drop(first);
        drop(second.await);
        assert!(turns.0.is_empty());
    }

    #[tokio::test]
    async fn one_that_gives_up_waiting_leaves_nothing_behind() {
        let turns = Turns::default();
        let first = turn(&turns).await;
        {
            let mut second = pin!(turn(&turns));
            assert!(!is_ready(second.as_mut()));
        }
        drop(first);
        assert!(turns.0.is_empty());
    }

    #[tokio::test]
    async fn nobody_waits_for_a_turn_for_ever_and_only_so_many_do() {
        let turns = Turns::default();
        let held = turn(&turns).await;
        let soon = Instant::now() + Duration::from_millis(20);
        assert!(turns.take(&id(), soon).await.is_none());
        let mut waiting: Vec<_> = (0..TURN_WAITERS_MAX).map(|_| Box::pin(turn(&turns))).collect();
        for one in &mut waiting {
            assert!(!is_ready(one.as_mut()));
        }
        let later = Instant::now() + Duration::from_secs(60);
        assert!(is_ready(pin!(turns.take(&id(), later))), "one more waits");
        assert!(waiting.pop().is_some());
        let id = id();
        let mut next = pin!(turns.take(&id, later));
        assert!(!is_ready(next.as_mut()), "one gave up, and there is a place");
        drop(waiting);
        drop(held);
        assert!(next.await.is_some());
    }

    #[tokio::test]
    async fn appends_pass_until_they_are_held_back_and_again_when_the_turn_is_over() {
        let turns = Turns::default();
        assert!(is_ready(pin!(turns.pass(&id()))), "nobody has a turn");
        let held = turn(&turns).await;
        assert!(is_ready(pin!(turns.pass(&id()))), "a turn alone holds nothing back");
        held.hold_back();
        let id = id();
        let mut waiting = pin!(turns.pass(&id));
        assert!(!is_ready(waiting.as_mut()), "nothing is held back");
        drop(held);
        waiting.await;
        let _next = turn(&turns).await;
        assert!(is_ready(pin!(turns.pass(&id))), "the next turn holds back what it did not ask for");
    }

    #[tokio::test]
    async fn an_append_is_not_held_back_for_ever() {
        let turns = Turns::default();
        let held = turn(&turns).await;
        held.hold_back();
        turns.pass_within(Duration::from_millis(20), &id()).await;
        assert!(*held.meeting.holds_back.borrow(), "it was not held back at all");
    }
}

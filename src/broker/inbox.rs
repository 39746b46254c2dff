//! The way from the writer's hook to the broker's thread. The hook must never wait: a commit that finds
//! no room leaves an overrun mark, and the thread then marks every subscription as lagged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use tapeline_storage::{Commit, CommitHook, SliceChange};

use crate::limits::{BROKER_BYTES_MAX, BROKER_COMMITS_MAX};

/// What the thread is told, in order.
#[derive(Debug)]
pub(super) enum Message<'a> {
    /// A commit is to be handed out.
    Commit(&'a Commit),
    /// Commits after the last one are missing.
    Overrun,
}

enum Item {
    Commit { commit: Arc<Commit>, bytes: usize },
    Stop,
}

/// The hook's end.
pub(super) struct Inbox {
    sender: Sender<Item>,
    marks: Arc<Marks>,
}

/// The thread's end.
pub(super) struct Outlet {
    receiver: Receiver<Item>,
    marks: Arc<Marks>,
}

#[derive(Default)]
struct Marks {
    overrun: AtomicBool,
    /// Payload bytes that wait.
    bytes: AtomicUsize,
}

pub(super) fn new() -> (Inbox, Outlet) {
    let (sender, receiver) = bounded(BROKER_COMMITS_MAX);
    let marks = Arc::new(Marks::default());
    (Inbox { sender, marks: Arc::clone(&marks) }, Outlet { receiver, marks })
}

impl Inbox {
    /// Makes [`Outlet::run`] return after the commits that were put in before.
    pub(super) fn stop(&self) {
        // The thread takes whatever is in the queue, so there will be room. If it is gone, it has stopped.
        let _ = self.sender.send(Item::Stop);
    }

    fn try_put(&self, commit: &Arc<Commit>, bytes: usize) -> bool {
        let held = self.marks.bytes.load(Ordering::SeqCst);
        if held != 0 && held.saturating_add(bytes) > BROKER_BYTES_MAX {
            return false;
        }
        self.marks.bytes.fetch_add(bytes, Ordering::SeqCst);
        let put = self.sender.try_send(Item::Commit { commit: Arc::clone(commit), bytes }).is_ok();
        if !put {
            self.marks.bytes.fetch_sub(bytes, Ordering::SeqCst);
        }
        put
    }
}

impl CommitHook for Inbox {
    fn committed(&self, commit: &Arc<Commit>) {
        let bytes = payload_bytes(commit);
        if self.try_put(commit, bytes) {
            return;
        }
        self.marks.overrun.store(true, Ordering::SeqCst);
        // The thread may have emptied the queue before the mark was there, and would then sleep on it.
        // If there is room now, this wakes it; if there is none, it has a commit to wake up for.
        self.try_put(commit, bytes);
    }
}

impl Outlet {
    /// Passes on what comes, until the inbox stops or is gone.
    pub(super) fn run(self, mut handle: impl FnMut(Message<'_>)) {
        while let Ok(Item::Commit { commit, bytes }) = self.receiver.recv() {
            self.marks.bytes.fetch_sub(bytes, Ordering::SeqCst);
            // Looked at after the commit was received: a mark belongs before the commits that came later.
            if self.marks.overrun.swap(false, Ordering::SeqCst) {
                handle(Message::Overrun);
            }
            handle(Message::Commit(&commit));
        }
    }
}

fn payload_bytes(commit: &Commit) -> usize {
    let events = commit.slices.iter().filter_map(|slice| match &slice.change {
        SliceChange::Events { events, .. } => Some(events),
        SliceChange::Trimmed { .. } | SliceChange::Deleted => None,
    });
    events.flat_map(|events| events.iter()).map(|event| event.payload.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(tail_position: u64) -> Arc<Commit> {
        Arc::new(Commit { slices: Vec::new(), tail_position })
    }

    fn received(outlet: Outlet) -> Vec<Option<u64>> {
        let mut received = Vec::new();
        outlet.run(|message| {
            received.push(match message {
                Message::Commit(commit) => Some(commit.tail_position),
                Message::Overrun => None,
            });
        });
        received
    }

    #[test]
    fn commits_are_handed_on_in_order() {
        let (inbox, outlet) = new();
        (1..=10).for_each(|position| inbox.committed(&commit(position)));
        drop(inbox);
        assert_eq!(received(outlet), (1..=10).map(Some).collect::<Vec<_>>());
    }

    #[test]
    fn a_commit_that_finds_no_room_never_waits_and_is_announced_before_anything_later() {
        let (inbox, outlet) = new();
        let full = BROKER_COMMITS_MAX as u64;
        (1..=full + 5).for_each(|position| inbox.committed(&commit(position)));
        drop(inbox);
        let received = received(outlet);
        assert_eq!(received[0], None, "the mark comes with the first commit that is taken");
        assert_eq!(received[1..], (1..=full).map(Some).collect::<Vec<_>>());
    }

    #[test]
    fn an_overrun_that_the_thread_slept_through_wakes_it() {
        // The thread emptied the queue between the refusal and the mark: the second try finds room.
        let (inbox, outlet) = new();
        inbox.marks.overrun.store(true, Ordering::SeqCst);
        assert!(inbox.try_put(&commit(1), 0));
        drop(inbox);
        assert_eq!(received(outlet), [None, Some(1)]);
    }
}

//! Who wants what, and the handing out. A topic exists for as long as somebody subscribes to it, whether
//! the execution exists or not. Nothing is encoded that nobody wants.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tapeline_storage::{Commit, CommitSlice, ExecutionId, Phase, Seq, SliceChange};

use super::inbox::Message;
use super::mailbox::{Mailbox, Subscription};
use super::queue::{Crossbeam, Seam};
use super::slice::{Slice, SliceEvents};
use crate::execution::frame::{Axis, EventsEncoder};

/// What one can subscribe to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topic {
    /// One execution, which need not exist yet.
    Execution(ExecutionId),
    /// All executions, in commit order.
    All,
}

/// The subscriptions of one topic. Shared with the thread while it hands out, so that nobody who
/// subscribes waits for it; changed in place when it does not.
type Mailboxes<S> = Arc<Vec<Arc<Mailbox<S>>>>;

/// All topics.
pub(super) struct Topics<S: Seam = Crossbeam> {
    /// Guards who subscribes to what. Held for look-ups and changes of lists only, never while something
    /// is encoded or handed out; no other lock is taken under it.
    lists: Mutex<Lists<S>>,
}

struct Lists<S: Seam> {
    executions: HashMap<ExecutionId, Watched<S>>,
    all: Mailboxes<S>,
}

struct Watched<S: Seam> {
    mailboxes: Mailboxes<S>,
    tail_seq: Seq,
}

/// What one commit means to the subscriptions of one execution.
struct Group<'a, S: Seam> {
    mailboxes: Mailboxes<S>,
    slices: Vec<&'a CommitSlice>,
}

impl<S: Seam> Default for Topics<S> {
    fn default() -> Self {
        Self { lists: Mutex::new(Lists { executions: HashMap::new(), all: Arc::default() }) }
    }
}

impl<S: Seam> Topics<S> {
    /// Registers a new subscription.
    pub(super) fn subscribe(topics: &Arc<Self>, topic: Topic) -> Subscription<S> {
        let mailbox = Arc::new(Mailbox::default());
        Arc::make_mut(topics.lists().of(&topic)).push(Arc::clone(&mailbox));
        Subscription::new(mailbox, topic, Arc::clone(topics))
    }

    /// Removes a subscription; the last one of an execution takes its topic with it.
    pub(super) fn unsubscribe(&self, topic: &Topic, mailbox: &Arc<Mailbox<S>>) {
        let mut lists = self.lists();
        let mailboxes = Arc::make_mut(lists.of(topic));
        if let Some(index) = mailboxes.iter().position(|known| Arc::ptr_eq(known, mailbox)) {
            mailboxes.swap_remove(index);
        }
        if let (true, Topic::Execution(id)) = (mailboxes.is_empty(), topic) {
            lists.executions.remove(id);
        }
    }

    /// The last seq of a watched execution that was published; 0 if none was.
    pub(super) fn tail_seq(&self, execution: &ExecutionId) -> Seq {
        self.lists().executions.get(execution).map_or(0, |watched| watched.tail_seq)
    }

    /// Wakes every subscriber.
    pub(super) fn wake_all(&self) {
        self.everybody().iter().for_each(|mailbox| mailbox.wake());
    }

    /// Does what the broker's thread was told.
    pub(super) fn handle(&self, message: Message<'_>) {
        match message {
            Message::Commit(commit) => self.publish(commit),
            Message::Overrun => {
                tracing::warn!(
                    "commits came faster than they could be handed out; every watcher reads from disk"
                );
                self.everybody().iter().for_each(|mailbox| mailbox.lag());
            }
        }
    }

    /// Hands a commit to all it concerns.
    pub(super) fn publish(&self, commit: &Commit) {
        let (groups, all) = self.lists().concerned(commit);
        for group in groups {
            for slice in encode_group(&group.slices) {
                group.mailboxes.iter().for_each(|mailbox| mailbox.offer(slice.clone()));
            }
        }
        if let Some(slice) = (!all.is_empty()).then(|| encode_all(commit)).flatten() {
            all.iter().for_each(|mailbox| mailbox.offer(slice.clone()));
        }
    }

    fn everybody(&self) -> Vec<Arc<Mailbox<S>>> {
        let lists = self.lists();
        let executions = lists.executions.values().flat_map(|watched| watched.mailboxes.iter());
        executions.chain(lists.all.iter()).cloned().collect()
    }

    fn lists(&self) -> MutexGuard<'_, Lists<S>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Topics that somebody subscribes to; the one for all does not count.
    #[cfg(test)]
    pub(super) fn watched_executions(&self) -> usize {
        self.lists().executions.len()
    }
}

impl<S: Seam> Lists<S> {
    fn of(&mut self, topic: &Topic) -> &mut Mailboxes<S> {
        match topic {
            Topic::All => &mut self.all,
            Topic::Execution(id) => {
                let unwatched = || Watched { mailboxes: Arc::default(), tail_seq: 0 };
                &mut self.executions.entry(id.clone()).or_insert_with(unwatched).mailboxes
            }
        }
    }

    /// The slices of watched executions, grouped, and those who want everything.
    fn concerned<'a>(&mut self, commit: &'a Commit) -> (Vec<Group<'a, S>>, Mailboxes<S>) {
        let mut groups: Vec<Group<'a, S>> = Vec::new();
        let mut places: HashMap<&ExecutionId, usize> = HashMap::new();
        let slices: &[CommitSlice] = if self.executions.is_empty() { &[] } else { &commit.slices };
        for slice in slices {
            let id = &slice.execution.id;
            let Some(watched) = self.executions.get_mut(id) else { continue };
            if let SliceChange::Events { events, .. } = &slice.change {
                watched.tail_seq = events.last().map_or(watched.tail_seq, |event| event.seq);
            }
            let place = *places.entry(id).or_insert_with(|| {
                groups.push(Group { mailboxes: Arc::clone(&watched.mailboxes), slices: Vec::new() });
                groups.len() - 1
            });
            groups[place].slices.push(slice);
        }
        (groups, Arc::clone(&self.all))
    }
}

/// Slices of one execution, appends that follow each other joined.
fn encode_group(slices: &[&CommitSlice]) -> Vec<Slice> {
    let mut encoded = Vec::new();
    let mut appends: Option<Appends> = None;
    for slice in slices {
        let other = match &slice.change {
            SliceChange::Events { .. } => {
                appends.get_or_insert_with(|| Appends::new(Axis::Seq)).push(slice);
                continue;
            }
            SliceChange::Trimmed { floor_seq } => Slice::Trimmed { floor_seq: *floor_seq },
            SliceChange::Deleted => Slice::Deleted,
        };
        encoded.extend(appends.take().and_then(Appends::finish));
        encoded.push(other);
    }
    encoded.extend(appends.and_then(Appends::finish));
    encoded
}

/// All events of a commit as one slice; `None` if it has none.
fn encode_all(commit: &Commit) -> Option<Slice> {
    let mut appends = Appends::new(Axis::Position);
    commit.slices.iter().for_each(|slice| appends.push(slice));
    appends.finish()
}

/// Appends that become one slice.
struct Appends {
    encoder: EventsEncoder,
    phase: Phase,
    error: Arc<str>,
    record_time_ns: u64,
}

impl Appends {
    fn new(axis: Axis) -> Self {
        let encoder = EventsEncoder::new(axis);
        Self { encoder, phase: Phase::Pending, error: Arc::from(""), record_time_ns: 0 }
    }

    fn push(&mut self, slice: &CommitSlice) {
        if let SliceChange::Events { events, phase, error } = &slice.change {
            self.encoder.push(&slice.execution, events);
            self.phase = *phase;
            self.error = Arc::clone(error);
            self.record_time_ns = events.last().map_or(self.record_time_ns, |event| event.record_time_ns);
        }
    }

    fn finish(self) -> Option<Slice> {
        let encoded = self.encoder.finish()?;
        let Self { phase, error, record_time_ns, .. } = self;
        Some(Slice::Events(Arc::new(SliceEvents { encoded, phase, error, record_time_ns })))
    }
}

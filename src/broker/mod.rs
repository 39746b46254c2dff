//! The broadcast: hands each durable commit to the subscriptions it concerns.
//!
//! The writer's hook puts the commit into the queue of the broker's thread, and nothing else; the thread
//! encodes what somebody wants, once, and puts it into each subscription's own queue. A full queue marks
//! its subscriptions as lagged, and their watchers read from the store. It must never wait for a
//! subscription, never keep the writer waiting, and never lose anything silently.

mod slice;
mod queue;
mod mailbox;
mod topics;
mod inbox;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tapeline_storage::{CommitHook, ExecutionId, Seq};

pub use mailbox::{Delivery, Subscription};
pub use slice::{Slice, SliceEvents};
pub use topics::Topic;

use inbox::Inbox;
use topics::Topics;

/// A handle on the broker. Cheap to clone.
#[derive(Clone)]
pub struct Broker(Arc<Shared>);

struct Shared {
    topics: Arc<Topics>,
    inbox: Arc<Inbox>,
    /// The thread, until somebody stops it. Taken, never held while another lock is.
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Broker {
    /// Starts the broker's thread. Fails if the system gives none.
    pub fn start() -> io::Result<Self> {
        let topics = Arc::new(Topics::default());
        let (inbox, outlet) = inbox::new();
        let publishing = Arc::clone(&topics);
        let thread = std::thread::Builder::new()
            .name("broker".to_owned())
            .spawn(move || outlet.run(|message| publishing.handle(message)))?;
        let thread = Mutex::new(Some(thread));
        Ok(Self(Arc::new(Shared { topics, inbox: Arc::new(inbox), thread })))
    }

    /// The hook to open the store with.
    pub fn hook(&self) -> Arc<dyn CommitHook> {
        Arc::clone(&self.0.inbox) as Arc<dyn CommitHook>
    }

    /// Subscribes to what is committed from now on. A commit that a read of the store made after this
    /// call does not see, arrives.
    pub fn subscribe(&self, topic: Topic) -> Subscription {
        Topics::subscribe(&self.0.topics, topic)
    }

    /// The last seq of a watched execution that passed here; 0 if none did since it is watched.
    pub fn tail_seq(&self, execution: &ExecutionId) -> Seq {
        self.0.topics.tail_seq(execution)
    }

    /// Makes every subscriber look up from its waiting, though nothing was published.
    pub fn wake_all(&self) {
        self.0.topics.wake_all();
    }

    /// Ends the thread, after it has handed out the commits it was given. Later commits go nowhere.
    pub fn stop(&self) {
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            self.0.inbox.stop();
            if thread.join().is_err() {
                tracing::error!("the broker's thread had panicked");
            }
        }
    }
}

impl CommitHook for Broker {
    fn committed(&self, commit: &Arc<tapeline_storage::Commit>) {
        self.0.inbox.committed(commit);
    }
}

#[cfg(test)]
mod tests;

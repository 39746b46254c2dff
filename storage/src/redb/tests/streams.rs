//! Appends of one stream that are in the queue together, while it is open whether one of them failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::support::{Fixture, produced, request, wait_until};
use crate::{AppendOrder, AppendRequest, AppendTicket, Commit, CommitHook, EventStore, WriteError};

/// Holds the writer at the end of a commit, when it is visible and not answered, until it may go on.
#[derive(Debug)]
struct Gate {
    arrived: AtomicUsize,
    passes: Receiver<()>,
}

impl CommitHook for Gate {
    fn committed(&self, _: &Arc<Commit>) {
        self.arrived.fetch_add(1, Ordering::Relaxed);
        // When the sender is gone, everyone may pass.
        let _ = self.passes.recv();
    }
}

/// A store whose writer is held behind a commit, with the execution `a`; dropping the sender lets it go.
async fn held_back() -> (Fixture, Sender<()>) {
    let (pass, passes) = unbounded();
    let gate = Arc::new(Gate { arrived: AtomicUsize::new(0), passes });
    let fixture = Fixture::with(|mut options| {
        options.hook = gate.clone();
        options
    });
    pass.send(()).expect("the gate is there");
    fixture.create("a").await;
    submit(&fixture, request("a", &["holds"])).await;
    wait_until("the writer is held", || gate.arrived.load(Ordering::Relaxed) == 2);
    (fixture, pass)
}

async fn submit(fixture: &Fixture, request: AppendRequest) -> AppendTicket {
    fixture.store.submit(request).await.expect("there is room in the queue")
}

/// What becomes of an append that is older than what its producer wrote, with this payload, of an append
/// to be written behind it in its stream, and of one more; all in one queue.
async fn an_older_one_and_two_behind_it(
    fixture: &Fixture,
    release: Sender<()>,
    payload: &str,
) -> [Result<bool, WriteError>; 3] {
    for seq in 0..2 {
        submit(fixture, produced("a", ("p", 1, seq), &[&format!("p{seq}")])).await;
    }
    let order = AppendOrder::default();
    let of_stream = |request| AppendRequest { stream: Some(order.next()), ..request };
    let older = submit(fixture, of_stream(produced("a", ("p", 1, 0), &[payload]))).await;
    let behind = submit(fixture, of_stream(request("a", &["behind"]))).await;
    let last = submit(fixture, of_stream(request("a", &["last"]))).await;
    drop(release);
    // The later ones first: the writer has decided on them before anybody looked the older one up.
    let last = last.await.map(|outcome| outcome.duplicate);
    let behind = behind.await.map(|outcome| outcome.duplicate);
    [older.await.map(|outcome| outcome.duplicate), behind, last]
}

#[tokio::test]
async fn nothing_behind_an_older_append_is_written_before_it_is_known_not_to_conflict() {
    let (fixture, release) = held_back().await;
    let [older, behind, last] = an_older_one_and_two_behind_it(&fixture, release, "something else").await;
    assert!(matches!(older, Err(WriteError::ProducerConflict { expected_seq: 2, .. })), "{older:?}");
    assert_eq!((behind, last), (Err(WriteError::Busy), Err(WriteError::StreamFailed)));
    assert_eq!(fixture.payloads("a").await, ["created", "holds", "p0", "p1"]);
}

#[tokio::test]
async fn behind_an_older_append_that_was_a_duplicate_a_retry_is_written() {
    let (fixture, release) = held_back().await;
    let [older, behind, last] = an_older_one_and_two_behind_it(&fixture, release, "p0").await;
    assert_eq!((older, behind), (Ok(true), Err(WriteError::Busy)));
    assert_eq!(last, Err(WriteError::StreamFailed));
    let order = AppendOrder::default();
    for request in [produced("a", ("p", 1, 0), &["p0"]), request("a", &["behind"])] {
        let request = AppendRequest { stream: Some(order.next()), ..request };
        fixture.try_append(request).await.expect("the older one is looked up before the next is queued");
    }
    assert_eq!(fixture.payloads("a").await, ["created", "holds", "p0", "p1", "behind"]);
}

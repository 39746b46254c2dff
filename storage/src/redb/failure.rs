//! Fail-stop: the first error of the disk ends the store for good. Afterwards nothing touches the two
//! files any more, not even to close them, because what a failed sync left in the page cache may not
//! be what is on the disk. The process is to end; the next start begins from the disk.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use tokio::sync::watch;

/// Whether the store has failed, and why. Never goes back.
#[derive(Debug)]
pub(super) struct Failure {
    failed: AtomicBool,
    why: watch::Sender<Option<String>>,
}

impl Failure {
    pub(super) fn new() -> Self {
        Self { failed: AtomicBool::new(false), why: watch::Sender::new(None) }
    }

    /// Fails the store. Returns whether this was the first failure; only the first one is told.
    pub(super) fn fail(&self, why: &str) -> bool {
        if self.failed.swap(true, Ordering::SeqCst) {
            return false;
        }
        tracing::error!(why, "the store has failed; the process must end");
        self.why.send_replace(Some(why.to_owned()));
        true
    }

    pub(super) fn is_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Resolves when the store has failed; never otherwise.
    pub(super) fn failed(&self) -> BoxFuture<'static, String> {
        let mut why = self.why.subscribe();
        Box::pin(async move {
            let text = match why.wait_for(Option::is_some).await {
                Ok(text) => text.clone(),
                // The store is gone and did not fail.
                Err(_) => None,
            };
            match text {
                Some(text) => text,
                None => std::future::pending().await,
            }
        })
    }
}

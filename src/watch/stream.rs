//! The watch as a stream. It is pulled: nothing happens unless somebody polls.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream;

use super::error::WatchError;
use super::watcher::Watcher;

/// The frames of one watch, each an encoded `WatchResponse`. It ends after an `End` frame, or after an
/// error. Dropping it ends the watch.
pub struct WatchStream(Pin<Box<dyn Stream<Item = Result<Bytes, WatchError>> + Send>>);

impl WatchStream {
    pub(super) fn new(watcher: Box<Watcher>) -> Self {
        let frames = stream::unfold(watcher, |mut watcher| async move {
            let frame = watcher.next().await?;
            Some((frame, watcher))
        });
        Self(Box::pin(frames))
    }
}

impl Stream for WatchStream {
    type Item = Result<Bytes, WatchError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

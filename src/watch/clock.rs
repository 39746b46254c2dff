//! The time of day, for what people read, and the timer of a watch's heartbeats. A heartbeat is due when
//! nothing was sent for the interval; sending something must cost no more than reading a clock.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tapeline_storage::{Clock, SystemClock};
use tokio::time::{Instant, Sleep};

/// Nanoseconds since 1970-01-01 UTC.
pub(super) fn now_ns() -> u64 {
    SystemClock.now_ns()
}

/// Tells when a watch has been silent for too long.
#[derive(Debug)]
pub(super) struct Silence {
    interval: Duration,
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Silence {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, since: Instant::now(), timer: Box::pin(tokio::time::sleep(interval)) }
    }

    /// Something was sent.
    pub(super) fn broken(&mut self) {
        self.since = Instant::now();
    }

    /// Whether the interval has passed.
    pub(super) fn too_long(&self) -> bool {
        self.since.elapsed() >= self.interval
    }

    /// Ready when the interval has passed, without a wake-up for each frame in between.
    pub(super) fn poll_too_long(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.too_long() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.since + self.interval);
        }
        Poll::Pending
    }
}

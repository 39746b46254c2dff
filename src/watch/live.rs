//! Live: what was just committed, from the subscription, until it overflows.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use tapeline_storage::ReadError;

use super::error::WatchError;
use super::watcher::{Log, State, Watcher};
use crate::broker::{Delivery, Slice, SliceEvents};
use crate::execution::frame;
use crate::proto::v1::end::Reason;

/// Why a watcher that waited looks up.
pub(super) enum Heard {
    Delivery(Delivery),
    Silence,
    Ending,
}

impl Watcher {
    /// Waits for the next slice.
    pub(super) async fn follow(&mut self) -> Result<(), WatchError> {
        match self.listen().await {
            Heard::Delivery(Delivery::Slice(slice)) => self.take(slice).await,
            Heard::Delivery(Delivery::Lagged) => self.fall_behind().await,
            Heard::Silence => {
                self.beat();
                Ok(())
            }
            Heard::Ending => Ok(()),
        }
    }

    /// Waits for the subscription, for the silence to be too long, or for all watches to end.
    pub(super) async fn listen(&mut self) -> Heard {
        let Self { shared, subscription, silence, .. } = self;
        let Some(subscription) = subscription else { return Heard::Delivery(Delivery::Lagged) };
        poll_fn(|cx| {
            let delivery = subscription.poll_next(cx);
            if delivery.is_ready() {
                return delivery.map(Heard::Delivery);
            }
            // Looked at when the waker is in its place: whoever ends all watches wakes them afterwards.
            if shared.registry.ending().is_some() {
                return Poll::Ready(Heard::Ending);
            }
            silence.poll_too_long(cx).map(|()| Heard::Silence)
        })
        .await
    }

    /// Puts what is new and wanted of a slice into the outbox.
    pub(super) async fn take(&mut self, slice: Slice) -> Result<(), WatchError> {
        match slice {
            Slice::Events(events) if events.encoded.last() <= self.cursor => Ok(()),
            // Nothing skips a slice; if something did, the store has what is missing.
            Slice::Events(events) if events.encoded.first() > self.cursor + 1 => self.fall_behind().await,
            Slice::Events(events) => {
                self.take_events(&events);
                Ok(())
            }
            // What was removed was in this subscription before, or is missed when it is read.
            Slice::Trimmed { .. } => Ok(()),
            Slice::Deleted => {
                self.end(Reason::Deleted);
                Ok(())
            }
        }
    }

    fn take_events(&mut self, events: &SliceEvents) {
        let encoded = &events.encoded;
        if self.wants_all() && encoded.first() == self.cursor + 1 {
            self.put_events(encoded.frames().iter().cloned());
        } else {
            let selected = encoded.select(self.cursor, |execution, type_tag, custom_type| {
                self.wants(execution, type_tag, custom_type)
            });
            self.put_events(selected);
        }
        self.moved_to(encoded.last(), encoded.last(), events.record_time_ns);
        match &mut self.log {
            Log::All(all) => all.accounted = encoded.last(),
            Log::One(one) => {
                one.phase = Some(events.phase);
                one.error = Arc::clone(&events.error);
                if events.phase.is_terminal() {
                    self.end(Reason::Terminal);
                }
            }
        }
    }

    /// Says that live delivery stopped, and goes back to the store.
    async fn fall_behind(&mut self) -> Result<(), WatchError> {
        self.subscription = None;
        self.enter(State::FellBehind);
        let tail = match &self.log {
            Log::All(_) => self.shared.store.tail_position(),
            Log::One(one) => match self.shared.store.head(&one.id).await {
                Ok(head) => head.tail_seq,
                Err(ReadError::NotFound { .. }) => {
                    self.end(Reason::Deleted);
                    return Ok(());
                }
                Err(error) => return Err(WatchError::reading(error, self.cursor)),
            },
        };
        self.saw_tail(tail);
        self.put(frame::fell_behind(self.cursor, self.tail));
        Ok(())
    }
}

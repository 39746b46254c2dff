//! The replay: one page of the store at a time, until the tail is reached with a subscription in hand.

use tapeline_storage::{AllPage, Page, PageSize, ReadError};

use super::cursor::OnTrimmed;
use super::error::WatchError;
use super::watcher::{Log, State, Watcher};
use crate::broker::{Delivery, Slice};
use crate::execution::frame::{self, FrameWriter};
use crate::limits::{REPLAY_FAR_EVENTS, REPLAY_PAGE_BYTES, REPLAY_PAGE_EVENTS};
use crate::proto::v1::end::Reason;

const PAGE: PageSize = PageSize { events_max: REPLAY_PAGE_EVENTS, bytes_max: REPLAY_PAGE_BYTES };

impl Watcher {
    /// Reads one page and puts what is wanted of it into the outbox.
    pub(super) async fn replay(&mut self) -> Result<(), WatchError> {
        match &self.log {
            Log::One(_) => self.replay_one().await,
            Log::All(_) => self.replay_all().await,
        }
    }

    async fn replay_one(&mut self) -> Result<(), WatchError> {
        let Log::One(one) = &self.log else { return Ok(()) };
        let page = self.shared.store.read(&one.id, self.cursor, PAGE).await;
        match page {
            Ok(page) => self.take_page(page).await,
            Err(ReadError::Trimmed { floor_seq, .. }) if one.on_trimmed == OnTrimmed::Gap => {
                self.put(frame::gap(self.cursor + 1, floor_seq - 1));
                self.moved_to(floor_seq - 1, 0, 0);
                Ok(())
            }
            // It was there when the watch was opened.
            Err(ReadError::NotFound { .. }) => {
                self.end(Reason::Deleted);
                Ok(())
            }
            Err(error) => Err(WatchError::reading(error, self.cursor)),
        }
    }

    async fn take_page(&mut self, page: Page) -> Result<(), WatchError> {
        let Log::One(one) = &mut self.log else { return Ok(()) };
        let head = &page.head;
        one.phase = Some(head.phase);
        one.error = std::sync::Arc::clone(&head.error);
        let stop_at = one.stop_at;
        let mut writer = FrameWriter::default();
        let mut cursor = self.cursor;
        for event in page.events.iter().take_while(|event| stop_at.is_none_or(|stop| event.seq <= stop)) {
            if self.wants(&head.execution, event.type_tag, event.custom_type.as_deref()) {
                writer.push(event, None);
            }
            cursor = event.seq;
        }
        self.put_events(writer.finish());
        self.moved_to(cursor, head.tail_seq, head.update_time_ns);

        let complete = head.phase.is_terminal() && cursor >= head.tail_seq;
        if complete {
            self.put(frame::caught_up(cursor));
            self.end(Reason::Terminal);
        } else if stop_at.is_some_and(|stop| cursor >= stop) {
            self.put(frame::caught_up(cursor));
            self.end(Reason::Tail);
        } else {
            self.continue_from(cursor, head.tail_seq).await?;
        }
        Ok(())
    }

    async fn replay_all(&mut self) -> Result<(), WatchError> {
        let page = self.shared.store.read_all(self.cursor, PAGE).await;
        let page = page.map_err(|error| WatchError::reading(error, self.cursor))?;
        self.take_all_page(&page);
        if page.through >= page.tail_position {
            // A hole at the tail is announced now: whoever resumes at the tail would not hear of it.
            self.announce_hole(page.through + 1);
        }
        self.continue_from(page.through, page.tail_position).await
    }

    fn take_all_page(&mut self, page: &AllPage) {
        let mut writer = FrameWriter::default();
        for (execution, event) in &page.events {
            if self.hole_before(event.position) {
                self.put_events(std::mem::take(&mut writer).finish());
                self.announce_hole(event.position);
            }
            if let Log::All(all) = &mut self.log {
                all.accounted = event.position;
            }
            if self.wants(execution, event.type_tag, event.custom_type.as_deref()) {
                writer.push(event, Some(&execution.id));
            }
        }
        self.put_events(writer.finish());
        let recorded_ns = page.events.last().map_or(0, |(_, event)| event.record_time_ns);
        self.moved_to(page.through, page.tail_position, recorded_ns);
    }

    fn hole_before(&self, position: u64) -> bool {
        matches!(&self.log, Log::All(all) if all.accounted + 1 < position)
    }

    /// Says which positions before this one are missing, if any.
    fn announce_hole(&mut self, position: u64) {
        if !self.hole_before(position) {
            return;
        }
        if let Log::All(all) = &mut self.log {
            let from = all.accounted + 1;
            all.accounted = position - 1;
            self.put(frame::gap(from, position - 1));
        }
    }

    /// After a page that was read up to `cursor` when the tail was at `tail`.
    async fn continue_from(&mut self, cursor: u64, tail: u64) -> Result<(), WatchError> {
        if cursor < tail {
            if tail - cursor > REPLAY_FAR_EVENTS {
                self.subscription = None;
            }
            return Ok(());
        }
        if self.subscription.is_none() {
            // What was committed since this page was read is in the next one.
            self.subscribe();
            return Ok(());
        }
        self.go_live().await
    }

    /// From the page that reached the tail to the subscription that was made before it was read.
    async fn go_live(&mut self) -> Result<(), WatchError> {
        loop {
            match self.subscription.as_ref().and_then(|subscription| subscription.try_next()) {
                // It overflowed while the pages were read; nobody has been live yet.
                Some(Delivery::Lagged) => {
                    self.subscribe();
                    return Ok(());
                }
                Some(Delivery::Slice(slice)) if self.has_read(&slice) => {}
                newer => {
                    self.put(frame::caught_up(self.cursor));
                    self.enter(State::Live);
                    return match newer {
                        Some(Delivery::Slice(slice)) => self.take(slice).await,
                        _ => Ok(()),
                    };
                }
            }
        }
    }

    fn has_read(&self, slice: &Slice) -> bool {
        match slice {
            Slice::Events(events) => events.encoded.last() <= self.cursor,
            Slice::Trimmed { .. } => true,
            Slice::Deleted => false,
        }
    }
}

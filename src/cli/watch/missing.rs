//! What a watch would have shown and is no longer kept, said once: the stream itself says it only to those
//! who start after an event they name.

use crate::proto::v1::watch_request::Start;

/// What is to be said of the beginning of a trimmed log.
#[derive(Debug)]
pub(super) struct Missing {
    start: Option<Start>,
    /// The first event that is kept, once the log is known.
    floor_seq: Option<u64>,
    /// The last event of which it was said that it is missing; 0 if nothing was.
    told_to: u64,
}

impl Missing {
    /// Of a watch that starts there.
    pub(super) fn of(start: Option<Start>) -> Self {
        Self { start, floor_seq: None, told_to: 0 }
    }

    /// What to say when the log is greeted: of a watch that goes on after a lost connection, nothing.
    pub(super) fn at_greeting(&mut self, floor_seq: u64, tail_seq: u64) -> Option<String> {
        // An execution that does not exist yet has no floor.
        if floor_seq == 0 || self.floor_seq.replace(floor_seq).is_some() {
            return None;
        }
        let wanted = match self.start {
            None => 1,
            Some(Start::AfterSeq(seq)) => seq.saturating_add(1),
            Some(Start::Tail(events)) => tail_seq.saturating_sub(events.into()).saturating_add(1),
            Some(Start::Live(_) | Start::Since(_)) => return None,
        };
        self.tell(wanted, "")
    }

    /// What to say when the first event comes: whether those of a time are missing can be known only by it.
    pub(super) fn at_event(&mut self, seq: u64) -> Option<String> {
        let since = matches!(self.start.take()?, Start::Since(_));
        if since && self.floor_seq == Some(seq) {
            self.tell(1, "; some of them may belong here")
        } else {
            None
        }
    }

    /// Whether it was said that the events up to this one are missing.
    pub(super) fn is_told(&self, seq: u64) -> bool {
        seq <= self.told_to
    }

    fn tell(&mut self, from: u64, more: &str) -> Option<String> {
        let to = self.floor_seq?.saturating_sub(1);
        if from > to {
            return None;
        }
        self.told_to = to;
        Some(match from {
            _ if from == to => format!("event {to} is no longer kept{more}"),
            _ => format!("events {from} to {to} are no longer kept{more}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SINCE: Start = Start::Since(prost_types::Timestamp { seconds: 0, nanos: 0 });

    fn told(start: Option<Start>) -> Option<String> {
        Missing::of(start).at_greeting(5, 9)
    }

    #[test]
    fn what_is_missing_is_what_would_have_been_shown() {
        assert_eq!(told(None).as_deref(), Some("events 1 to 4 are no longer kept"));
        assert_eq!(told(Some(Start::AfterSeq(2))).as_deref(), Some("events 3 to 4 are no longer kept"));
        assert_eq!(told(Some(Start::AfterSeq(3))).as_deref(), Some("event 4 is no longer kept"));
        assert_eq!(told(Some(Start::Tail(100))).as_deref(), Some("events 1 to 4 are no longer kept"));
        assert_eq!(told(Some(Start::Tail(6))).as_deref(), Some("event 4 is no longer kept"));
        for start in [Start::AfterSeq(4), Start::AfterSeq(u64::MAX), Start::Tail(5), Start::Live(true)] {
            assert_eq!(told(Some(start)), None, "{start:?}");
        }
        assert_eq!(Missing::of(None).at_greeting(1, 9), None, "a log that was never trimmed");
    }

    #[test]
    fn events_of_a_time_may_be_missing_if_the_first_that_comes_is_the_first_that_is_kept() {
        for (seq, said) in [(5, true), (6, false)] {
            let mut missing = Missing::of(Some(SINCE));
            assert_eq!(missing.at_greeting(5, 9), None);
            assert_eq!(missing.at_event(seq).is_some(), said);
            assert_eq!(missing.at_event(5), None, "only the first one says it");
        }
    }

    #[test]
    fn it_is_said_once_and_not_before_the_execution_exists() {
        let mut missing = Missing::of(None);
        assert_eq!(missing.at_greeting(0, 0), None);
        assert!(missing.at_greeting(3, 9).is_some());
        assert_eq!(missing.at_greeting(7, 9), None, "a gap in the stream says it from now on");
        assert!(missing.is_told(2) && !missing.is_told(3));
    }
}

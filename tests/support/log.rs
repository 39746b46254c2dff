//! What a watcher or reader has seen of one execution, and what must be true of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use tapeline::proto::v1::{Event, event};

/// The events of one execution as one reader got them, over any number of connections.
#[derive(Default)]
pub(crate) struct Seen {
    /// The log the cursor belongs to, once it is known.
    pub(crate) log_id: String,
    events: Vec<(u64, Option<event::Body>)>,
}

impl Seen {
    /// The seq of the last event.
    pub(crate) fn cursor(&self) -> u64 {
        self.events.last().map_or(0, |(seq, _)| *seq)
    }

    /// Takes the next event, which must be the next one.
    pub(crate) fn take(&mut self, event: Event) {
        assert_eq!(event.seq, self.cursor() + 1, "an event is missing, doubled or out of order");
        self.events.push((event.seq, event.body));
    }

    /// Asserts that one of the two is a prefix of the other.
    pub(crate) fn assert_same_log(&self, other: &Self) {
        for (mine, theirs) in self.events.iter().zip(&other.events) {
            assert_eq!(mine, theirs, "two readers saw different logs");
        }
    }

    /// What each custom event says, and at which seq; asserts that none says the same as another.
    pub(crate) fn data(&self) -> BTreeMap<Bytes, u64> {
        let mut data = BTreeMap::new();
        for (seq, body) in &self.events {
            if let Some(event::Body::Custom(custom)) = body {
                let twice = data.insert(custom.data.clone(), *seq);
                assert_eq!(twice, None, "{:?} is there twice", custom.data);
            }
        }
        data
    }
}

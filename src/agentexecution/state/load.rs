//! How a state is brought up to the tail: from what is in memory, else from a snapshot, else from the
//! base that a trim left, else from the beginning; then page by page. It must never take a snapshot
//! whose last event is not in the log.

use std::sync::Arc;

use tapeline_storage::{ExecutionId, Head, Page, PageSize, ReadError, Seq};

use super::snapshot::{Place, Snapshot};
use super::{Mark, State, StateError, States};
use crate::execution::fold::{FoldError, Folded};
use crate::execution::invalid::Excess;
use crate::execution::kind;
use crate::limits::{
    FOLDED_BYTES_MAX, SNAPSHOT_BYTES_MIN, SNAPSHOT_EVENTS_MAX, SNAPSHOT_EVENTS_MIN, STATE_BYTES_MAX,
};

impl States {
    /// The state at the tail.
    pub(super) async fn advance(
        &self,
        head: Arc<Head>,
        begun: Option<Arc<State>>,
    ) -> Result<State, StateError> {
        let execution = &head.execution.id;
        let mut state = match begun {
            Some(state) => Arc::unwrap_or_clone(state),
            None => self.start(&head).await?,
        };
        let mut began_anew_after = None;
        loop {
            let cursor = state.folded.through_seq();
            match self.0.store.read(execution, cursor, PageSize::default()).await {
                Ok(page) => {
                    if state.add(execution, page)? {
                        return Ok(state);
                    }
                }
                // A trim was faster. Its base reaches the floor, so this gets further each time.
                Err(ReadError::Trimmed { .. }) if began_anew_after != Some(cursor) => {
                    began_anew_after = Some(cursor);
                    state = self.begin_at_base(&head).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The newest state that is still there.
    pub(super) async fn start(&self, head: &Arc<Head>) -> Result<State, StateError> {
        if let Some(snapshot) = self.0.snapshots.read(head).await {
            if self.is_of_log(head, &snapshot).await? {
                return Ok(State::new(head.clone(), snapshot.folded, snapshot.mark));
            }
            self.0.snapshots.remove(head.execution.log_id.to_string()).await;
        }
        self.begin_at_base(head).await
    }

    /// Whether the last event of a snapshot is an event of the log, and kept.
    async fn is_of_log(&self, head: &Head, snapshot: &Snapshot) -> Result<bool, StateError> {
        let seq = snapshot.folded.through_seq();
        if seq < head.floor_seq || seq > head.tail_seq {
            return Ok(false);
        }
        let one = PageSize { events_max: 1, ..PageSize::default() };
        match self.0.store.read(&head.execution.id, seq - 1, one).await {
            Ok(page) => Ok(page.events.first().is_some_and(|event| Mark::of(event) == snapshot.mark)),
            Err(ReadError::Trimmed { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The state that a trim left, or that of an execution without events.
    async fn begin_at_base(&self, head: &Arc<Head>) -> Result<State, StateError> {
        let execution = &head.execution.id;
        let folded = match self.0.store.base(execution).await? {
            Some(base) => Folded::from_base(base)
                .map_err(|error| corrupt(execution, head.floor_seq.saturating_sub(1), error.to_string()))?,
            None => Folded::default(),
        };
        Ok(State::new(head.clone(), folded, Mark::default()))
    }

    /// The place to write a snapshot, when enough came since the last one.
    pub(super) fn place_if_due(&self, state: &mut State) -> Option<Place> {
        let seq = state.folded.through_seq();
        let events = seq - state.snapshot_seq;
        let far = state.snapshot_seq.clamp(SNAPSHOT_EVENTS_MIN, SNAPSHOT_EVENTS_MAX);
        let ended = state.head.phase.is_terminal() && events >= SNAPSHOT_EVENTS_MIN;
        let much = SNAPSHOT_BYTES_MIN.max(state.bytes() / 2);
        if !ended && events < far && state.bytes_since_snapshot < much {
            return None;
        }
        let place = self.0.snapshots.place()?;
        (state.snapshot_seq, state.bytes_since_snapshot) = (seq, 0);
        Some(place)
    }

    /// Writes a snapshot, and takes it away again if there is no such execution any more: whoever deleted it
    /// may have looked for a file before there was one.
    pub(super) async fn write_snapshot(self, place: Place, state: Arc<State>) {
        let execution = state.head.execution.clone();
        self.0.snapshots.write(place, state).await;
        if let Err(ReadError::NotFound { .. }) = self.0.store.head(&execution.id).await {
            self.0.snapshots.remove(execution.log_id.to_string()).await;
        }
    }
}

impl State {
    fn new(head: Arc<Head>, folded: Folded, mark: Mark) -> Self {
        let seq = folded.through_seq();
        // A base is as good as a snapshot to begin with.
        Self { head, folded, changed_seq: seq, mark, bytes_since_snapshot: 0, snapshot_seq: seq }
    }

    /// Adds a page. Returns whether the tail is reached.
    fn add(&mut self, execution: &ExecutionId, page: Page) -> Result<bool, StateError> {
        self.folded.add_all(&page.events, FOLDED_BYTES_MAX).map_err(|error| match error {
            FoldError::TooLarge(excess) => StateError::TooLarge(excess),
            FoldError::Damaged { seq, .. } => corrupt(execution, seq, error.to_string()),
        })?;
        for event in page.events.iter().filter(|event| kind::adds(event.type_tag)) {
            self.changed_seq = event.seq;
            self.bytes_since_snapshot += event.payload.len();
        }
        self.mark = page.events.last().map_or(self.mark, Mark::of);
        self.head = page.head;
        let is_at_tail = self.folded.through_seq() >= self.head.tail_seq;
        match Excess::over(STATE_BYTES_MAX, self.bytes()).filter(|_| is_at_tail) {
            Some(excess) => Err(StateError::TooLarge(excess)),
            None => Ok(is_at_tail),
        }
    }
}

impl Mark {
    fn of(event: &tapeline_storage::StoredEvent) -> Self {
        Self { position: event.position, record_time_ns: event.record_time_ns }
    }
}

fn corrupt(execution: &ExecutionId, seq: Seq, what: String) -> StateError {
    ReadError::Corrupt { execution: Some(execution.clone()), seq, position: 0, what }.into()
}

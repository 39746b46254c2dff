//! Trims: what the removed events add up to becomes the base of the execution before they go. It must
//! never move a floor without a base that reaches it, and never hold more than one state and one page.

use bytes::Bytes;
use tapeline_storage::limits::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX};
use tapeline_storage::{
    ExecutionId, PageSize, Position, ReadError, Reject, Seq, StoredEvent, TrimRequest, WriteError,
};

use super::{AppendError, Appender, parse_id};
use crate::execution::fold::{FoldError, Folded};
use crate::execution::invalid::{Excess, Invalid};
use crate::limits::FOLDED_BYTES_MAX;

impl Appender {
    /// Removes the events below a floor and keeps what they add up to. Returns the floor in force.
    ///
    /// One trim at a time: a state may be large. Nothing is removed if it is too large to be kept.
    pub async fn trim(&self, execution_id: &str, floor_seq: Seq) -> Result<Seq, AppendError> {
        self.check_open()?;
        let execution = parse_id("execution_id", execution_id)?;
        // The semaphore is never closed.
        let _place = self.trims.acquire().await.ok();
        let base = self.base_below(&execution, floor_seq).await?;
        Ok(self.store.trim(TrimRequest { execution, floor_seq, base }).await?)
    }

    /// What all events below a floor add up to; `None` if the present base reaches it already.
    ///
    /// A base says which event is the last in it, so the floor it belongs to need not be looked up, and it
    /// stays right whatever the floor is by the time it is written. A trim whose caller went away may
    /// still be under way and remove what is being read; then its base is there, and it goes on from that.
    async fn base_below(
        &self,
        execution: &ExecutionId,
        floor_seq: Seq,
    ) -> Result<Option<Bytes>, AppendError> {
        let mut begun_after = None;
        loop {
            let mut folded = self.present_base(execution).await?;
            let after = folded.through_seq();
            if floor_seq <= after + 1 {
                return Ok(None);
            }
            match self.fold_below(execution, &mut folded, floor_seq).await {
                Ok(()) => return Ok(Some(folded.to_base())),
                Err(AppendError::Store(WriteError::Read(ReadError::Trimmed { .. })))
                    if begun_after != Some(after) =>
                {
                    begun_after = Some(after);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn present_base(&self, execution: &ExecutionId) -> Result<Folded, AppendError> {
        match self.store.base(execution).await.map_err(WriteError::from)? {
            Some(base) => {
                Folded::from_base(base).map_err(|error| corrupt(execution, 0, 0, error.to_string()))
            }
            None => Ok(Folded::default()),
        }
    }

    /// Adds the events that are missing, page by page.
    async fn fold_below(
        &self,
        execution: &ExecutionId,
        folded: &mut Folded,
        floor_seq: Seq,
    ) -> Result<(), AppendError> {
        while folded.through_seq() + 1 < floor_seq {
            self.check_open()?;
            let page = self.page_below(execution, folded.through_seq(), floor_seq).await?;
            folded.add_all(&page, FOLDED_BYTES_MAX).map_err(|error| unfoldable(execution, error))?;
        }
        Ok(())
    }

    /// Some events after a cursor, at least one, all of them below a floor that is inside the log.
    async fn page_below(
        &self,
        execution: &ExecutionId,
        after: Seq,
        floor_seq: Seq,
    ) -> Result<Vec<StoredEvent>, AppendError> {
        let missing = usize::try_from(floor_seq - 1 - after).unwrap_or(usize::MAX);
        let size = PageSize { events_max: missing.min(PAGE_EVENTS_MAX), bytes_max: PAGE_BYTES_MAX };
        let page = self.store.read(execution, after, size).await.map_err(WriteError::from)?;
        let highest = page.head.tail_seq + 1;
        if floor_seq > highest {
            let description = format!("a floor is from 1 to {highest}, not {floor_seq}");
            let reject = Reject { field: "floor_seq".to_owned(), description };
            return Err(WriteError::Rejected(reject).into());
        }
        Ok(page.events)
    }
}

fn unfoldable(execution: &ExecutionId, error: FoldError) -> AppendError {
    match error {
        FoldError::TooLarge(excess) => {
            let Excess { limit, actual } = excess;
            let description =
                format!("bytes of the state while it is folded: {actual}, the limit is {limit}");
            Invalid::beyond("floor_seq", description, excess).into()
        }
        FoldError::Damaged { seq, position, .. } => corrupt(execution, seq, position, error.to_string()),
    }
}

/// What is stored cannot be folded; at an event, or, with zeros, in the base.
fn corrupt(execution: &ExecutionId, seq: Seq, position: Position, what: String) -> AppendError {
    WriteError::Read(ReadError::Corrupt { execution: Some(execution.clone()), seq, position, what }).into()
}

#[cfg(test)]
mod tests;

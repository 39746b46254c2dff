//! The caller's side of a trim: the bytes that go are counted here, by reading, before the writer raises the
//! floor.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::admit::check_trim;
use super::answer::answered;
use super::queue::{Counted, Job, Trimmed};
use super::reader;
use super::shared::Shared;
use super::slots::Slot;
use crate::{Head, ReadError, Seq, TrimRequest, WriteError};

/// Removes all events below a floor. Returns the floor in force.
pub(super) async fn trim(shared: &Arc<Shared>, request: TrimRequest) -> Result<Seq, WriteError> {
    loop {
        let (slot, head) = shared.present(&request.execution).await?;
        if !check_trim(&head, &request)? {
            return Ok(head.floor_seq);
        }
        if let Trimmed::Floor(floor_seq) = trim_counted(shared, slot, &head, &request).await? {
            return Ok(floor_seq);
        }
    }
}

async fn trim_counted(
    shared: &Arc<Shared>,
    slot: Arc<Slot>,
    head: &Head,
    request: &TrimRequest,
) -> Result<Trimmed, WriteError> {
    let bytes = match reader::count_bytes(shared, head, request.floor_seq).await {
        // Another trim was faster: look again.
        Err(ReadError::Trimmed { .. }) => return Ok(Trimmed::Moved),
        counted => counted?,
    };
    let counted = Counted { from_floor: head.floor_seq, bytes };
    let (reply, answer) = oneshot::channel();
    let job = Job::Trim { request: request.clone(), counted, reply };
    shared.queue.put(slot, job).await?;
    answered(answer).await
}

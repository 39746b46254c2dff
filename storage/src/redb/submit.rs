//! The caller's side of an append: into the writer's queue, and what became of it. What is found out about
//! an append of a stream is noted in its place, so that no later append overtakes one that failed.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::answer::answered;
use super::older;
use super::queue::{Appended, Job};
use super::shared::Shared;
use super::slots::Slot;
use crate::{AppendPlace, AppendRequest, AppendTicket, Producer, WriteError};

/// Puts an append into the queue. The ticket is its outcome.
pub(super) async fn submit(shared: &Arc<Shared>, request: AppendRequest) -> Result<AppendTicket, WriteError> {
    let place = request.stream.clone();
    let submitted = put(shared, request).await;
    note_failure(&submitted, place.as_ref());
    submitted
}

async fn put(shared: &Arc<Shared>, request: AppendRequest) -> Result<AppendTicket, WriteError> {
    let slot = shared.slot(&request.execution).await?;
    let producer = request.producer.clone();
    let place = request.stream.clone();
    if place.as_ref().is_some_and(AppendPlace::is_behind_failed) {
        return Ok(AppendTicket::looking(Box::pin(std::future::ready(Err(WriteError::StreamFailed)))));
    }
    // Decided here if it can be, so that a conflict stops the later appends of a stream.
    if let Some((producer, digest)) = producer.as_ref().filter(|(producer, _)| is_older(&slot, producer)) {
        let outcome = older::look_up(shared, &slot, producer, *digest).await;
        note_failure(&outcome, place.as_ref());
        return Ok(AppendTicket::looking(Box::pin(std::future::ready(outcome))));
    }
    let (reply, answer) = oneshot::channel();
    shared.queue.put(slot.clone(), Job::Append { request, reply }).await?;
    let shared = shared.clone();
    Ok(AppendTicket::looking(Box::pin(async move {
        match (answered(answer).await?, producer) {
            (Appended::Done(outcome), _) => Ok(outcome),
            (Appended::Older, Some((producer, digest))) => {
                let outcome = older::look_up(&shared, &slot, &producer, digest).await;
                note_failure(&outcome, place.as_ref());
                place.iter().for_each(AppendPlace::decided);
                outcome
            }
            (Appended::Older, None) => unreachable!("only an append of a producer can be older"),
        }
    })))
}

/// Whether what is committed shows already that an append is older than its producer's last one.
fn is_older(slot: &Slot, producer: &Producer) -> bool {
    slot.head().is_some_and(|head| {
        let last = head.producer(&producer.id).map(|state| &state.producer);
        last.is_some_and(|last| last.epoch == producer.epoch && producer.seq < last.seq)
    })
}

fn note_failure<T>(outcome: &Result<T, WriteError>, place: Option<&AppendPlace>) {
    if let (Err(_), Some(place)) = (outcome, place) {
        place.failed();
    }
}

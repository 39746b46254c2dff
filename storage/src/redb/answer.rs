//! Answers that wait for a commit to be durable. Each is sent once: as it was decided, or as unknown.

use tokio::sync::oneshot;

use super::queue::{Appended, Places, Reply, Trimmed};
use crate::{AppendPlace, CreateOutcome, WriteError};

/// One answer, and to whom it goes.
#[derive(Debug)]
pub(super) struct Answer {
    kind: Kind,
    /// Told when the answer turns out to be an error.
    stream: Option<AppendPlace>,
}

#[derive(Debug)]
enum Kind {
    Create(Reply<CreateOutcome>, Result<CreateOutcome, WriteError>),
    Append(Reply<Appended>, Result<Appended, WriteError>),
    Trim(Reply<Trimmed>, Result<Trimmed, WriteError>),
    Delete(Reply<()>, Result<(), WriteError>),
}

impl Answer {
    pub(super) fn create(reply: Reply<CreateOutcome>, result: Result<CreateOutcome, WriteError>) -> Self {
        Self { kind: Kind::Create(reply, result), stream: None }
    }

    pub(super) fn append(
        reply: Reply<Appended>,
        result: Result<Appended, WriteError>,
        stream: Option<AppendPlace>,
    ) -> Self {
        Self { kind: Kind::Append(reply, result), stream }
    }

    pub(super) fn trim(reply: Reply<Trimmed>, result: Result<Trimmed, WriteError>) -> Self {
        Self { kind: Kind::Trim(reply, result), stream: None }
    }

    pub(super) fn delete(reply: Reply<()>, result: Result<(), WriteError>) -> Self {
        Self { kind: Kind::Delete(reply, result), stream: None }
    }

    fn send(self) {
        // A receiver that is gone does not want to know.
        match self.kind {
            Kind::Create(reply, result) => drop(reply.send(result)),
            Kind::Append(reply, result) => drop(reply.send(result)),
            Kind::Trim(reply, result) => drop(reply.send(result)),
            Kind::Delete(reply, result) => drop(reply.send(result)),
        }
    }

    fn send_instead(mut self, error: &WriteError) {
        if let Some(place) = &self.stream {
            place.failed();
        }
        match &mut self.kind {
            Kind::Create(_, result) => *result = Err(error.clone()),
            Kind::Append(_, result) => *result = Err(error.clone()),
            Kind::Trim(_, result) => *result = Err(error.clone()),
            Kind::Delete(_, result) => *result = Err(error.clone()),
        }
        self.send();
    }
}

/// The answers of one commit, with the places of their requests in the queue.
#[derive(Debug, Default)]
pub(super) struct Answers(Vec<(Answer, Places)>);

impl Answers {
    pub(super) fn add(&mut self, answer: Answer, places: Places) {
        self.0.push((answer, places));
    }

    /// Sends them as they were decided.
    pub(super) fn send(self) {
        self.0.into_iter().for_each(|(answer, _)| answer.send());
    }

    /// Sends the same error to all, those included that were refused: what refused them may have been
    /// a request whose outcome is not known.
    pub(super) fn send_instead(self, error: &WriteError) {
        self.0.into_iter().for_each(|(answer, _)| answer.send_instead(error));
    }
}

/// An answer of the writer. If it is gone without one, nobody knows.
pub(super) async fn answered<T>(answer: oneshot::Receiver<Result<T, WriteError>>) -> Result<T, WriteError> {
    answer.await.unwrap_or(Err(WriteError::OutcomeUnknown))
}

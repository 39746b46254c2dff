//! Many appends in flight on one stream: put into the queue in the order they came, answered in that
//! order. The first that fails is the last that is answered, and no later one is written.

use std::sync::Arc;

use futures_util::stream::{self, Stream, StreamExt};
use prost::Message;
use tapeline_storage::{AppendOrder, AppendOutcome, AppendTicket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{AppendError, Appender};
use crate::limits::{STREAM_APPENDS_MAX, STREAM_BYTES_MAX};
use crate::proto::v1::AppendRequest;

/// One stream of appends.
#[derive(Debug)]
pub struct AppendStream {
    appender: Appender,
    /// Tells the store which appends stand behind a failed one.
    order: AppendOrder,
    /// A place for each byte that may be in flight.
    places: Arc<Semaphore>,
}

/// An append that is in the queue, with the places it takes.
struct InFlight {
    ticket: AppendTicket,
    _places: Option<OwnedSemaphorePermit>,
}

impl AppendStream {
    /// A stream of appends that has not begun.
    pub fn new(appender: Appender) -> Self {
        let places = Arc::new(Semaphore::new(STREAM_BYTES_MAX));
        Self { appender, order: AppendOrder::default(), places }
    }

    /// Appends what comes in. Yields the outcomes in the order of the requests, up to and with the first
    /// error; an error of the incoming stream counts as one. When the daemon stops no more is taken in:
    /// what is in flight is answered, then comes `ShuttingDown`.
    pub fn run<E>(
        self,
        requests: impl Stream<Item = Result<AppendRequest, E>>,
    ) -> impl Stream<Item = Result<AppendOutcome, E>>
    where
        E: From<AppendError>,
    {
        let requests = until_stopped(requests, self.appender.stopped());
        let this = Arc::new(self);
        // One after the other into the queue; many at a time from there on.
        let in_flight = until_error(requests.then(move |request| {
            let this = this.clone();
            async move { this.submit(request?).await.map_err(E::from) }
        }));
        let answered = in_flight.map(|submitted| async move {
            let InFlight { ticket, _places } = submitted?;
            ticket.await.map_err(|error| E::from(AppendError::from(error)))
        });
        until_error(answered.buffered(STREAM_APPENDS_MAX))
    }

    async fn submit(&self, request: AppendRequest) -> Result<InFlight, AppendError> {
        let bytes = u32::try_from(request.encoded_len().min(STREAM_BYTES_MAX)).unwrap_or(u32::MAX);
        // The semaphore is never closed; without a permit the bound of the store's queue holds.
        let _places = self.places.clone().acquire_many_owned(bytes).await.ok();
        Ok(InFlight { ticket: self.appender.submit(request, self.order.next()).await?, _places })
    }
}

/// A stream that ends with `ShuttingDown` as soon as the daemon stops, also while it is idle.
fn until_stopped<T, E: From<AppendError>>(
    requests: impl Stream<Item = Result<T, E>>,
    stopped: impl Future<Output = ()>,
) -> impl Stream<Item = Result<T, E>> {
    let state = Some((Box::pin(requests), Box::pin(stopped)));
    stream::unfold(state, |state| async move {
        let (mut requests, mut stopped) = state?;
        tokio::select! {
            () = &mut stopped => Some((Err(AppendError::ShuttingDown.into()), None)),
            request = requests.next() => Some((request?, Some((requests, stopped)))),
        }
    })
}

/// A stream up to and with its first error. Nothing is read from behind it.
fn until_error<T, E>(stream: impl Stream<Item = Result<T, E>>) -> impl Stream<Item = Result<T, E>> {
    stream::unfold(Some(Box::pin(stream)), |stream| async move {
        let mut stream = stream?;
        let item = stream.next().await?;
        let rest = item.is_ok().then_some(stream);
        Some((item, rest))
    })
}

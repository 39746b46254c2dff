//! What subscribers were handed counts until the transport has written it: each piece of a response keeps
//! its share of the limit for as long as its bytes are anywhere. A client may open its window as wide as it
//! likes and read nothing. It must never change a byte.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::{MapOk, TryFutureExt};
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use crate::agentexecution::Handed;

/// A service whose responses keep what was handed with them. Cheap to clone if the service is.
#[derive(Clone, Debug)]
pub struct KeepsHanded<S>(pub S);

impl<S: NamedService> NamedService for KeepsHanded<S> {
    const NAME: &'static str = S::NAME;
}

type Response = http::Response<Body>;

impl<S: Service<http::Request<Body>, Response = Response>> Service<http::Request<Body>> for KeepsHanded<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = MapOk<S::Future, fn(Response) -> Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.0.call(request).map_ok(keeping)
    }
}

fn keeping(mut response: Response) -> Response {
    match response.extensions_mut().remove::<Handed>() {
        Some(handed) => response.map(|body| Body::new(KeepingBody { body, handed })),
        None => response,
    }
}

struct KeepingBody {
    body: Body,
    handed: Handed,
}

impl http_body::Body for KeepingBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        // A state is encoded as soon as it is handed, so what stands there now is in this piece.
        Poll::Ready(
            frame.map(|frame| frame.map(|frame| frame.map_data(|data| kept(data, self.handed.take())))),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The same bytes; what is kept with them is dropped with the last of them.
fn kept(data: Bytes, permits: Vec<OwnedSemaphorePermit>) -> Bytes {
    struct Kept {
        data: Bytes,
        _permits: Vec<OwnedSemaphorePermit>,
    }
    impl AsRef<[u8]> for Kept {
        fn as_ref(&self) -> &[u8] {
            &self.data
        }
    }
    match permits.is_empty() {
        true => data,
        false => Bytes::from_owner(Kept { data, _permits: permits }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn a_piece_gives_its_room_back_with_its_last_bytes() {
        let room = Arc::new(Semaphore::new(10));
        let permits = vec![room.clone().try_acquire_many_owned(7).expect("there is room")];
        let mut bytes = kept(Bytes::from_static(b"0123456789"), permits);
        let written = bytes.split_to(4);
        assert_eq!((&written[..], &bytes[..]), (&b"0123"[..], &b"456789"[..]));
        drop(written);
        assert_eq!(room.available_permits(), 3, "the rest is still to be written");
        drop(bytes);
        assert_eq!(room.available_permits(), 10);
    }
}

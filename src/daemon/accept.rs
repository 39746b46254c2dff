//! Connections: accepts them up to a limit and serves each in a task of its own, with bounded buffers,
//! until it ends or the daemon stops. It must never hold the stop up for a client that does not answer.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::transport::server::TcpConnectInfo;
use tower::ServiceExt;

use crate::limits::{
    ACCEPT_PAUSE, CONNECTION_RECEIVE_WINDOW_BYTES, CONNECTION_STREAMS_MAX, FIRST_BYTES_TIMEOUT,
    HEADERS_BYTES_MAX, KEEPALIVE, RESET_STREAMS_MAX, STREAM_RECEIVE_WINDOW_BYTES, STREAM_SEND_BUFFER_BYTES,
};

/// What a client that speaks HTTP/2 says first (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How often a client that stopped in the midst of it is looked at.
const PREFACE_LOOK_EVERY: Duration = Duration::from_millis(50);

/// The connections of a daemon, and the loop that accepts them.
pub(super) struct Connections {
    stop: watch::Sender<bool>,
    accepting: JoinHandle<GracefulShutdown>,
}

/// Some connections did not end in time.
#[derive(Debug)]
pub(super) struct NotInTime;

impl Connections {
    /// Accepts and serves from now on.
    pub(super) fn serve(listener: TcpListener, services: Routes, connections_max: usize) -> Self {
        let (stop, stopped) = watch::channel(false);
        let acceptor = Acceptor {
            listener,
            services,
            places: Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS))),
            connection: Arc::new(connection_builder()),
            graceful: GracefulShutdown::new(),
            stopped,
        };
        Self { stop, accepting: tokio::spawn(acceptor.run()) }
    }

    /// Accepts no more, and waits until every connection has finished what it has begun.
    pub(super) async fn finish(self, within: Duration) -> Result<(), NotInTime> {
        self.stop.send_replace(true);
        let finished = async {
            if let Ok(graceful) = self.accepting.await {
                graceful.shutdown().await;
            }
        };
        tokio::time::timeout(within, finished).await.map_err(|_| NotInTime)
    }
}

struct Acceptor {
    listener: TcpListener,
    services: Routes,
    places: Arc<Semaphore>,
    connection: Arc<Builder<TokioExecutor>>,
    graceful: GracefulShutdown,
    stopped: watch::Receiver<bool>,
}

impl Acceptor {
    async fn run(self) -> GracefulShutdown {
        let mut stopped = self.stopped.clone();
        loop {
            let place = tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return self.graceful,
                place = self.places.clone().acquire_owned() => place,
            };
            let accepted = tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return self.graceful,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let serving = self.serve_one(stream, peer);
                    tokio::spawn(async move {
                        serving.await;
                        drop(place);
                    });
                }
                Err(error) => pause(&error).await,
            }
        }
    }

    fn serve_one(&self, stream: TcpStream, peer: SocketAddr) -> impl Future<Output = ()> + use<> {
        let services = self.services.clone();
        let connection = self.connection.clone();
        let watcher = self.graceful.watcher();
        let mut stopped = self.stopped.clone();
        async move {
            // Small frames shall leave at once; a connection that is gone shows soon enough.
            let _ = stream.set_nodelay(true);
            let info = TcpConnectInfo { local_addr: stream.local_addr().ok(), remote_addr: Some(peer) };
            // A client that has said nothing has begun nothing that a stop must wait for.
            let speaks = tokio::select! {
                speaks = speaks(&stream) => speaks,
                _ = stopped.wait_for(|stopped| *stopped) => false,
            };
            if !speaks {
                return;
            }
            let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(info.clone());
                let services = services.clone();
                async move {
                    Ok::<_, Infallible>(
                        services.oneshot(request).await.unwrap_or_else(|never| match never {}),
                    )
                }
            });
            let serving = connection.serve_connection(TokioIo::new(stream), service).into_owned();
            if let Err(error) = watcher.watch(serving).await {
                tracing::debug!(%peer, error, "a connection broke");
            }
        }
    }
}

/// Whether a client says which protocol it speaks, so that one that stays silent or stops in the midst
/// of its first words does not take a place for ever.
async fn speaks(stream: &TcpStream) -> bool {
    matches!(tokio::time::timeout(FIRST_BYTES_TIMEOUT, knows_protocol(stream)).await, Ok(true))
}

async fn knows_protocol(stream: &TcpStream) -> bool {
    let mut begin = [0; HTTP2_PREFACE.len()];
    loop {
        match stream.peek(&mut begin).await {
            Ok(0) | Err(_) => return false,
            Ok(length) if length == begin.len() || !HTTP2_PREFACE.starts_with(&begin[..length]) => {
                return true;
            }
            // The rest is on its way, or never comes; what is there keeps the stream readable.
            Ok(_) => tokio::time::sleep(PREFACE_LOOK_EVERY).await,
        }
    }
}

/// An accept that failed for want of descriptors or memory would fail again at once.
async fn pause(error: &io::Error) {
    let passing =
        [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::Interrupted];
    if passing.contains(&error.kind()) {
        return;
    }
    tracing::warn!(%error, "cannot accept a connection");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// What holds for every connection. The defaults of HTTP/2 servers are made for short calls.
/// gRPC has no use for a date, and the HTTP library panics over a clock that is before 1970.
fn connection_builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(FIRST_BYTES_TIMEOUT).auto_date_header(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(CONNECTION_STREAMS_MAX)
        .initial_stream_window_size(STREAM_RECEIVE_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_RECEIVE_WINDOW_BYTES)
        .max_local_error_reset_streams(RESET_STREAMS_MAX)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_send_buf_size(STREAM_SEND_BUFFER_BYTES)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE);
    builder
}

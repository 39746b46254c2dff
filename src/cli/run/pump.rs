//! One pipe of the program: what it writes is recorded first and then passed on to the user, byte for
//! byte. A user who closes the other end closes it for the program too, as without us.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::timeout;

use super::spool::Spool;
use crate::cli::limits::{OUTPUT_BYTES_MAX, PIPE_DRAIN_BYTES_MAX};
use crate::proto::v1::event::Body;
use crate::proto::v1::output::Stream;
use crate::proto::v1::{Event, Output};

/// How long an empty pipe is looked at before it is taken for drained.
const EMPTY_AFTER: Duration = Duration::from_millis(20);

/// Moves everything from `pipe` to the spool and to `user`, to the end of the pipe; or, once `drain` is
/// true, to the end of what is in it.
pub(super) async fn pump(
    stream: Stream,
    mut pipe: impl AsyncRead + Unpin,
    mut user: impl AsyncWrite + Unpin,
    spool: Arc<Spool>,
    mut drain: watch::Receiver<bool>,
) {
    let mut piece = vec![0; OUTPUT_BYTES_MAX];
    let mut drained = None;
    loop {
        let length = match next(&mut pipe, &mut piece, &mut drain, &mut drained).await {
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
        spool.push(output(stream, Bytes::copy_from_slice(&piece[..length]), false)).await;
        if user.write_all(&piece[..length]).await.is_err() || user.flush().await.is_err() {
            return;
        }
        if drained.is_some_and(|bytes| bytes > PIPE_DRAIN_BYTES_MAX) {
            // Whoever still writes goes on writing: what comes now is stored nowhere.
            spool.push(output(stream, Bytes::new(), true)).await;
            return;
        }
    }
}

/// The next piece; 0 at the end. `drained` counts what was read since draining began.
async fn next(
    pipe: &mut (impl AsyncRead + Unpin),
    piece: &mut [u8],
    drain: &mut watch::Receiver<bool>,
    drained: &mut Option<usize>,
) -> io::Result<usize> {
    if drained.is_none() {
        tokio::select! {
            biased;
            _ = drain.wait_for(|&drain| drain) => *drained = Some(0),
            length = pipe.read(piece) => return length,
        }
    }
    let length = timeout(EMPTY_AFTER, pipe.read(piece)).await.unwrap_or(Ok(0))?;
    *drained = drained.map(|bytes| bytes + length);
    Ok(length)
}

fn output(stream: Stream, data: Bytes, truncated: bool) -> Event {
    let output = Output { stream: stream as i32, data, truncated };
    Event { body: Some(Body::Output(output)), ..Event::default() }
}

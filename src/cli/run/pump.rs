//! One pipe of the program: what it writes is recorded first and then passed on to the user, byte for
//! byte. A user who closes the other end closes it for the program too, as without us; any other failure
//! to pass something on does not stop the recording.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::spool::Spool;
use crate::cli::limits::{OUTPUT_BYTES_MAX, PIPE_DRAIN_BYTES_MAX};
use crate::cli::output::talk;
use crate::proto::v1::event::Body;
use crate::proto::v1::output::Stream;
use crate::proto::v1::{Event, Output};

/// How long an empty pipe is looked at before it is taken for drained.
const EMPTY_AFTER: Duration = Duration::from_millis(20);

/// Moves everything from `pipe` to the spool and to the user, to the end of the pipe; or, once `drain` is
/// true, to the end of what is in it.
pub(super) async fn pump(
    stream: Stream,
    mut pipe: impl AsyncRead + Unpin,
    spool: Arc<Spool>,
    mut drain: watch::Receiver<bool>,
) {
    let mut piece = vec![0; OUTPUT_BYTES_MAX];
    let (mut drained, mut is_passed_on) = (None, true);
    loop {
        let data = match next(&mut pipe, &mut piece, &mut drain, &mut drained).await {
            Ok(0) | Err(_) => return,
            Ok(length) => Bytes::copy_from_slice(&piece[..length]),
        };
        spool.push(output(stream, data.clone(), false)).await;
        if is_passed_on && let Err(error) = pass_on(stream, data).await {
            if error.kind() == io::ErrorKind::BrokenPipe {
                return;
            }
            is_passed_on = false;
            talk(&format!("cannot pass {} on: {error}; the recording goes on", stream.as_str_name()));
        }
        if drained.is_some_and(|bytes| bytes > PIPE_DRAIN_BYTES_MAX) {
            // Whoever still writes goes on writing: what comes now is stored nowhere.
            spool.push(output(stream, Bytes::new(), true)).await;
            return;
        }
    }
}

/// Gives the user all of it, however long that takes.
async fn pass_on(stream: Stream, data: Bytes) -> io::Result<()> {
    let written = spawn_blocking(move || match stream {
        Stream::Stderr => write_all(io::stderr(), &data),
        _ => write_all(io::stdout(), &data),
    });
    written.await.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
}

/// Writes to a descriptor that others share with us: one of them may have made it non-blocking.
fn write_all(user: impl AsFd, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        match rustix::io::write(&user, data) {
            Ok(length) => data = &data[length..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                // Whatever it says, the next write finds out.
                let _ = poll(&mut [PollFd::new(&user, PollFlags::OUT)], None);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
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

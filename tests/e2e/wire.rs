//! Below the generated clients: raw gRPC frames over a sound connection, and raw bytes over a socket.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::{Service, ServiceExt};

use super::support::daemon::PATIENCE;

/// The paths of the log service's methods begin so.
pub(crate) const LOG_SERVICE: &str = "/tapeline.v1.ExecutionLogService/";

/// A gRPC frame with this length in its prefix, whatever the length of the message.
pub(crate) fn frame(compressed: u8, length: u32, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![compressed];
    frame.extend(length.to_be_bytes());
    frame.extend(message);
    frame
}

/// Calls a method with these bytes as the body of the request; returns how it ended.
pub(crate) async fn call(mut channel: Channel, path: &str, body: Vec<u8>) -> Status {
    let request = http::Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(Full::new(Bytes::from(body))))
        .expect("a request");
    let ended = async {
        let response = channel.ready().await.expect("the daemon is up").call(request).await;
        let (parts, body) = response.expect("an answer").into_parts();
        if let Some(status) = Status::from_header_map(&parts.headers) {
            return status;
        }
        match body.collect().await {
            Ok(collected) => {
                let status = collected.trailers().and_then(Status::from_header_map);
                status.unwrap_or_else(|| Status::new(Code::Unknown, "no trailers"))
            }
            Err(status) => status,
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the call hangs")
}

/// The first bytes of an HTTP/2 connection: the preface and empty settings.
pub(crate) fn preface() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(h2_frame(4, 0, 0, &[]));
    bytes
}

/// The preface of a client that lets the other side send as much as the protocol allows, on each stream and
/// in all.
pub(crate) fn greedy_preface() -> Vec<u8> {
    const WINDOW_MAX: u32 = (1 << 31) - 1;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let initial_window_size = [&[0, 4], &WINDOW_MAX.to_be_bytes()[..]].concat();
    bytes.extend(h2_frame(4, 0, 0, &initial_window_size));
    bytes.extend(h2_frame(8, 0, 0, &(WINDOW_MAX - 65_535).to_be_bytes()));
    bytes
}

/// A request with this message on a stream of a raw HTTP/2 connection, complete.
pub(crate) fn raw_request(stream: u32, path: &str, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("it is short");
    let mut bytes = h2_frame(1, 4, stream, &header_block(path));
    bytes.extend(h2_frame(0, 1, stream, &frame(0, length, message)));
    bytes
}

/// The headers of a gRPC request: entries of the static table, and literals that are not indexed.
fn header_block(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    let mut literal = |name: &[u8], value: &str| {
        block.extend(name);
        block.push(u8::try_from(value.len()).expect("it is short"));
        block.extend(value.as_bytes());
    };
    literal(&[0x04], path);
    literal(&[0x01], "localhost");
    literal(&[0x0f, 0x10], "application/grpc");
    literal(&[0x00, 2, b't', b'e'], "trailers");
    block
}

fn h2_frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("it is short").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

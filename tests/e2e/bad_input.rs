//! What no honest client sends: a clear error, bounded resources, and nobody else notices.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tapeline::proto::v1::{CreateExecutionRequest, GetExecutionRequest};
use tonic::{Code, Status};

use super::refusal::{refusal, refused};
use super::support::append::{batch, creation, custom};
use super::support::daemon::{Client, Daemon, PATIENCE};
use super::wire::{LOG_SERVICE, call, frame};

/// Memory a daemon that has hardly anything to do stays below, in bytes.
const MEMORY_MAX: u64 = 400 << 20;

async fn is_well(client: &Client, tail_seq: u64) {
    let reply = client.clone().append(batch("one", vec![custom("well")])).await.expect("it is well");
    assert_eq!(reply.into_inner().last_seq, tail_seq);
}

fn without_details(status: &Status, code: Code) {
    assert_eq!(status.code(), code, "{status:?}");
    assert!(status.details().is_empty(), "below our handlers: {status:?}");
}

#[tokio::test]
async fn a_frame_that_is_no_message_is_refused_with_the_documented_code_and_harms_nobody() {
    let daemon = Daemon::start();
    let client = daemon.client();
    client.clone().create_execution(creation("one")).await.expect("new");
    let channel = daemon.channel();
    let garbage = [0xff; 64];
    for (body, code) in [
        (frame(0, 64, &garbage), Code::Internal),
        (frame(0, 1 << 31, b"x"), Code::OutOfRange),
        (frame(0, u32::MAX, &garbage), Code::OutOfRange),
        (frame(0, (16 << 20) + 1, b"x"), Code::OutOfRange),
        (frame(0, 1_000, b"too short"), Code::Internal),
        (frame(1, 64, &garbage), Code::Internal),
        (frame(7, 64, &garbage), Code::Internal),
        (vec![0, 0], Code::Internal),
        (Vec::new(), Code::Internal),
    ] {
        for method in ["Append", "CreateExecution", "ReadEvents", "Watch", "ListExecutions"] {
            let status = call(channel.clone(), &format!("{LOG_SERVICE}{method}"), body.clone()).await;
            without_details(&status, code);
        }
    }
    for path in ["/tapeline.v1.ExecutionLogService/Nothing", "/no.such.Service/Append", "/"] {
        without_details(&call(channel.clone(), path, frame(0, 0, &[])).await, Code::Unimplemented);
    }
    is_well(&client, 2).await;
    // On the very connection too.
    is_well(&Client::new(channel), 3).await;
    assert!(daemon.resident_bytes() < MEMORY_MAX);
}

#[tokio::test]
async fn what_breaks_off_in_the_midst_of_an_append_stream_leaves_whole_batches_only() {
    let daemon = Daemon::start();
    let client = daemon.client();
    client.clone().create_execution(creation("one")).await.expect("new");
    let message = prost::Message::encode_to_vec(&batch("one", vec![custom("x"), custom("y")]));
    let length = u32::try_from(message.len()).expect("short");
    let mut body = frame(0, length, &message);
    body.extend(frame(0, length, &message));
    body.extend(&frame(0, length, &message)[..20]);
    let status = call(daemon.channel(), &format!("{LOG_SERVICE}AppendStream"), body).await;
    assert_ne!(status.code(), Code::Ok, "{status:?}");
    is_well(&client, 6).await;
}

#[tokio::test]
async fn ids_and_events_of_any_size_are_refused_with_the_limit() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    client.create_execution(creation("one")).await.expect("new");
    for length in [129, 70_000, 3 << 20] {
        let request = batch(&"x".repeat(length), vec![custom("x")]);
        let refusal = refused(client.append(request).await, Code::InvalidArgument, "INVALID_FIELD");
        assert_eq!((refusal.number("limit"), refusal.number("actual")), (128, length as u64));
        let get = GetExecutionRequest { execution_id: "x".repeat(length) };
        let refusal = refused(client.get_execution(get).await, Code::InvalidArgument, "INVALID_FIELD");
        assert_eq!(refusal.field(), "execution_id");
        assert_eq!((refusal.number("limit"), refusal.number("actual")), (128, length as u64));
    }
    let large = batch("one", vec![custom(vec![0; 17 << 20])]);
    without_details(&client.append(large).await.expect_err("too long to be decoded"), Code::OutOfRange);
    let request = CreateExecutionRequest { display_name: "\u{0}\u{1b}[2J\u{202e}".into(), ..creation("odd") };
    client.create_execution(request).await.expect("a text may hold any character");
    is_well(&client, 2).await;
}

/// A field with a length and this content.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut field);
    field.extend(content);
    field
}

#[tokio::test]
async fn what_is_small_on_the_wire_and_huge_in_memory_is_refused_before_it_is_decoded() {
    let daemon = Daemon::start();
    let client = daemon.client();
    client.clone().create_execution(creation("one")).await.expect("new");
    // Lists of empty entries of two bytes each: events, messages, tool calls of a message, to-dos, labels.
    let entries = |number: u8| [number << 3 | 2, 0].repeat(7 << 20);
    let status = |content: &[u8]| [field(1, b"one"), field(2, content)].concat();
    let commands = "/ai.stigmer.agentic.agentexecution.v1.AgentExecutionCommandController/";
    for (path, message) in [
        (format!("{LOG_SERVICE}Append"), [field(1, b"one"), entries(2)].concat()),
        (format!("{LOG_SERVICE}AppendStream"), [field(1, b"one"), entries(2)].concat()),
        (format!("{LOG_SERVICE}CreateExecution"), [field(1, b"two"), entries(5)].concat()),
        (format!("{LOG_SERVICE}ListExecutions"), entries(5)),
        (format!("{LOG_SERVICE}WatchAll"), entries(5)),
        (format!("{commands}updateStatus"), status(&entries(1))),
        (format!("{commands}updateStatus"), status(&field(1, &entries(4)))),
        (format!("{commands}updateStatus"), status(&entries(9))),
    ] {
        let length = u32::try_from(message.len()).expect("below 16 MiB");
        let answer = call(daemon.channel(), &path, frame(0, length, &message)).await;
        let refusal = refusal(answer, Code::InvalidArgument, "BATCH_TOO_LARGE");
        assert!(refusal.number("actual") > refusal.number("limit"), "{path}");
    }
    assert!(daemon.peak_bytes() < MEMORY_MAX, "{} bytes", daemon.peak_bytes());
    is_well(&client, 2).await;
}

/// Everything the daemon says on a connection that sends these bytes and nothing more, until it closes.
fn answer_to(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("it can be set");
    // The daemon may have closed the connection before it has read all of it.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
        {
            panic!("the connection is kept open")
        }
        // Closed with a reset: something that was sent has not been read.
        Ok(_) | Err(_) => answer,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_and_plain_http_1_on_the_port_are_answered_or_cut_off_and_nobody_else_notices() {
    let daemon = Daemon::start();
    let client = daemon.client();
    client.clone().create_execution(creation("one")).await.expect("new");
    let noise: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let preface = super::wire::preface();
    for bytes in [
        &noise[..],
        b"\0",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        &[&preface[..], &noise].concat(),
        &vec![b'A'; 1 << 20],
    ] {
        let sent = bytes.len();
        let (addr, bytes) = (daemon.addr(), bytes.to_vec());
        let answer = tokio::task::spawn_blocking(move || answer_to(addr, &bytes)).await.expect("no panic");
        assert!(answer.len() < 10_000, "{} bytes for {sent}", answer.len());
    }
    let get = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let addr = daemon.addr();
    let answer = tokio::task::spawn_blocking(move || answer_to(addr, get)).await.expect("no panic");
    assert!(answer.starts_with(b"HTTP/1.1 "), "{:?}", String::from_utf8_lossy(&answer));
    is_well(&client, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing_or_half_a_word_do_not_hold_the_stop_up_for_more_than_5_s() {
    let mut daemon = Daemon::start();
    let client = daemon.client();
    client.clone().create_execution(creation("one")).await.expect("new");
    let preface = super::wire::preface();
    let mut held = Vec::new();
    for said in [&b""[..], b"P", b"PRI * HT", b"GET / HT", &preface[..20], &preface] {
        let mut stream = TcpStream::connect(daemon.addr()).expect("it listens");
        stream.write_all(said).expect("it is read");
        held.push(stream);
    }
    // The daemon has accepted them all once it has answered one that came later.
    is_well(&daemon.client(), 2).await;
    let (status, took) = daemon.terminate();
    assert!(status.success() && took < Duration::from_secs(5), "{status} after {took:?}");
    println!("stopped in {took:?}");
    drop(held);
}

//! The spool in memory, on disk, full, kept and refused.

use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use futures_util::FutureExt;

use super::super::spool_file::SpoolReader;
use super::*;
use crate::proto::v1::Output;
use crate::proto::v1::event::Body;

const PIECE: usize = 100 << 10;
/// The number of the event that ends a run.
const LAST: usize = usize::MAX;

fn spool_in(directory: &tempfile::TempDir) -> Spool {
    let create = CreateExecutionRequest { execution_id: "e1".to_owned(), ..Default::default() };
    let producer = Producer { id: "p".to_owned(), epoch: 1, seq: 0 };
    Spool::new(create, producer, directory.path().join("spool"))
}

fn piece(number: usize) -> Event {
    let mut data = number.to_le_bytes().to_vec();
    data.resize(PIECE, b'x');
    Event {
        body: Some(Body::Output(Output { data: Bytes::from(data), ..Output::default() })),
        ..Event::default()
    }
}

fn number_of(event: &Event) -> usize {
    let Some(Body::Output(output)) = &event.body else { panic!("an output") };
    usize::from_le_bytes(output.data[..size_of::<usize>()].try_into().expect("a number"))
}

/// Takes everything and checks that the numbers of batches and events have no hole.
async fn drain(spool: &Spool, mut seq: u64, mut number: usize) -> usize {
    spool.close(piece(LAST));
    while let Some(batch) = spool.next().await.expect("readable") {
        assert_eq!(batch.producer.as_ref().expect("a producer").seq, seq);
        seq += 1;
        for event in &batch.events {
            if number_of(event) == LAST {
                return number;
            }
            assert_eq!(number_of(event), number);
            number += 1;
        }
    }
    panic!("the last event is missing")
}

#[tokio::test]
async fn what_does_not_fit_the_memory_goes_to_a_private_file_and_comes_out_in_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let spool = spool_in(&directory);
    for number in 0..100 {
        spool.push(piece(number)).await;
    }
    let file = std::fs::read_dir(directory.path().join("spool")).expect("readable").next().expect("a file");
    let mode = file.expect("readable").metadata().expect("readable").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(spool.state().fresh_bytes <= SPOOL_MEMORY_BYTES_MAX);

    let first = spool.next().await.expect("readable").expect("a batch");
    for number in 100..130 {
        spool.push(piece(number)).await;
    }
    let number = drain(&spool, 1, first.events.len()).await;
    assert_eq!(number, 130);
}

#[tokio::test]
async fn a_full_spool_makes_the_pipe_wait_until_something_was_taken() {
    let directory = tempfile::tempdir().expect("a directory");
    let spool = Spool { file_bytes_max: 4 << 20, ..spool_in(&directory) };
    let mut pushed = 0;
    // Nothing in a push waits but for room.
    while spool.push(piece(pushed)).now_or_never().is_some() {
        pushed += 1;
        assert!(pushed < 100, "the spool has no bound");
    }
    let written = spool.state().file.as_ref().expect("it overflowed").written;
    assert!((3 << 20..=4 << 20).contains(&written), "{written} bytes");

    let waiting = spool.push(piece(pushed));
    tokio::pin!(waiting);
    assert!(waiting.as_mut().now_or_never().is_none(), "it is full");
    let first = spool.next().await.expect("readable").expect("a batch");
    // Taking from the file makes no room in it before all of it was taken; the memory has room then.
    while waiting.as_mut().now_or_never().is_none() {
        assert!(spool.next().await.expect("readable").is_some(), "it is empty, and the pipe still waits");
    }
    assert_eq!(number_of(&first.events[0]), 0);
}

#[tokio::test]
async fn when_the_delivery_was_given_up_what_is_left_in_the_pipes_is_taken_in() {
    let directory = tempfile::tempdir().expect("a directory");
    let spool = Spool { file_bytes_max: 2 << 20, ..spool_in(&directory) };
    let mut pushed = 0;
    while spool.push(piece(pushed)).now_or_never().is_some() {
        pushed += 1;
    }
    spool.unbound();
    spool.push(piece(pushed)).await;
    assert_eq!(drain(&spool, 0, 0).await, pushed + 1);
}

/// Reads a kept spool and checks that it has no hole. How many batches and how many events it has.
fn read_kept(path: &std::path::Path) -> (u64, usize) {
    let mut kept = SpoolReader::open(path).expect("a spool");
    let (mut seq, mut number) = (0, 0);
    while let Some(batch) = kept.next().expect("readable") {
        assert_eq!(batch.producer.expect("a producer").seq, seq);
        seq += 1;
        for event in &batch.events {
            assert_eq!(number_of(event), number);
            number += 1;
        }
    }
    assert!(!kept.is_torn());
    (seq, number)
}

#[tokio::test]
async fn what_is_kept_begins_with_what_was_on_its_way_and_is_the_one_file_there_is() {
    // Taken from memory before the file was made, and taken from the file.
    for in_memory in [5, 40] {
        let directory = tempfile::tempdir().expect("a directory");
        let spool = spool_in(&directory);
        for number in 0..in_memory {
            spool.push(piece(number)).await;
        }
        let _ = spool.next().await.expect("readable").expect("a batch");
        for number in in_memory..60 {
            spool.push(piece(number)).await;
        }
        let kept = spool.keep().expect("kept");
        assert!(kept.failed.is_none());
        drop(spool);
        assert_eq!(std::fs::metadata(&kept.path).expect("it stays").permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path().join("spool")).expect("readable").count(), 1);
        assert_eq!(read_kept(&kept.path).1, 60);
    }
}

#[tokio::test]
async fn the_last_batch_of_the_file_is_kept_while_it_is_on_its_way() {
    let directory = tempfile::tempdir().expect("a directory");
    let spool = spool_in(&directory);
    for number in 0..40 {
        spool.push(piece(number)).await;
    }
    while spool.state().file.as_ref().is_some_and(|file| file.read_at < file.written) {
        assert!(spool.next().await.expect("readable").is_some());
    }
    let kept = spool.keep().expect("kept");
    assert_eq!(read_kept(&kept.path).1, 40);
}

#[tokio::test]
async fn a_disk_that_takes_no_more_costs_nothing_that_is_on_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let spool = spool_in(&directory);
    for number in 0..40 {
        spool.push(piece(number)).await;
    }
    let _ = spool.next().await.expect("readable").expect("a batch");
    let in_memory = {
        let mut state = spool.state();
        let file = &mut state.file.as_mut().expect("it overflowed").file;
        // A handle that cannot write fails each write as a full disk does.
        *file.as_file_mut() = std::fs::File::open(file.path()).expect("readable");
        state.fresh.len()
    };
    assert!(in_memory > 0, "there is something that does not fit");
    let kept = spool.keep().expect("what is on disk is kept");
    assert!(kept.failed.is_some(), "the rest is missing, and that is said");
    drop(spool);
    assert_eq!(read_kept(&kept.path).1, 40 - in_memory);
}

#[tokio::test]
async fn a_refused_spool_lets_the_program_go_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let spool = Spool { file_bytes_max: 1 << 20, ..spool_in(&directory) };
    spool.push(piece(0)).await;
    spool.refuse();
    for number in 0..100 {
        spool.push(piece(number)).await;
    }
    assert!(spool.next().await.expect("nothing").is_none());
}

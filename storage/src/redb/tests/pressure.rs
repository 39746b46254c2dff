//! More to write than can be sealed: the writer slows down, stops, and goes on.

use super::support::{Fixture, request, wait_until};
use crate::test_util::Faults;
use crate::{EventStore, WriteError};

#[tokio::test]
async fn when_nothing_can_be_sealed_writes_stop_at_the_bound_and_go_on_when_there_is_room() {
    let faults = Faults::new();
    let fixture = Fixture::with(|options| options.on_disk(&faults).seal_at(16 << 10, 16 << 10));
    fixture.create("a").await;
    // The archive's disk is full and its ballast cannot be made again; the journal's has room.
    faults.script("archive write enospc times=1\narchive_ballast allocate enospc").expect("parses");
    let long = "x".repeat(4_000);
    let mut written = 1;
    let refused = loop {
        match fixture.try_append(request("a", &[&long])).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1_000, "writes never stop");
    };
    assert_eq!(refused, WriteError::DiskFull);
    let unsealed = fixture.store.stats().unsealed_bytes;
    assert!((128 << 10..160 << 10).contains(&unsealed), "{unsealed}");
    assert_eq!(fixture.all("a", 100).await.len(), written, "reads go on");
    faults.script("").expect("parses");
    wait_until("sealing goes on", || fixture.store.stats().unsealed_bytes < 16 << 10);
    fixture.append("a", &["after"]).await;
    assert_eq!(fixture.all("a", 100).await.len(), written + 1);
}

#[tokio::test]
async fn everything_that_was_acknowledged_under_pressure_is_there_after_a_restart() {
    let fixture = Fixture::with(|options| options.seal_at(8 << 10, 4 << 10));
    fixture.create("a").await;
    let long = "x".repeat(1_000);
    for number in 0..200 {
        fixture.append("a", &[&format!("{number}-{long}")]).await;
        let unsealed = fixture.store.stats().unsealed_bytes;
        assert!(unsealed < 72 << 10, "{unsealed}");
    }
    let fixture = fixture.reopen().await;
    let events = fixture.all("a", 50).await;
    assert_eq!(events.len(), 201);
    for (number, event) in events[1..].iter().enumerate() {
        assert!(event.payload.starts_with(format!("{number}-").as_bytes()));
    }
}

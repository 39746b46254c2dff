//! One execution whose archived head is damaged: it is told, and nobody else is harmed by it.

use redb::{Database, TableDefinition};

use super::support::{Fixture, creation, id_of, request};
use crate::{EventStore, ListQuery, PageSize, ReadError, TrimRequest, WriteError};

const HEADS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("heads");
const CHUNKS: TableDefinition<'static, (u64, u64), &[u8]> = TableDefinition::new("chunks");

/// What can happen to a head.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// A byte of it is wrong.
    Value,
    /// A byte of its key is wrong: it cannot be found.
    Key,
}

const DAMAGES: [Damage; 2] = [Damage::Value, Damage::Key];

impl Damage {
    fn done_to(self, db: &Database, number: u64) {
        let txn = db.begin_write().expect("writes");
        {
            let mut heads = txn.open_table(HEADS).expect("is there");
            let mut value = heads.remove(number).expect("writes").expect("is there").value().to_vec();
            let key = match self {
                Self::Value => number,
                Self::Key => number ^ 1 << 20,
            };
            if matches!(self, Self::Value) {
                value[20] ^= 1;
            }
            heads.insert(key, value.as_slice()).expect("writes");
        }
        txn.commit().expect("commits");
    }
}

fn damage_head(fixture: &Fixture, damage: Damage, number: u64) {
    let damaged = fixture.store.shared.with_files(|files| {
        damage.done_to(files.archive.database(), number);
        Ok(())
    });
    damaged.expect("the store is open");
}

/// The first seq of each chunk of an execution.
fn chunks(fixture: &Fixture, number: u64) -> Vec<u64> {
    use redb::ReadableDatabase;
    let seqs = fixture.store.shared.with_files(|files| {
        let chunks = files.archive.database().begin_read()?.open_table(CHUNKS)?;
        let rows = chunks.range((number, 0)..=(number, u64::MAX))?;
        Ok(rows.map(|row| row.expect("reads").0.value().1).collect())
    });
    seqs.expect("the store is open")
}

/// "bad" and "good" with a sealed event each and an unsealed one, and the damaged head of "bad".
async fn damaged(damage: Damage) -> (Fixture, u64) {
    let fixture = Fixture::new();
    let number = fixture.create("bad").await.number;
    fixture.create("good").await;
    assert!(fixture.store.seal_now());
    damage_head(&fixture, damage, number);
    // Taken, because the head is in memory and sound there.
    fixture.append("bad", &["kept"]).await;
    fixture.append("good", &["two"]).await;
    (fixture, number)
}

fn is_damage_of_bad(error: &ReadError) -> bool {
    matches!(error, ReadError::Corrupt { execution, .. } if *execution == Some(id_of("bad")))
}

async fn check_bad_is_told(fixture: &Fixture) {
    let (store, bad) = (&fixture.store, id_of("bad"));
    for error in [
        store.head(&bad).await.map(|_| ()).expect_err("nothing can be said of it"),
        store.read(&bad, 0, PageSize::default()).await.map(|_| ()).expect_err("nor read"),
        store.base(&bad).await.map(|_| ()).expect_err("nor this"),
    ] {
        assert!(is_damage_of_bad(&error), "{error}");
    }
    let trim = TrimRequest { execution: bad.clone(), floor_seq: 2, base: None };
    for error in [
        fixture.try_append(request("bad", &["x"])).await.map(|_| ()).expect_err("nothing is written to it"),
        store.create(creation("bad", &[])).await.map(|_| ()).expect_err("the id is taken"),
        store.trim(trim).await.map(|_| ()).expect_err("it cannot be trimmed"),
        store.delete(&bad).await.expect_err("nor deleted"),
    ] {
        assert!(matches!(&error, WriteError::Read(error) if is_damage_of_bad(error)), "{error}");
    }
}

/// Everything of "good" before the first event of "bad" is handed out, then the damage is told.
async fn check_all_is_told(fixture: &Fixture, after: u64) {
    let mut after = after;
    let error = loop {
        match fixture.store.read_all(after, PageSize::default()).await {
            Ok(page) if page.through < page.tail_position => after = page.through,
            Ok(page) => panic!("what is damaged was left out: {page:?}"),
            Err(error) => break error,
        }
    };
    assert!(is_damage_of_bad(&error), "{error}");
}

/// Sealing once stopped for ever at such a head, and with it all writes; and the store did not open.
#[tokio::test]
async fn a_damaged_head_stops_neither_sealing_nor_others() {
    for damage in DAMAGES {
        let (fixture, number) = damaged(damage).await;
        assert!(fixture.store.seal_now(), "{damage:?}");
        assert_eq!(fixture.store.stats().unsealed_bytes, 0);
        assert_eq!(chunks(&fixture, number), [1, 2], "what was acknowledged is kept");
        check_bad_is_told(&fixture).await;
        check_all_is_told(&fixture, 2).await;
        fixture.append("good", &["three"]).await;
        assert_eq!(fixture.payloads("good").await, ["created", "two", "three"]);
        let fixture = fixture.reopen().await;
        check_bad_is_told(&fixture).await;
        assert_eq!(fixture.payloads("good").await, ["created", "two", "three"]);
        assert!(fixture.store.seal_now());
    }
}

#[tokio::test]
async fn a_store_with_a_damaged_head_opens_and_keeps_what_is_new_of_that_execution() {
    for damage in DAMAGES {
        let (fixture, number) = damaged(damage).await;
        fixture.append("good", &["three"]).await;
        let fixture = fixture.reopen().await;
        check_bad_is_told(&fixture).await;
        check_all_is_told(&fixture, 2).await;
        assert_eq!(fixture.payloads("good").await, ["created", "two", "three"], "{damage:?}");
        fixture.append("good", &["four"]).await;
        assert!(fixture.store.seal_now());
        assert_eq!(chunks(&fixture, number), [1, 2], "what was acknowledged is kept");
        check_bad_is_told(&fixture).await;
        check_all_is_told(&fixture, 2).await;
        assert_eq!(fixture.payloads("good").await, ["created", "two", "three", "four"]);
    }
}

/// What was acknowledged of such an execution besides events is not done, because nothing of it is touched.
#[tokio::test]
async fn a_trim_and_a_deletion_of_a_damaged_execution_do_not_stop_sealing_either() {
    for reopened in [false, true] {
        let (mut fixture, number) = damaged(Damage::Value).await;
        let base = Some(bytes::Bytes::from_static(b"base"));
        let trim = TrimRequest { execution: id_of("bad"), floor_seq: 3, base };
        // What lies below the floor is counted by reading it, and that is damaged.
        assert!(fixture.store.trim(trim).await.is_err());
        fixture.store.delete(&id_of("bad")).await.expect("its head is in memory");
        if reopened {
            fixture = fixture.reopen().await;
        }
        assert!(fixture.store.seal_now());
        assert_eq!(chunks(&fixture, number), [1, 2]);
        check_bad_is_told(&fixture).await;
        assert_eq!(fixture.payloads("good").await, ["created", "two"]);
        fixture.store.close().await;
    }
}

/// A list looks at every head that may be in it, and must not leave one out that it cannot read.
#[tokio::test]
async fn a_list_that_meets_a_damaged_head_says_so() {
    let (fixture, _) = damaged(Damage::Value).await;
    assert!(fixture.store.seal_now());
    let listed = fixture.store.list(ListQuery { heads_max: 10, ..ListQuery::default() }).await;
    assert!(matches!(listed, Err(ReadError::Corrupt { .. })), "{listed:?}");
}

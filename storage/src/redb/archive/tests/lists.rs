//! Listing among many executions.

use std::collections::BTreeMap;

use super::super::Archive;
use super::bulk::Bulk;
use super::checks::list_to_end;
use super::support::new_archive;
use crate::limits::GENERATION_BYTES_MAX;
use crate::{ListQuery, Phase};

const EXECUTIONS: u64 = 100_000;

fn many() -> Archive {
    let (_, archive) = new_archive();
    let mut bulk = Bulk::new(EXECUTIONS, vec![bytes::Bytes::from_static(b"x")]);
    while archive.meta().executions < EXECUTIONS {
        archive.seal(&bulk.next(GENERATION_BYTES_MAX / 4), &|| Ok(())).expect("sound");
    }
    archive
}

fn labels(keys: &[&str]) -> BTreeMap<String, String> {
    keys.iter().map(|key| ((*key).to_owned(), "yes".to_owned())).collect()
}

#[test]
fn among_a_hundred_thousand_executions_every_filter_finds_exactly_its_own() {
    let archive = many();
    let session_id = Some("session-777".to_owned());
    let of_session = ListQuery { session_id: session_id.clone(), ..ListQuery::default() };
    assert_eq!(list_to_end(&archive, of_session), (7_770..7_780).rev().collect::<Vec<u64>>());
    let phase = Some(Phase::InProgress);
    let all_at_once =
        ListQuery { session_id, phase, labels: labels(&["all", "even"]), ..ListQuery::default() };
    assert_eq!(list_to_end(&archive, all_at_once), [7_778, 7_776, 7_774, 7_772, 7_770]);
    let query = ListQuery { heads_max: 50, before_number: Some(60_001), phase, ..ListQuery::default() };
    let page = archive.list_candidates(&query).expect("sound");
    let numbers: Vec<u64> = page.heads.iter().map(|head| head.number).collect();
    assert_eq!(numbers, (59_902..=60_000).rev().step_by(2).collect::<Vec<u64>>());
    assert_eq!(page.examined_through, 59_902);

    // No execution is even and odd: each page looks at so many and then says how far it came.
    let neither = ListQuery { labels: labels(&["even", "odd"]), heads_max: 50, ..ListQuery::default() };
    let page = archive.list_candidates(&neither).expect("sound");
    assert!(page.heads.is_empty());
    assert!((EXECUTIONS - 10_001..EXECUTIONS).contains(&page.examined_through), "{}", page.examined_through);
    assert!(list_to_end(&archive, neither).is_empty());
}

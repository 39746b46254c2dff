//! Lists of executions: filters, pages, tokens.

use std::collections::{BTreeMap, BTreeSet};

use tapeline::proto::v1::{
    CreateExecutionRequest, DeleteExecutionRequest, Execution, ListExecutionsRequest, ListExecutionsResponse,
    Phase,
};

use super::refusal::invalid_field;
use super::support::append::{batch, creation, phase};
use super::support::daemon::{Client, Daemon};

async fn page(client: &Client, request: ListExecutionsRequest) -> ListExecutionsResponse {
    client.clone().list_executions(request).await.expect("it is fine").into_inner()
}

fn ids(executions: &[Execution]) -> Vec<&str> {
    executions.iter().map(|execution| execution.id.as_str()).collect()
}

#[tokio::test]
async fn a_list_is_newest_first_and_shows_what_matches_all_of_its_filters() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    for (id, session, pairs) in [
        ("a", "s1", &[("team", "x")][..]),
        ("b", "s1", &[("team", "y"), ("env", "prod")]),
        ("c", "s2", &[("team", "x"), ("env", "prod")]),
        ("d", "s2", &[]),
    ] {
        let request =
            CreateExecutionRequest { session_id: session.into(), labels: labels(pairs), ..creation(id) };
        client.create_execution(request).await.expect("new");
    }
    client.append(batch("b", vec![phase(Phase::InProgress)])).await.expect("fine");
    client.append(batch("c", vec![phase(Phase::Completed)])).await.expect("fine");
    let asked = ListExecutionsRequest::default;
    for (request, expected) in [
        (asked(), vec!["d", "c", "b", "a"]),
        (ListExecutionsRequest { session_id: "s1".into(), ..asked() }, vec!["b", "a"]),
        (ListExecutionsRequest { phase: Phase::Completed.into(), ..asked() }, vec!["c"]),
        (ListExecutionsRequest { phase: Phase::Pending.into(), ..asked() }, vec!["d", "a"]),
        (ListExecutionsRequest { labels: labels(&[("team", "x")]), ..asked() }, vec!["c", "a"]),
        (ListExecutionsRequest { labels: labels(&[("team", "x"), ("env", "prod")]), ..asked() }, vec!["c"]),
        (ListExecutionsRequest { labels: labels(&[("team", "z")]), ..asked() }, vec![]),
    ] {
        let listed = page(&client, request.clone()).await;
        assert_eq!(ids(&listed.executions), expected, "{request:?}");
        assert_eq!(listed.next_page_token, "", "{request:?}");
    }
}

#[tokio::test]
async fn a_filter_that_no_execution_can_match_is_refused_before_anything_is_looked_up() {
    let daemon = Daemon::start();
    let labels = |count: usize, key: usize, value: usize| -> BTreeMap<String, String> {
        (0..count).map(|n| (format!("{n:0key$}"), "v".repeat(value))).collect()
    };
    for (labels, field) in
        [(labels(33, 2, 1), "labels"), (labels(1, 64, 1), "labels.key"), (labels(1, 1, 257), "labels.value")]
    {
        let request = ListExecutionsRequest { labels, ..Default::default() };
        assert_eq!(invalid_field(daemon.client().list_executions(request).await), field);
    }
}

#[tokio::test]
async fn what_is_there_all_the_while_appears_once_in_the_pages_whatever_else_comes_and_goes() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    for number in 0..25 {
        client.create_execution(creation(&format!("old-{number}"))).await.expect("new");
    }
    let (mut seen, mut token, mut round) = (Vec::new(), String::new(), 0);
    loop {
        let request = ListExecutionsRequest { page_size: 4, page_token: token, ..Default::default() };
        let listed = page(&client, request).await;
        assert!(listed.executions.len() <= 4);
        seen.extend(listed.executions.into_iter().map(|execution| execution.id));
        if listed.next_page_token.is_empty() {
            break;
        }
        token = listed.next_page_token;
        client.create_execution(creation(&format!("new-{round}"))).await.expect("new");
        if round == 1 {
            let execution_id = "old-3".to_owned();
            client.delete_execution(DeleteExecutionRequest { execution_id }).await.expect("it is there");
        }
        round += 1;
    }
    let distinct: BTreeSet<&String> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len(), "twice: {seen:?}");
    let expected: Vec<String> =
        (0..25).rev().filter(|number| *number != 3).map(|number| format!("old-{number}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_token_or_a_size_that_cannot_be_meant_is_refused() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    for number in 0..3 {
        client.create_execution(creation(&format!("e{number}"))).await.expect("new");
    }
    let asked = ListExecutionsRequest { page_size: 1, ..Default::default() };
    let page_token = page(&client, asked.clone()).await.next_page_token;
    for request in [
        ListExecutionsRequest { page_token: "not a token".into(), ..asked.clone() },
        ListExecutionsRequest { page_token: page_token[1..].into(), ..asked.clone() },
        ListExecutionsRequest { page_token: page_token.clone(), session_id: "s".into(), ..asked.clone() },
    ] {
        assert_eq!(invalid_field(client.list_executions(request).await), "page_token");
    }
    let request = ListExecutionsRequest { page_size: -1, ..asked.clone() };
    assert_eq!(invalid_field(client.list_executions(request).await), "page_size");
    let request = ListExecutionsRequest { phase: 77, ..asked.clone() };
    assert_eq!(invalid_field(client.list_executions(request).await), "phase");
    let listed = page(&client, ListExecutionsRequest { page_token, ..asked }).await;
    assert_eq!(ids(&listed.executions), ["e1"]);
}

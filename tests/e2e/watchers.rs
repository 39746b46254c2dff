//! Lists of watchers: pages, tokens, and that none is too long for a client.

use std::collections::BTreeSet;

use prost::Message;
use tapeline::limits::CLIENT_REPLY_BYTES_MAX;
use tapeline::proto::v1::{ListWatchersRequest, ListWatchersResponse};

use super::refusal::invalid_field;
use super::stream::{Watch, watching};
use super::support::append::creation;
use super::support::daemon::{AdminClient, Daemon};

/// Very many, and the longest name there is.
const WATCHERS: usize = 2_000;

async fn page(admin: &AdminClient, request: ListWatchersRequest) -> ListWatchersResponse {
    admin.clone().list_watchers(request).await.expect("it is fine").into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_watchers_are_listed_at_once_or_page_by_page() {
    let daemon = Daemon::start();
    let (client, admin, id) = (daemon.client(), daemon.admin(), "x".repeat(128));
    client.clone().create_execution(creation(&id)).await.expect("new");
    let mut watches = Vec::new();
    for _ in 0..WATCHERS {
        watches.push(Watch::open(&client, watching(&id)).await.expect("there is room"));
    }
    let all = page(&admin, ListWatchersRequest::default()).await;
    assert_eq!((all.watchers.len(), all.next_page_token.as_str()), (WATCHERS, ""));
    assert!(all.encoded_len() < CLIENT_REPLY_BYTES_MAX / 4, "{}", all.encoded_len());

    let mut request = ListWatchersRequest { execution_id: id, page_size: 300, ..Default::default() };
    let (mut seen, mut pages) = (Vec::new(), 0);
    loop {
        let listed = page(&admin, request.clone()).await;
        assert!(listed.watchers.len() <= 300);
        seen.extend(listed.watchers.into_iter().map(|watcher| watcher.id));
        pages += 1;
        if pages == 1 {
            // Who leaves or comes in between moves nobody else from one page to another.
            watches.pop();
            watches.push(Watch::open(&client, watching(&request.execution_id)).await.expect("there is room"));
        }
        if listed.next_page_token.is_empty() {
            break;
        }
        request.page_token = listed.next_page_token;
    }
    assert_eq!(pages, 7);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len(), "somebody is listed twice");
    let stayed: BTreeSet<&String> =
        all.watchers.iter().take(WATCHERS - 1).map(|watcher| &watcher.id).collect();
    assert!(stayed.is_subset(&seen.iter().collect()), "somebody who stayed is missing");
}

#[tokio::test]
async fn a_token_or_a_size_of_a_list_of_watchers_that_cannot_be_meant_is_refused() {
    let daemon = Daemon::start();
    let (client, admin) = (daemon.client(), daemon.admin());
    client.clone().create_execution(creation("one")).await.expect("new");
    let mut watches = Vec::new();
    for _ in 0..2 {
        watches.push(Watch::open(&client, watching("one")).await.expect("there is room"));
    }
    let asked = ListWatchersRequest { page_size: 1, ..Default::default() };
    let page_token = page(&admin, asked.clone()).await.next_page_token;
    assert!(!page_token.is_empty());
    for request in [
        ListWatchersRequest { page_token: "not a token".into(), ..asked.clone() },
        ListWatchersRequest { page_token: page_token.clone(), execution_id: "one".into(), ..asked.clone() },
    ] {
        assert_eq!(invalid_field(admin.clone().list_watchers(request).await), "page_token");
    }
    let request = ListWatchersRequest { page_size: -1, ..asked };
    assert_eq!(invalid_field(admin.clone().list_watchers(request).await), "page_size");
}

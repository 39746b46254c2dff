//! `AdminService`: figures, watchers, trims. For the people who run the daemon.

use std::sync::Arc;
use std::time::Instant;

use tapeline_storage::EventStore;
use tonic::{Request, Response, Status};

use super::log_service::parse_id;
use super::page_token::{Scope, page_size};
use super::status::of_append;
use crate::append::Appender;
use crate::execution::time::timestamp;
use crate::limits::WATCHERS_PAGE_MAX;
use crate::proto::v1 as wire;
use crate::proto::v1::admin_service_server::AdminService;
use crate::watch::{WatcherInfo, WatcherState, Watches};

/// The operator's API.
pub struct Admin {
    store: Arc<dyn EventStore>,
    appender: Appender,
    watches: Watches,
    started: Instant,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("started", &self.started).finish_non_exhaustive()
    }
}

impl Admin {
    /// The service of a daemon that starts now.
    pub fn new(store: Arc<dyn EventStore>, appender: Appender, watches: Watches) -> Self {
        Self { store, appender, watches, started: Instant::now() }
    }
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn get_stats(
        &self,
        _request: Request<wire::GetStatsRequest>,
    ) -> Result<Response<wire::GetStatsResponse>, Status> {
        let stats = self.store.stats();
        Ok(Response::new(wire::GetStatsResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            store_id: self.store.store_id().to_string(),
            uptime: prost_types::Duration::try_from(self.started.elapsed()).ok(),
            executions: Some(stats.executions),
            tail_position: stats.tail_position,
            unsealed_bytes: stats.unsealed_bytes,
            journal_used_bytes: stats.journal_bytes,
            archive_used_bytes: stats.archive_bytes,
            watchers: self.watches.count() as u64,
            queued_requests: stats.queued_requests,
            commits: stats.commits,
            disk_full: stats.disk_full,
        }))
    }

    async fn list_watchers(
        &self,
        request: Request<wire::ListWatchersRequest>,
    ) -> Result<Response<wire::ListWatchersResponse>, Status> {
        let wire::ListWatchersRequest { execution_id, page_size: said, page_token } = request.into_inner();
        let execution = match execution_id.as_str() {
            "" => None,
            id => Some(parse_id(id)?),
        };
        let watchers_max = page_size(said, WATCHERS_PAGE_MAX, WATCHERS_PAGE_MAX)?;
        let scope = Scope::of_watchers(execution.as_ref());
        let after = scope.decode(&page_token)?.unwrap_or(0);
        // One more than fits says whether there is a next page.
        let mut listed = self.watches.list(execution.as_ref(), after, watchers_max + 1);
        let more = listed.len() > watchers_max;
        listed.truncate(watchers_max);
        let next_page_token = match listed.last() {
            Some(last) if more => scope.encode(last.number),
            _ => String::new(),
        };
        let watchers = listed.iter().map(watcher).collect();
        Ok(Response::new(wire::ListWatchersResponse { watchers, next_page_token }))
    }

    async fn trim_execution(
        &self,
        request: Request<wire::TrimExecutionRequest>,
    ) -> Result<Response<wire::TrimExecutionResponse>, Status> {
        let wire::TrimExecutionRequest { execution_id, floor_seq } = request.into_inner();
        let floor_seq = self.appender.trim(&execution_id, floor_seq).await.map_err(of_append)?;
        Ok(Response::new(wire::TrimExecutionResponse { floor_seq }))
    }
}

fn watcher(info: &WatcherInfo) -> wire::Watcher {
    let state = match info.state {
        WatcherState::Replaying => wire::watcher::State::Replaying,
        WatcherState::Live => wire::watcher::State::Live,
        WatcherState::FellBehind => wire::watcher::State::FellBehind,
    };
    wire::Watcher {
        id: info.id.clone(),
        peer: info.peer.map_or_else(String::new, |peer| peer.to_string()),
        execution_id: info.execution.as_ref().map_or_else(String::new, ToString::to_string),
        cursor_seq: info.cursor,
        lag_events: info.lag_events,
        state: state.into(),
        since: Some(timestamp(info.since_ns)),
        last_progress: Some(timestamp(info.last_progress_ns)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use prost::Message;
    use tapeline_storage::ExecutionId;

    use super::*;
    use crate::limits::{CLIENT_REPLY_BYTES_MAX, WATCHER_BYTES_MAX};

    /// The longest that there can be.
    fn longest() -> WatcherInfo {
        let peer = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535";
        WatcherInfo {
            number: u64::MAX,
            id: format!("w-{}", u64::MAX),
            peer: Some(peer.parse::<SocketAddr>().expect("an address")),
            execution: Some(ExecutionId::parse(&"x".repeat(128)).expect("an id")),
            cursor: u64::MAX,
            lag_events: u64::MAX,
            state: WatcherState::FellBehind,
            since_ns: u64::MAX,
            last_progress_ns: u64::MAX,
        }
    }

    #[test]
    fn a_full_page_of_watchers_fits_what_a_client_takes_by_default() {
        let one = watcher(&longest());
        // A tag and a length come before each of them.
        assert!(one.encoded_len() + 3 <= WATCHER_BYTES_MAX, "{}", one.encoded_len());
        let page = wire::ListWatchersResponse {
            watchers: vec![one; WATCHERS_PAGE_MAX],
            next_page_token: "x".repeat(64),
        };
        assert!(page.encoded_len() < CLIENT_REPLY_BYTES_MAX, "{}", page.encoded_len());
    }
}

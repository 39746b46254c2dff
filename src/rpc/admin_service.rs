//! `AdminService`: figures, watchers, trims. For the people who run the daemon.

use std::sync::Arc;
use std::time::Instant;

use tapeline_storage::EventStore;
use tonic::{Request, Response, Status};

use super::log_service::parse_id;
use super::status::of_append;
use crate::append::Appender;
use crate::execution::time::timestamp;
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
        let execution = match request.into_inner().execution_id.as_str() {
            "" => None,
            id => Some(parse_id(id)?),
        };
        let watchers = self.watches.list(execution.as_ref()).iter().map(watcher).collect();
        Ok(Response::new(wire::ListWatchersResponse { watchers }))
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

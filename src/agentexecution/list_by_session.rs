//! `listBySession`: pages of a session's executions.

use tapeline_storage::ListQuery;

use super::list::{ExecutionPage, Listing, parse_size};
use super::{CallError, Controller};
use crate::execution::invalid::Invalid;
use crate::proto::stigmer::agentexecution::ListAgentExecutionsBySessionRequest;

impl Controller {
    /// One page of a session's executions; secrets are left out.
    pub async fn list_by_session(
        &self,
        request: ListAgentExecutionsBySessionRequest,
    ) -> Result<ExecutionPage, CallError> {
        let ListAgentExecutionsBySessionRequest { session_id, page_size, page_token } = request;
        if session_id.is_empty() {
            return Err(Invalid::field("session_id", "must not be empty").into());
        }
        let query = ListQuery { session_id: Some(session_id), ..ListQuery::default() };
        self.page(Listing { query, tags: Vec::new(), page_size: parse_size(page_size)? }, &page_token).await
    }
}

//! `delete`: removes an execution for good and returns what it was. Its subscribers are told.

use super::{CallError, Controller, Fitted, reply};
use crate::append::parse_id;
use crate::proto::stigmer::agentexecution::AgentExecution;
use crate::proto::stigmer::apiresource::ApiResourceId;

impl Controller {
    /// Deletes an execution.
    pub async fn delete(&self, id: ApiResourceId) -> Result<Fitted<AgentExecution>, CallError> {
        let id = parse_id("value", &id.value)?;
        let state = self.states.current(&id).await?;
        self.appender.delete(id.as_str()).await?;
        Ok(reply(&state))
    }
}

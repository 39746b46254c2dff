//! `delete`: removes an execution for good and returns what it was. Its subscribers are told.

use super::state::Interest;
use super::{CallError, Controller, Fitted};
use crate::append::parse_id;
use crate::proto::stigmer::agentexecution::AgentExecution;
use crate::proto::stigmer::apiresource::ApiResourceId;

impl Controller {
    /// Deletes an execution, also one whose state cannot be had: then the reply is what its head says.
    pub async fn delete(&self, id: ApiResourceId) -> Result<Fitted<AgentExecution>, CallError> {
        let id = parse_id("value", &id.value)?;
        let loaded = self.load(&id, Interest::Passing).await?;
        self.appender.delete(id.as_str()).await?;
        Ok(loaded.reply())
    }
}

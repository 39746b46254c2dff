//! `get`: one execution as it is now, its secrets included.

use super::{CallError, Controller, Fitted, fit, resource};
use crate::append::parse_id;
use crate::proto::stigmer::agentexecution::{AgentExecution, AgentExecutionId};

impl Controller {
    /// The state of an execution at its tail.
    pub async fn get(&self, id: AgentExecutionId) -> Result<Fitted<AgentExecution>, CallError> {
        let state = self.states.current(&parse_id("value", &id.value)?).await?;
        Ok(fit::one(resource::shown(&state)))
    }
}

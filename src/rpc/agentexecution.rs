//! Both controllers of the Stigmer contract on the wire. What they do is in `crate::agentexecution`.

use std::pin::Pin;

use futures_util::stream::{Stream, StreamExt};
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use super::codec::Frame;
use super::status::of_call;
use crate::agentexecution::{CallError, Controller, ExecutionPage, Fitted, TRUNCATED};
use crate::proto::stigmer::agentexecution as wire;
use crate::proto::stigmer::agentexecution::agent_execution_command_controller_server::AgentExecutionCommandController;
use crate::proto::stigmer::agentexecution::agent_execution_query_controller_server::AgentExecutionQueryController;
use crate::proto::stigmer::apiresource::ApiResourceId;

/// The token of the next page of a list, in the metadata: the reply has no place for it.
const NEXT_PAGE_TOKEN: &str = "tapeline-next-page-token";

#[tonic::async_trait]
impl AgentExecutionCommandController for Controller {
    async fn create(
        &self,
        request: Request<wire::AgentExecution>,
    ) -> Result<Response<wire::AgentExecution>, Status> {
        fitted(Controller::create(self, request.into_inner()).await)
    }

    async fn update(
        &self,
        request: Request<wire::AgentExecution>,
    ) -> Result<Response<wire::AgentExecution>, Status> {
        fitted(Controller::update(self, request.into_inner()).await)
    }

    async fn update_status(
        &self,
        request: Request<wire::AgentExecutionUpdateStatusInput>,
    ) -> Result<Response<wire::AgentExecution>, Status> {
        fitted(Controller::update_status(self, request.into_inner()).await)
    }

    async fn delete(
        &self,
        request: Request<ApiResourceId>,
    ) -> Result<Response<wire::AgentExecution>, Status> {
        fitted(Controller::delete(self, request.into_inner()).await)
    }
}

#[tonic::async_trait]
impl AgentExecutionQueryController for Controller {
    type subscribeStream = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

    async fn get(
        &self,
        request: Request<wire::AgentExecutionId>,
    ) -> Result<Response<wire::AgentExecution>, Status> {
        fitted(Controller::get(self, request.into_inner()).await)
    }

    async fn list(
        &self,
        request: Request<wire::ListAgentExecutionsRequest>,
    ) -> Result<Response<wire::AgentExecutionList>, Status> {
        page(Controller::list(self, request.into_inner()).await)
    }

    async fn list_by_session(
        &self,
        request: Request<wire::ListAgentExecutionsBySessionRequest>,
    ) -> Result<Response<wire::AgentExecutionList>, Status> {
        page(Controller::list_by_session(self, request.into_inner()).await)
    }

    async fn subscribe(
        &self,
        request: Request<wire::AgentExecutionId>,
    ) -> Result<Response<Self::subscribeStream>, Status> {
        let peer = request.remote_addr();
        let (states, handed) =
            Controller::subscribe(self, request.into_inner(), peer).await.map_err(of_call)?;
        let frames = states.map(|state| state.map(Frame).map_err(of_call));
        let mut response = Response::<Self::subscribeStream>::new(Box::pin(frames));
        // For `handed`, which sees what becomes of the bytes.
        response.extensions_mut().insert(handed);
        Ok(response)
    }
}

fn fitted<T>(answer: Result<Fitted<T>, CallError>) -> Result<Response<T>, Status> {
    let Fitted { reply, truncated } = answer.map_err(of_call)?;
    Ok(marked(Response::new(reply), truncated))
}

fn page(answer: Result<ExecutionPage, CallError>) -> Result<Response<wire::AgentExecutionList>, Status> {
    let ExecutionPage { entries, total_pages, next_page_token } = answer.map_err(of_call)?;
    let list = wire::AgentExecutionList { total_pages, entries: entries.reply };
    let mut response = marked(Response::new(list), entries.truncated);
    if let Some(token) = next_page_token.and_then(|token| MetadataValue::try_from(token).ok()) {
        response.metadata_mut().insert(NEXT_PAGE_TOKEN, token);
    }
    Ok(response)
}

fn marked<T>(mut response: Response<T>, truncated: bool) -> Response<T> {
    if truncated {
        response.metadata_mut().insert(TRUNCATED, MetadataValue::from_static("true"));
    }
    response
}

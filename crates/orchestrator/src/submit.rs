//! The edge: calls of clients and runners, parsed once; what comes out is the model's.

mod access;
mod activity;
mod approve;
mod common;
mod door;
mod download;
mod follow;
pub mod http;
mod lines;
mod overview;
mod pause;
mod pools;
mod problem;
mod refusal;
mod resolve;
mod secrets;
mod show;
mod start;
mod table;
mod upload;
mod validator;
mod work;

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt as _};
use qflow_blobs::Blobs;
use qflow_model::{access::Caller, definition::PythonVersion, ids::RunId, limits, status::RunStatus};
use qflow_proto::v1::{
    self,
    access_service_server::AccessServiceServer,
    orchestrator_service_server::{OrchestratorService, OrchestratorServiceServer},
};
use qflow_service::{Clock, Shutdown};
use qflow_telemetry::Telemetry;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, codec::CompressionEncoding::Zstd, service::Routes};

use crate::{
    bus::Bus,
    dispatch::Handle,
    logs::Logs,
    record::{self, Command, Filter, Store, access::Entry, cache::Scope},
    validate::Validator,
};

use common::{json, source, unsound};
pub use door::Doorkeeper;
use refusal::unavailable;
pub use validator::Remote;
pub use work::Work;

/// Who calls, as the edge found out.
fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(|| Status::unauthenticated("nobody has found out who calls"))
}

/// Whose what a caller makes is.
fn whose(caller: &Caller) -> Scope {
    Scope { tenant: caller.tenant.clone(), user: caller.user.clone() }
}

/// Bytes of what somebody says to an answer: a note, not a document.
const COMMENT_BYTES: usize = 4 * 1024;
/// Runs of a page where the caller does not say, and at most.
const PAGE: (u32, u32) = (50, 500);

/// What clients' calls stand on.
#[derive(Clone)]
pub struct Server {
    /// Where runs are kept.
    pub store: Arc<dyn Store>,
    /// Where large values are.
    pub blobs: Arc<Blobs>,
    /// Whether they can be had.
    pub answers: qflow_blobs::Answers,
    /// Live changes.
    pub bus: Arc<dyn Bus>,
    /// Lines of user code.
    pub logs: Logs,
    /// The one writer of runs.
    pub engine: Handle,
    /// Who judges sources.
    pub validator: Arc<dyn Validator>,
    /// The wall clock, for ids.
    pub clock: Arc<dyn Clock>,
    /// Versions of Python that may be planned for.
    pub pythons: Vec<PythonVersion>,
    /// The order to stop: streams end with it.
    pub shutdown: Shutdown,
    /// What tells of this process.
    pub telemetry: Telemetry,
}

/// Calls of runs, for whoever may make them.
fn calls(server: Server) -> Routes {
    // A client on another machine asks for it; what it sends has the same bound when it is unpacked.
    let service = OrchestratorServiceServer::new(server).accept_compressed(Zstd).send_compressed(Zstd);
    Routes::new(
        service.max_decoding_message_size(limits::MESSAGE_BYTES).max_encoding_message_size(limits::MESSAGE_BYTES),
    )
}

/// The routes for clients: by gRPC, and by HTTP.
pub fn client_routes(server: Server) -> Routes {
    let api = http::routes(server.clone());
    let access = AccessServiceServer::new(server.clone()).max_decoding_message_size(limits::MESSAGE_BYTES);
    Routes::from(calls(server).add_service(access).into_axum_router().merge(api))
}

/// The routes for services: calls of runs, and the runners'. None of them makes tokens.
pub fn service_routes(server: Server, telemetry: Telemetry, owner: String) -> Routes {
    let work = Work::new(server.clone(), telemetry, owner);
    let activity = activity::server(server.clone());
    calls(server).add_service(work::server(work)).add_service(activity)
}

/// How long a caller waits for that: a replica's shards move within `limits::SHARD_MOVES_MS` of its death.
pub(crate) const PATIENCE: Duration = Duration::from_secs(12);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl OrchestratorService for Server {
    type WatchRunStream = Answers<v1::WatchRunResponse>;
    type DownloadResultStream = Answers<v1::DownloadResultResponse>;
    type StreamLogsStream = Answers<v1::StreamLogsResponse>;

    async fn register_workflow(
        &self,
        request: Request<v1::RegisterWorkflowRequest>,
    ) -> Result<Response<v1::RegisterWorkflowResponse>, Status> {
        let caller = caller(&request)?;
        let sent = request.into_inner().source.ok_or_else(|| Status::invalid_argument("a source is needed"))?;
        let source = source(sent)?;
        let judged = self.judge(&source, "", None).await?;
        let digest = source.digest();
        if judged.is_sound()
            && let Some(definition) = &judged.definition
        {
            let names = definition.workflows.keys().cloned().collect();
            let asked = Entry::of(&caller, "workflow.register", digest.to_string());
            self.store.note(asked).await.map_err(|e| unavailable(&e))?;
            self.store.register(whose(&caller), Arc::new(source), names).await.map_err(|e| unavailable(&e))?;
        }
        Ok(Response::new(v1::RegisterWorkflowResponse {
            digest: digest.to_string(),
            definition_json: judged.definition.as_ref().map(json).transpose()?.unwrap_or_default(),
            problems_json: json(&judged.problems)?,
        }))
    }

    async fn upload_blob(
        &self,
        request: Request<tonic::Streaming<v1::UploadBlobRequest>>,
    ) -> Result<Response<v1::UploadBlobResponse>, Status> {
        let caller = caller(&request)?;
        let pieces = request.into_inner().map(|piece| piece.map(|piece| piece.chunk.into()));
        upload::take(&self.blobs, &caller.tenant, pieces).await.map(Response::new)
    }

    async fn start_run(&self, request: Request<v1::StartRunRequest>) -> Result<Response<v1::StartRunResponse>, Status> {
        let caller = caller(&request)?;
        self.start(&caller, request.into_inner()).await.map(Response::new)
    }

    async fn get_run(&self, request: Request<v1::GetRunRequest>) -> Result<Response<v1::GetRunResponse>, Status> {
        let caller = caller(&request)?;
        let run = Some(self.shown(&caller, &request.into_inner().run_id).await?);
        Ok(Response::new(v1::GetRunResponse { run }))
    }

    async fn download_result(
        &self,
        request: Request<v1::DownloadResultRequest>,
    ) -> Result<Response<Self::DownloadResultStream>, Status> {
        let caller = caller(&request)?;
        let answers = download::begin(self, &caller, request.into_inner()).await?;
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn list_runs(&self, request: Request<v1::ListRunsRequest>) -> Result<Response<v1::ListRunsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let status = Some(&request.status).filter(|s| !s.is_empty()).map(|s| s.parse::<RunStatus>()).transpose();
        let before = Some(&request.page_token).filter(|s| !s.is_empty()).map(|s| s.parse::<RunId>()).transpose();
        let limit = if request.page_size == 0 { PAGE.0 } else { request.page_size.min(PAGE.1) };
        let filter = Filter {
            tenant: caller.tenant,
            workflow: Some(request.workflow).filter(|s| !s.is_empty()),
            status: status.map_err(|e| Status::invalid_argument(e.to_string()))?,
            before: before.map_err(|_| Status::invalid_argument("page_token is not one that a list gave"))?,
            limit,
        };
        let runs = self.store.list(filter).await.map_err(|e| unavailable(&e))?;
        let full = runs.len() == limit as usize;
        let next_page_token = runs.last().filter(|_| full).map_or_else(String::new, |last| last.spec.id.to_string());
        Ok(Response::new(v1::ListRunsResponse { runs: runs.iter().map(show::listed).collect(), next_page_token }))
    }

    async fn list_workflows(
        &self,
        request: Request<v1::ListWorkflowsRequest>,
    ) -> Result<Response<v1::ListWorkflowsResponse>, Status> {
        let known = self.store.workflows(caller(&request)?.tenant).await.map_err(|e| unavailable(&e))?;
        let workflow = |one: record::Registered| v1::Workflow {
            name: one.name,
            digest: one.digest.to_string(),
            registered_at: Some(show::time(one.at)),
        };
        Ok(Response::new(v1::ListWorkflowsResponse { workflows: known.into_iter().map(workflow).collect() }))
    }

    async fn cancel_run(
        &self,
        request: Request<v1::CancelRunRequest>,
    ) -> Result<Response<v1::CancelRunResponse>, Status> {
        let (caller, id) = (caller(&request)?, request.into_inner().run_id);
        let run = self.run_named(&caller, &id).await?;
        if !run.head.status.is_terminal() {
            self.command(&caller, run.spec.id, Command::Cancel { by: caller.user.clone() }).await?;
        }
        let run = Some(self.shown(&caller, &id).await?);
        Ok(Response::new(v1::CancelRunResponse { run }))
    }

    async fn pause_run(&self, request: Request<v1::PauseRunRequest>) -> Result<Response<v1::PauseRunResponse>, Status> {
        let (caller, id) = (caller(&request)?, request.into_inner().run_id);
        let state = self.run_named(&caller, &id).await?;
        pause::may_pause(&state)?;
        self.command(&caller, state.spec.id, Command::Pause { by: caller.user.clone() }).await?;
        let run = Some(self.shown(&caller, &id).await?);
        Ok(Response::new(v1::PauseRunResponse { run }))
    }

    async fn resume_run(
        &self,
        request: Request<v1::ResumeRunRequest>,
    ) -> Result<Response<v1::ResumeRunResponse>, Status> {
        let caller = caller(&request)?;
        let v1::ResumeRunRequest { run_id, retry, fail } = request.into_inner();
        let state = self.run_named(&caller, &run_id).await?;
        let (retry, fail) = pause::decisions(&state, &retry, &fail)?;
        self.command(&caller, state.spec.id, Command::Resume { retry, fail, by: caller.user.clone() }).await?;
        let run = Some(self.shown(&caller, &run_id).await?);
        Ok(Response::new(v1::ResumeRunResponse { run }))
    }

    async fn retry_run(&self, request: Request<v1::RetryRunRequest>) -> Result<Response<v1::RetryRunResponse>, Status> {
        let (caller, id) = (caller(&request)?, request.into_inner().run_id);
        let run = self.run_named(&caller, &id).await?;
        let status = run.head.status;
        if !status.is_terminal() || status == RunStatus::Completed {
            let message =
                format!("run {id} is {status}: only one that failed, timed out or was cancelled can be retried");
            return Err(Status::failed_precondition(message));
        }
        self.command(&caller, run.spec.id, Command::RetryFailed { by: caller.user.clone() }).await?;
        let run = Some(self.shown(&caller, &id).await?);
        Ok(Response::new(v1::RetryRunResponse { run }))
    }

    async fn approve_node(
        &self,
        request: Request<v1::ApproveNodeRequest>,
    ) -> Result<Response<v1::ApproveNodeResponse>, Status> {
        let caller = caller(&request)?;
        let v1::ApproveNodeRequest { run_id, node, approved, comment } = request.into_inner();
        if comment.len() > COMMENT_BYTES {
            return Err(Status::invalid_argument(format!("a comment has at most {COMMENT_BYTES} bytes")));
        }
        let state = self.run_named(&caller, &run_id).await?;
        let key = approve::choose(&state, &node)?;
        if !approve::is_answered(&state, key, approved)? {
            let by = caller.user.clone();
            self.command(&caller, state.spec.id, Command::Approve { node: key, approved, by, comment }).await?;
            // Somebody else may have been faster, or the run may have ended meanwhile.
            let after = self.state(state.spec.id).await?;
            if !approve::is_answered(&after, key, approved)? {
                return Err(Status::unavailable("the answer is kept and not worked off yet; look at the run"));
            }
        }
        let run = Some(self.shown(&caller, &run_id).await?);
        Ok(Response::new(v1::ApproveNodeResponse { run, node_id: state.node_id(key) }))
    }

    async fn watch_run(&self, request: Request<v1::WatchRunRequest>) -> Result<Response<Self::WatchRunStream>, Status> {
        let caller = caller(&request)?;
        let run = self.run_named(&caller, &request.into_inner().run_id).await?.spec.id;
        let (to, from) = mpsc::channel(follow::BEHIND);
        let server = self.clone();
        tokio::spawn(async move { follow::run(&server, run, to).await });
        Ok(Response::new(Box::pin(ReceiverStream::new(from))))
    }

    async fn stream_logs(
        &self,
        request: Request<v1::StreamLogsRequest>,
    ) -> Result<Response<Self::StreamLogsStream>, Status> {
        let caller = caller(&request)?;
        let v1::StreamLogsRequest { run_id, node_id, follow } = request.into_inner();
        let state = self.run_named(&caller, &run_id).await?;
        if let Err(known) = lines::is_known(&state.plan, &node_id) {
            return Err(Status::not_found(format!(
                "run {run_id} has no node `{node_id}`; it has {}",
                known.join(", ")
            )));
        }
        let (to, from) = mpsc::channel(follow::BEHIND);
        let (server, run) = (self.clone(), state.spec.id);
        tokio::spawn(async move { lines::lines(&server, run, &node_id, follow, to).await });
        Ok(Response::new(Box::pin(ReceiverStream::new(from))))
    }

    async fn list_pools(
        &self,
        request: Request<v1::ListPoolsRequest>,
    ) -> Result<Response<v1::ListPoolsResponse>, Status> {
        let caller = caller(&request)?;
        let pools = pools::list(self, &caller.tenant, &request.into_inner().name).await?;
        Ok(Response::new(v1::ListPoolsResponse { pools }))
    }

    async fn set_pool(&self, request: Request<v1::SetPoolRequest>) -> Result<Response<v1::SetPoolResponse>, Status> {
        let caller = caller(&request)?;
        let pool = Some(pools::set(self, &caller, request.into_inner()).await?);
        Ok(Response::new(v1::SetPoolResponse { pool }))
    }

    async fn remove_pool(
        &self,
        request: Request<v1::RemovePoolRequest>,
    ) -> Result<Response<v1::RemovePoolResponse>, Status> {
        let caller = caller(&request)?;
        pools::remove(self, &caller, request.into_inner().name).await?;
        Ok(Response::new(v1::RemovePoolResponse {}))
    }

    async fn overview(&self, request: Request<v1::OverviewRequest>) -> Result<Response<v1::OverviewResponse>, Status> {
        let caller = caller(&request)?;
        let whole = overview::overview(self).await;
        Ok(Response::new(if caller.is_own() { whole } else { overview::of_tenants(whole) }))
    }
}

//! Runs: started, listed, shown, and acted on.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use qflow_model::ids::Digest;
use qflow_proto::v1::{self, orchestrator_service_server::OrchestratorService as _, parameter, start_run_request};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::{
    Answer, ROOT, Shared, asked,
    extract::{Body, By, Named, Query},
    problem::Problem,
    shapes::{self, Run, Runs, Started},
};

/// Files of Python, by their paths.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    /// Which of the files has the workflow.
    entry: String,
    /// Text by path.
    #[schema(value_type = std::collections::HashMap<String, String>)]
    files: BTreeMap<String, String>,
}

impl From<Source> for v1::Source {
    fn from(Source { entry, files }: Source) -> Self {
        let files = files.into_iter().map(|(path, text)| v1::SourceFile { path, text }).collect();
        Self { entry, files }
    }
}

/// Content that `POST /uploads` took in, for a parameter of type `File` or `Folder`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Upload {
    digest: String,
    /// Bytes.
    size: u64,
    /// `file`; `folder` where the content is a tar archive.
    #[serde(default = "file")]
    kind: String,
    /// What it is called where a node sees it.
    name: String,
}

fn file() -> String {
    "file".to_owned()
}

/// A run to be started: of a source, or of the digest of one that is registered.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    source: Option<Source>,
    digest: Option<String>,
    /// Left out: the only workflow that no other calls.
    #[serde(default)]
    workflow: String,
    /// Values in the plain form, by name.
    #[serde(default)]
    #[schema(value_type = std::collections::HashMap<String, serde_json::Value>)]
    parameters: BTreeMap<String, Box<RawValue>>,
    /// Texts that are read by the parameters' declared types, as `-p name=TEXT` is.
    #[serde(default)]
    #[schema(value_type = std::collections::HashMap<String, String>)]
    texts: BTreeMap<String, String>,
    /// Files and folders.
    #[serde(default)]
    #[schema(value_type = std::collections::HashMap<String, Upload>)]
    uploads: BTreeMap<String, Upload>,
    /// Resolve environments anew although a lock is younger than 24 h.
    #[serde(default)]
    relock: bool,
    /// Run nodes although their outputs are kept.
    #[serde(default)]
    no_cache: bool,
    /// `always`, `never`; left out: as the caller's trace has it.
    #[serde(default)]
    trace: String,
}

impl Start {
    fn what(source: Option<Source>, digest: Option<String>) -> Answer<start_run_request::What> {
        match (source, digest) {
            (Some(source), None) => Ok(start_run_request::What::Source(source.into())),
            (None, Some(digest)) => Ok(start_run_request::What::Digest(digest)),
            _ => Err(Problem::unreadable("give either `source` or `digest`")),
        }
    }

    fn into_request(self, idempotency_key: String) -> Answer<v1::StartRunRequest> {
        let parameter = |name, value| v1::Parameter { name, value: Some(value) };
        let upload = |Upload { digest, size, kind, name }| v1::Upload { digest, size, kind, name };
        let json =
            self.parameters.into_iter().map(|(name, value)| (name, parameter::Value::Json(value.get().to_owned())));
        let texts = self.texts.into_iter().map(|(name, text)| (name, parameter::Value::Text(text)));
        let uploads = self.uploads.into_iter().map(|(name, sent)| (name, parameter::Value::Upload(upload(sent))));
        Ok(v1::StartRunRequest {
            what: Some(Self::what(self.source, self.digest)?),
            workflow: self.workflow,
            parameters: json.chain(texts).chain(uploads).map(|(name, value)| parameter(name, value)).collect(),
            idempotency_key,
            relock: self.relock,
            no_cache: self.no_cache,
            trace: self.trace,
        })
    }
}

/// Starts a run. The answer means that the run is durable.
#[utoipa::path(
    post, path = "/runs", tag = "runs", request_body = Start,
    params(("Idempotency-Key" = Option<String>, Header, description = "Unique per tenant for 24 h: the same key gives the same run.")),
    responses(
        (status = 201, description = "It is accepted; Location names it.", body = Started),
        (status = 200, description = "The key named a run that was there.", body = Started),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn start(
    State(server): Shared,
    By(caller): By,
    headers: HeaderMap,
    Body(start): Body<Start>,
) -> Answer<Response> {
    let key = headers.get("idempotency-key").map(|key| key.to_str().map(str::to_owned)).transpose();
    let key = key.map_err(|_| Problem::unreadable("Idempotency-Key is no text of ASCII"))?.unwrap_or_default();
    let started = server.start_run(asked(caller, start.into_request(key)?)).await?.into_inner();
    let at = HeaderValue::from_str(&format!("{ROOT}/runs/{}", started.run_id)).ok();
    let status = if started.created { StatusCode::CREATED } else { StatusCode::OK };
    let shown = Started {
        run_id: started.run_id,
        created: started.created,
        trace_id: started.trace_id,
        warnings: shapes::read(&started.problems_json).unwrap_or_default(),
    };
    let mut response = (status, Json(shown)).into_response();
    at.map(|at| response.headers_mut().insert(header::LOCATION, at));
    Ok(response)
}

/// Which runs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Of this workflow only.
    workflow: Option<String>,
    /// In this state only.
    status: Option<String>,
    /// At most so many; 50 where it is left out.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// How many entries of a list, where that can be; 0 where the caller does not say.
pub(super) fn page_of(limit: Option<u32>) -> Answer<u32> {
    match limit {
        None => Ok(0),
        Some(limit @ 1..=500) => Ok(limit),
        Some(limit) => Err(Problem::unreadable(format!("limit is {limit}: a page has 1 to 500 entries"))),
    }
}

/// Lists runs, newest first, without their nodes and results.
#[utoipa::path(
    get, path = "/runs", tag = "runs", params(Which),
    responses(
        (status = 200, body = Runs),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(State(server): Shared, By(caller): By, Query(which): Query<Which>) -> Answer<Json<Runs>> {
    let request = v1::ListRunsRequest {
        workflow: which.workflow.unwrap_or_default(),
        status: which.status.unwrap_or_default(),
        page_size: page_of(which.limit)?,
        page_token: which.cursor.unwrap_or_default(),
    };
    let v1::ListRunsResponse { runs, next_page_token } = server.list_runs(asked(caller, request)).await?.into_inner();
    Ok(Json(Runs { runs: runs.into_iter().map(Run::from).collect(), next: shapes::said(next_page_token) }))
}

/// Shows a run with its nodes, and its result where it has one.
#[utoipa::path(
    get, path = "/runs/{run_id}", tag = "runs",
    params(
        ("run_id" = String, Path),
        ("If-None-Match" = Option<String>, Header, description = "ETag of an earlier answer."),
    ),
    responses(
        (status = 200, body = Run, headers(("ETag" = String))),
        (status = 304, description = "It is as it was then."),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get(
    State(server): Shared,
    By(caller): By,
    headers: HeaderMap,
    Named(run_id): Named<String>,
) -> Answer<Response> {
    let run = server.get_run(asked(caller, v1::GetRunRequest { run_id })).await?.into_inner().run;
    let text =
        serde_json::to_string(&shown(run)?).map_err(|e| tonic::Status::internal(format!("write the run: {e}")))?;
    let tag = format!("\"{}\"", Digest::of(text.as_bytes()));
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known = known.flat_map(|value| value.split(',')).any(|one| one.trim().trim_start_matches("W/") == tag);
    let mut response = if is_known { StatusCode::NOT_MODIFIED.into_response() } else { super::json(text) };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

pub(super) fn shown(run: Option<v1::Run>) -> Answer<Run> {
    let run = run.ok_or_else(|| tonic::Status::internal("an answer without its run"))?;
    Ok(run.into())
}

/// Stops a run. One that has ended is left as it is.
#[utoipa::path(
    post, path = "/runs/{run_id}/cancel", tag = "runs", params(("run_id" = String, Path)),
    responses(
        (status = 200, body = Run),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn cancel(State(server): Shared, By(caller): By, Named(run_id): Named<String>) -> Answer<Json<Run>> {
    let answer = server.cancel_run(asked(caller, v1::CancelRunRequest { run_id })).await?;
    shown(answer.into_inner().run).map(Json)
}

/// Starts nothing more of a run until it is resumed; what runs goes on.
#[utoipa::path(
    post, path = "/runs/{run_id}/pause", tag = "runs", params(("run_id" = String, Path)),
    responses(
        (status = 200, body = Run),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn pause(State(server): Shared, By(caller): By, Named(run_id): Named<String>) -> Answer<Json<Run>> {
    let answer = server.pause_run(asked(caller, v1::PauseRunRequest { run_id })).await?;
    shown(answer.into_inner().run).map(Json)
}

/// What is decided of node runs that need attention.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Resume {
    /// These are tried again.
    retry: Vec<String>,
    /// These fail.
    fail: Vec<String>,
}

/// Has a paused run go on where it stood.
#[utoipa::path(
    post, path = "/runs/{run_id}/resume", tag = "runs", params(("run_id" = String, Path)), request_body = Resume,
    responses(
        (status = 200, body = Run),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn resume(
    State(server): Shared,
    By(caller): By,
    Named(run_id): Named<String>,
    Body(Resume { retry, fail }): Body<Resume>,
) -> Answer<Json<Run>> {
    let answer = server.resume_run(asked(caller, v1::ResumeRunRequest { run_id, retry, fail })).await?;
    shown(answer.into_inner().run).map(Json)
}

/// Runs a run that ended badly again from its failed nodes.
#[utoipa::path(
    post, path = "/runs/{run_id}/retry", tag = "runs", params(("run_id" = String, Path)),
    responses(
        (status = 200, body = Run),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn retry(State(server): Shared, By(caller): By, Named(run_id): Named<String>) -> Answer<Json<Run>> {
    let answer = server.retry_run(asked(caller, v1::RetryRunRequest { run_id })).await?;
    shown(answer.into_inner().run).map(Json)
}

/// An answer to an approval.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Approve {
    approved: bool,
    /// The node's id, or the approval's name; left out: the only one that waits.
    #[serde(default)]
    node: String,
    /// Kept with the answer.
    #[serde(default)]
    comment: String,
}

/// Answers an approval that a run waits for. The same answer may be given again.
#[utoipa::path(
    post, path = "/runs/{run_id}/approve", tag = "runs", params(("run_id" = String, Path)), request_body = Approve,
    responses(
        (status = 200, body = Run),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn approve(
    State(server): Shared,
    By(caller): By,
    Named(run_id): Named<String>,
    Body(Approve { approved, node, comment }): Body<Approve>,
) -> Answer<Json<Run>> {
    let request = v1::ApproveNodeRequest { run_id, node, approved, comment };
    let answer = server.approve_node(asked(caller, request)).await?;
    shown(answer.into_inner().run).map(Json)
}

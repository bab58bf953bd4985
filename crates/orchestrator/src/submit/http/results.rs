//! What a run or a node returned, however large.

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use futures_util::StreamExt as _;
use qflow_proto::v1::{self, download_result_response::Part, orchestrator_service_server::OrchestratorService as _};
use serde::Deserialize;
use tonic::Status;
use utoipa::IntoParams;

use super::{
    Answer, Shared, asked,
    extract::{By, Named, Query},
    problem::Problem,
};

/// Which part of it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Of this node; left out: of the run.
    node: Option<String>,
    /// Which content of it: the `index` of an `attachment` in the plain form; left out: all of it.
    content: Option<u32>,
    /// A text without quotes.
    #[serde(default)]
    raw: bool,
}

/// What a run returned, or a node of it. What is one file, folder, frame or the like comes as it is, everything else in the plain form,
/// JSON; the header `Qflow-Kind` says which.
#[utoipa::path(
    get, path = "/runs/{run_id}/result", tag = "runs", params(("run_id" = String, Path), Which),
    responses(
        (status = 200, description = "It.", content((serde_json::Value = "application/json"), (Vec<u8> = "application/octet-stream")),
         headers(("Qflow-Kind" = String, description = "json, file, folder (a tar archive), arrow, npy, bytes, pickle"))),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn result(
    State(server): Shared,
    By(caller): By,
    Named(run_id): Named<String>,
    Query(Which { node, content, raw }): Query<Which>,
) -> Answer<Response> {
    let request = v1::DownloadResultRequest { run_id, node_id: node.unwrap_or_default(), content, raw };
    let mut parts = server.download_result(asked(caller, request)).await?.into_inner();
    let first = parts.next().await.transpose()?.and_then(|answer| answer.part);
    let Some(Part::Form(form)) = first else { return Err(Status::internal("a result without its form").into()) };
    let pieces = parts.filter_map(async |piece| match piece.map(|answer| answer.part) {
        Ok(Some(Part::Chunk(chunk))) => Some(Ok(Bytes::from(chunk))),
        Ok(_) => None,
        // Without its end the client does not take what came for the whole.
        Err(status) => Some(Err(std::io::Error::other(status.message().to_owned()))),
    });
    let mut response = Body::from_stream(pieces).into_response();
    let headers = response.headers_mut();
    let kind = if form.kind == "json" { "application/json" } else { "application/octet-stream" };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // A page that is sent to a browser must not be taken for one of ours.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    let told = [("qflow-kind", Some(form.kind)), ("content-length", form.size.map(|size| size.to_string()))];
    for (name, value) in told {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

//! Content of files and folders for parameters.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use futures_util::TryStreamExt as _;
use tonic::Status;

use super::{super::upload, Answer, Shared, extract::By, problem::Problem, shapes::Uploaded};

/// Takes in content for a parameter of type `File`, or the tar archive of a folder for one of type `Folder`: 1 GiB at most. What no run has
/// referred to for 24 h is forgotten.
#[utoipa::path(
    post, path = "/uploads", tag = "runs", request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 201, body = Uploaded),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn upload(
    State(server): Shared,
    By(caller): By,
    headers: HeaderMap,
    body: Body,
) -> Answer<(StatusCode, Json<Uploaded>)> {
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
    if kind.is_none_or(|kind| kind != b"application/octet-stream") {
        return Err(Problem::other_kind("application/octet-stream"));
    }
    let broken = |error: axum::Error| Status::invalid_argument(format!("the upload broke off: {error}"));
    let taken = upload::take(&server.blobs, &caller.tenant, body.into_data_stream().map_err(broken)).await?;
    Ok((StatusCode::CREATED, Json(Uploaded { digest: taken.digest, size: taken.size })))
}

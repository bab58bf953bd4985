//! Errors as clients of HTTP get them: problem details, RFC 9457.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use qflow_model::definition;
use qflow_telemetry::traces;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tonic::{Code, Status};
use utoipa::ToSchema;

/// What is wrong, where, and what to do about it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Always `about:blank`: `code` tells kinds apart.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: String,
    /// The status of the answer.
    status: u16,
    /// What is wrong, for people.
    detail: String,
    /// What is wrong, for programs: `invalid_argument`, `not_found`, `failed_precondition`, `resource_exhausted`, `unavailable`, …
    code: &'static str,
    /// The trace of this call, where it is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    /// Each problem of a source that was sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    problems: Vec<definition::Problem>,
    /// Each problem of parameters that were sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    parameters: Vec<Value>,
}

/// What a refusal of a submission carries.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    problems: Vec<definition::Problem>,
    parameters: Vec<Value>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            code,
            trace_id: traces::current().map(|trace| trace.trace_id),
            problems: Vec::new(),
            parameters: Vec::new(),
        }
    }

    /// What was sent cannot be read.
    pub(super) fn unreadable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_argument", detail)
    }

    /// What was sent is too large.
    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    }

    /// What was sent is of another kind.
    pub(super) fn other_kind(kind: &str) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", format!("the body is to be {kind}"))
    }

    /// There is no such route.
    pub(super) fn nowhere() -> Self {
        let detail = "there is nothing here: GET /api/v1/openapi.json tells what there is";
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// The route takes other methods.
    pub(super) fn no_such_method() -> Self {
        let detail = "this takes other methods: the header Allow names them";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
    }

    /// A source whose problems are these.
    pub(super) fn unsound(problems: Vec<definition::Problem>) -> Self {
        let detail =
            format!("{} problems: nothing was kept", problems.iter().filter(|problem| !problem.warning).count());
        Self { problems, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_argument", detail) }
    }
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        let details: Details = serde_json::from_slice(status.details()).unwrap_or_default();
        let is_unsound = !(details.problems.is_empty() && details.parameters.is_empty());
        let (http, code) = match status.code() {
            Code::InvalidArgument if is_unsound => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_argument"),
            Code::InvalidArgument | Code::OutOfRange => (StatusCode::BAD_REQUEST, "invalid_argument"),
            Code::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Code::AlreadyExists => (StatusCode::CONFLICT, "already_exists"),
            Code::FailedPrecondition => (StatusCode::CONFLICT, "failed_precondition"),
            Code::Aborted => (StatusCode::CONFLICT, "aborted"),
            Code::ResourceExhausted => (StatusCode::TOO_MANY_REQUESTS, "resource_exhausted"),
            Code::PermissionDenied => (StatusCode::FORBIDDEN, "permission_denied"),
            Code::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            Code::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Code::DeadlineExceeded => (StatusCode::GATEWAY_TIMEOUT, "deadline_exceeded"),
            Code::Unimplemented => (StatusCode::NOT_IMPLEMENTED, "unimplemented"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        let Details { problems, parameters } = details;
        Self { problems, parameters, ..Self::new(http, code, status.message()) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

//! What requests carry, read so that whatever is wrong is a [`Problem`].

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{StatusCode, header, request::Parts},
};
use qflow_model::access::Caller;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// A body of JSON. One that is empty is `{}`.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_vec());
        let bytes = bytes::Bytes::from_request(request, state).await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                return Problem::too_large(format!("a body has at most {} bytes", qflow_model::limits::MESSAGE_BYTES));
            }
            Problem::unreadable(rejection.body_text())
        })?;
        let is_json = kind.is_none_or(|kind| kind.to_ascii_lowercase().starts_with(b"application/json"));
        if !is_json {
            return Err(Problem::other_kind("application/json"));
        }
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let mut reader = serde_json::Deserializer::from_slice(text);
        let read = T::deserialize(&mut reader).and_then(|read| reader.end().map(|()| read));
        read.map(Self).map_err(|error| Problem::unreadable(format!("the body is not what is taken here: {error}")))
    }
}

/// What stands behind `?`.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        query
            .map(|axum::extract::Query(read)| Self(read))
            .map_err(|rejection| Problem::unreadable(rejection.body_text()))
    }
}

/// What the path names.
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(read)| Self(read)).map_err(|rejection| Problem::unreadable(rejection.body_text()))
    }
}

/// Who calls, as the edge found out.
pub(super) struct By(pub(super) Caller);

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let unknown = || Problem::from(tonic::Status::unauthenticated("nobody has found out who calls"));
        parts.extensions.get::<Caller>().cloned().map(Self).ok_or_else(unknown)
    }
}

//! `/monitoring/status` and `/monitoring/stream`: the status as JSON, and as events for browsers.

use std::convert::Infallible;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use serde_json::json;
use tokio_stream::StreamExt;

use super::Monitor;

/// The routes.
pub fn routes(monitor: Monitor) -> Router {
    Router::new().route("/monitoring/status", get(status)).route("/monitoring/stream", get(stream)).with_state(monitor)
}

async fn status(State(monitor): State<Monitor>) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(monitor.status().json())).into_response()
}

/// An event a change, each with the whole; comments between, so that nobody thinks the connection dead.
async fn stream(State(monitor): State<Monitor>) -> Response {
    let Some(statuses) = monitor.watch() else {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": "too_many_watchers" }))).into_response();
    };
    let events = statuses.map(|told| Ok::<_, Infallible>(Event::default().event("status").data(told.json())));
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

//! `/health…` with the seed's keys, from the cache.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use qflow_service::Clock;
use serde_json::{Map, Value, json};
use std::sync::Arc;

use crate::{
    probe::Cache,
    verdict::{Aged, Status, verdict},
};

#[derive(Clone)]
struct Shared {
    cache: Cache,
    clock: Arc<dyn Clock>,
}

/// The routes, and what is answered wherever there is none: that nothing is there is no secret.
pub fn routes(cache: Cache, clock: Arc<dyn Clock>) -> Router {
    let router = Router::new().route("/health", get(whole)).route("/health/{part}", get(part)).fallback(nowhere);
    router.with_state(Shared { cache, clock })
}

async fn nowhere() -> (StatusCode, Json<Value>) {
    (StatusCode::NOT_FOUND, Json(json!({ "status": "unknown", "error": "no_such_page" })))
}

async fn whole(State(Shared { cache, clock }): State<Shared>) -> (StatusCode, Json<Value>) {
    let checks = cache.now();
    let status = verdict(checks.iter().map(|aged| &aged.reading));
    let parts: Map<String, Value> =
        checks.into_iter().map(|aged| (aged.reading.name.to_owned(), described(aged))).collect();
    let timestamp = jiff::Timestamp::from_microsecond(clock.now().0).map(|at| at.to_string()).unwrap_or_default();
    let body = json!({
        "status": status.as_str(),
        "timestamp": timestamp,
        "version": env!("CARGO_PKG_VERSION"),
        "checks": parts,
    });
    (code(status, true), Json(body))
}

async fn part(State(Shared { cache, .. }): State<Shared>, Path(part): Path<String>) -> (StatusCode, Json<Value>) {
    let name = match part.as_str() {
        "containers" => "docker",
        "python" => "python_environments",
        name @ ("database" | "redis" | "blobs" | "workflows" | "telemetry") => name,
        // Services by their own names.
        name @ ("orchestrator" | "type_validator" | "container_runner") => name,
        _ => return (StatusCode::NOT_FOUND, Json(json!({ "status": "unknown", "error": "no_such_check" }))),
    };
    match cache.get(name) {
        Some(aged) => (code(aged.reading.status, aged.reading.critical), Json(described(aged))),
        None => (StatusCode::NOT_FOUND, Json(json!({ "status": "unknown", "error": "no_such_check" }))),
    }
}

fn code(status: Status, critical: bool) -> StatusCode {
    if status == Status::Unhealthy && critical { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

fn described(Aged { reading, age_seconds, failures, cause, explains, .. }: Aged) -> Value {
    let mut body = Map::new();
    body.insert("status".to_owned(), reading.status.as_str().into());
    body.insert("response_time_ms".to_owned(), hundredths(reading.response_time_ms).into());
    body.extend(reading.facts);
    if let Some(error) = reading.error {
        body.insert("error".to_owned(), error.into());
    }
    if let Some(cause) = cause {
        body.insert("cause".to_owned(), cause.into());
    }
    if !explains.is_empty() {
        body.insert("explains".to_owned(), explains.into());
    }
    body.insert("consecutive_failures".to_owned(), failures.into());
    body.insert("critical".to_owned(), reading.critical.into());
    body.insert("age_seconds".to_owned(), hundredths(age_seconds).into());
    Value::Object(body)
}

fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

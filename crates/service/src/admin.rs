//! The admin port: `/metrics`, `/livez`, `/readyz`, `/startupz`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{Json, Router, extract::State, response::IntoResponse, routing::get};
use http::{HeaderMap, StatusCode, header};
use qflow_telemetry::Telemetry;
use tokio::net::TcpListener;

use crate::Shutdown;

/// Which of the things that a service requires are there; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Parts>>);

#[derive(Debug, Default)]
struct Parts {
    parts: BTreeMap<&'static str, bool>,
    started: bool,
}

impl Readiness {
    /// Nothing required, not started.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whether a required part is there; the first word on it makes it required.
    pub fn set(&self, part: &'static str, ready: bool) {
        self.lock().parts.insert(part, ready);
    }

    /// Says that the service has come up.
    pub fn started(&self) {
        self.lock().started = true;
    }

    /// Whether it has come up and all required parts are there.
    pub fn is_ready(&self) -> bool {
        let parts = self.lock();
        parts.started && parts.parts.values().all(|ready| *ready)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
struct Admin {
    telemetry: Telemetry,
    readiness: Readiness,
}

/// Serves the admin port until the order to stop; `/readyz` says no from that moment.
pub async fn admin(
    listener: TcpListener,
    telemetry: Telemetry,
    readiness: Readiness,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    axum::serve(listener, routes(telemetry, readiness)).with_graceful_shutdown(shutdown.wait_owned()).await
}

fn routes(telemetry: Telemetry, readiness: Readiness) -> Router {
    Router::new()
        .route("/livez", get(|| async { Json(serde_json::json!({"status": "ok"})) }))
        .route("/readyz", get(readyz))
        .route("/startupz", get(startupz))
        .route("/metrics", get(metrics))
        .with_state(Admin { telemetry, readiness })
}

async fn readyz(State(admin): State<Admin>) -> impl IntoResponse {
    let ready = admin.readiness.is_ready();
    let parts = admin.readiness.lock().parts.clone();
    (code(ready), Json(serde_json::json!({"status": if ready { "ok" } else { "unavailable" }, "checks": parts})))
}

async fn startupz(State(admin): State<Admin>) -> impl IntoResponse {
    let started = admin.readiness.lock().started;
    (code(started), Json(serde_json::json!({"status": if started { "ok" } else { "starting" }})))
}

async fn metrics(State(admin): State<Admin>, headers: HeaderMap) -> impl IntoResponse {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let rendered = tokio::task::spawn_blocking(move || admin.telemetry.render(accept.as_deref())).await;
    match rendered {
        Ok((kind, text)) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn code(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower::ServiceExt as _;

    async fn status_of(path: &str, readiness: &Readiness) -> StatusCode {
        let request = http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        routes(Telemetry::silent(), readiness.clone()).oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn readiness_follows_its_parts_and_liveness_does_not() {
        let readiness = Readiness::new();
        readiness.set("store", false);
        assert_eq!(status_of("/startupz", &readiness).await, StatusCode::SERVICE_UNAVAILABLE);
        readiness.started();
        assert_eq!(status_of("/startupz", &readiness).await, StatusCode::OK);
        assert_eq!(status_of("/readyz", &readiness).await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status_of("/livez", &readiness).await, StatusCode::OK);
        readiness.set("store", true);
        assert_eq!(status_of("/readyz", &readiness).await, StatusCode::OK);
        assert_eq!(status_of("/metrics", &readiness).await, StatusCode::OK);
    }
}

//! The admin port: `/metrics`, `/livez`, `/readyz`, `/startupz`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Query, Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, header};
use qflow_telemetry::Telemetry;
use tokio::{
    net::TcpListener,
    time::{Instant, sleep, timeout},
};

use crate::{Shutdown, route, server::DRAIN};

/// How long the admin port's own requests may take once nothing else is served.
const LAST: Duration = Duration::from_secs(1);

/// Which of the things that a service requires are there; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Parts>>);

#[derive(Debug, Default)]
struct Parts {
    /// Each with whether it is there, and since when.
    parts: BTreeMap<&'static str, (bool, Instant)>,
    started: bool,
}

impl Readiness {
    /// Nothing required, not started.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whether a required part is there; the first word on it makes it required.
    pub fn set(&self, part: &'static str, ready: bool) {
        let mut inside = self.lock();
        let known = inside.parts.entry(part).or_insert_with(|| (ready, Instant::now()));
        if known.0 != ready {
            *known = (ready, Instant::now());
        }
    }

    /// Says that the service has come up.
    pub fn started(&self) {
        self.lock().started = true;
    }

    /// Whether it has come up and all required parts are there.
    pub fn is_ready(&self) -> bool {
        let parts = self.lock();
        parts.started && parts.parts.values().all(|(ready, _)| *ready)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
struct Admin {
    telemetry: Telemetry,
    readiness: Readiness,
    shutdown: Shutdown,
}

/// Serves the admin port. From the order to stop `/readyz` says no, and the port stays until calls under way have ended.
pub async fn admin(
    listener: TcpListener,
    telemetry: Telemetry,
    readiness: Readiness,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    let close = Shutdown::new();
    let routes = routes(Admin { telemetry, readiness, shutdown: shutdown.clone() });
    let served = axum::serve(listener, routes).with_graceful_shutdown(close.clone().wait_owned());
    let stopping = async {
        shutdown.wait().await;
        // Past the bound listeners have given up by themselves.
        drop(timeout(DRAIN + LAST, shutdown.drained()).await);
        close.trigger();
        sleep(LAST).await;
    };
    tokio::select! { ended = async { served.await } => ended, () = stopping => Ok(()) }
}

fn routes(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(|| async { Json(serde_json::json!({"status": "ok"})) }))
        .route("/readyz", get(readyz))
        .route("/startupz", get(startupz))
        .route("/metrics", get(metrics))
        .layer(from_fn_with_state(admin.telemetry.clone(), watched))
        .with_state(admin)
}

async fn watched(State(telemetry): State<Telemetry>, request: Request, next: Next) -> Response {
    route::watch(&telemetry, request, |request| next.run(request)).await
}

/// What is asked of `/readyz`.
#[derive(serde::Deserialize)]
struct Verbose {
    verbose: Option<String>,
}

async fn readyz(State(admin): State<Admin>, Query(asked): Query<Verbose>) -> impl IntoResponse {
    let (stopping, ready) = (admin.shutdown.is_triggered(), admin.readiness.is_ready());
    let parts = admin.readiness.lock().parts.clone();
    let status = match (stopping, ready) {
        (true, _) => "stopping",
        (false, true) => "ok",
        (false, false) => "unavailable",
    };
    let checks: BTreeMap<&str, bool> = parts.iter().map(|(part, (ready, _))| (*part, *ready)).collect();
    let mut body = serde_json::json!({"status": status, "checks": checks});
    if asked.verbose.is_some() {
        let since: BTreeMap<&str, u64> = parts.iter().map(|(part, (_, at))| (*part, at.elapsed().as_secs())).collect();
        body["since_seconds"] = serde_json::json!(since);
        body["version"] = env!("CARGO_PKG_VERSION").into();
    }
    (code(ready && !stopping), Json(body))
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
        let (telemetry, shutdown) = (Telemetry::silent(), Shutdown::new());
        let admin = Admin { telemetry, readiness: readiness.clone(), shutdown };
        routes(admin).oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn requests_are_told_by_route_and_status() {
        let (telemetry, readiness) = (Telemetry::silent(), Readiness::new());
        let admin = Admin { telemetry: telemetry.clone(), readiness, shutdown: Shutdown::new() };
        let request = http::Request::get("/readyz").body(axum::body::Body::empty()).unwrap();
        routes(admin).oneshot(request).await.unwrap();
        let text = telemetry.render(None).1;
        let labels = r#"http_request_method="GET",http_route="/readyz",http_response_status_code="503""#;
        assert!(text.contains(&format!("http_server_request_duration_seconds_count{{{labels}}} 1\n")), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_is_told_with_how_long_it_is_as_it_is() {
        let readiness = Readiness::new();
        readiness.started();
        readiness.set("store", true);
        sleep(Duration::from_secs(3)).await;
        readiness.set("store", false);
        sleep(Duration::from_secs(5)).await;
        readiness.set("store", false);
        let admin = Admin { telemetry: Telemetry::silent(), readiness, shutdown: Shutdown::new() };
        let told = async |path: &str| {
            let request = http::Request::get(path).body(axum::body::Body::empty()).unwrap();
            let answer = routes(admin.clone()).oneshot(request).await.unwrap();
            let body = axum::body::to_bytes(answer.into_body(), 1024).await.unwrap();
            serde_json::from_slice::<serde_json::Value>(&body).unwrap()
        };
        let short = serde_json::json!({"status": "unavailable", "checks": {"store": false}});
        assert_eq!(told("/readyz").await, short);
        let long = told("/readyz?verbose").await;
        assert_eq!((&long["since_seconds"]["store"], &long["checks"]), (&5.into(), &short["checks"]));
        assert_eq!(long["version"], env!("CARGO_PKG_VERSION"));
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

//! Listeners: gRPC with health, reflection and keep-alive; HTTP; both behind the same edge.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
    serve::ListenerExt as _,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use qflow_telemetry::{Telemetry, traces};
use tokio::net::TcpListener;
use tonic::{
    service::Routes,
    transport::{Server, ServerTlsConfig, server::TcpIncoming},
};

use crate::{
    Auth, Shutdown,
    red::{Guard, Watched, code},
};

/// How often an idle connection is tried.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// How long an answer to that may take.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long calls under way may go on once the order to stop was given.
const DRAIN: Duration = Duration::from_secs(5);
/// Streams of one connection at once, against exhaustion by one peer.
const MAX_STREAMS: u32 = 1024;

/// Why a listener ended or could not begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be had.
    #[error("listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The descriptors cannot be read.
    #[error("describe the services")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// The transport ended.
    #[error("serve gRPC")]
    Grpc(#[source] tonic::transport::Error),
    /// The transport ended.
    #[error("serve HTTP")]
    Http(#[source] std::io::Error),
}

/// Listens; port 0 takes a free one, which `local_addr` tells.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Bind { address, source })
}

/// What stands before every call.
#[derive(Clone)]
pub struct Edge {
    /// What a caller must show; health and reflection are exempt by exact service name.
    pub auth: Auth,
    /// Refuse a `Host` or an `Origin` that is not this machine's loopback.
    pub loopback_only: bool,
    /// Where calls are told.
    pub telemetry: Telemetry,
}

/// How a gRPC listener is served.
#[derive(Clone, Default)]
pub struct ServeOptions {
    /// What a caller must show.
    pub auth: Auth,
    /// Refuse foreign `Host` and `Origin`: the embedded shape.
    pub loopback_only: bool,
    /// Certificate, key and client CA, where the listener speaks TLS.
    pub tls: Option<ServerTlsConfig>,
}

/// Serves gRPC routes, with health and reflection added, until the order to stop; then drains.
pub async fn serve_grpc(
    listener: TcpListener,
    routes: Routes,
    options: ServeOptions,
    telemetry: Telemetry,
    shutdown: Shutdown,
) -> Result<(), ServeError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_service_status("", tonic_health::ServingStatus::Serving).await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(qflow_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(ServeError::Reflection)?;
    let edge = Edge { auth: options.auth, loopback_only: options.loopback_only, telemetry };
    let router = protect(routes.add_service(health_service).add_service(reflection).into_axum_router(), edge);
    let mut server = Server::builder();
    if let Some(tls) = options.tls {
        server = server.tls_config(tls).map_err(ServeError::Grpc)?;
    }
    let stopping = shutdown.clone();
    let served = server
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(MAX_STREAMS)
        .add_routes(Routes::from(router))
        // Without it the last bytes of a message wait for the peer's delayed acknowledgement: 40 ms.
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), async move {
            stopping.wait().await;
            health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
        });
    drain(shutdown, served).await.unwrap_or(Ok(())).map_err(ServeError::Grpc)
}

/// Serves an HTTP router (put [`protect`] before it) until the order to stop; then drains.
pub async fn serve_http(listener: TcpListener, router: Router, shutdown: Shutdown) -> Result<(), ServeError> {
    let listener = listener.tap_io(|stream| {
        // A connection that refuses it is served all the same, more slowly.
        stream.set_nodelay(true).ok();
    });
    let served = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().wait_owned());
    drain(shutdown, async { served.await }).await.unwrap_or(Ok(())).map_err(ServeError::Http)
}

/// Lets `served` end by itself, but not later than the drain's bound after the order.
async fn drain<F: Future>(shutdown: Shutdown, served: F) -> Option<F::Output> {
    let late = async {
        shutdown.wait().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! { ended = served => Some(ended), () = late => None }
}

/// Puts the edge before a router: host, token, trace context, rate, errors and duration.
pub fn protect(router: Router, edge: Edge) -> Router {
    router.layer(from_fn_with_state(Arc::new(edge), enter))
}

async fn enter(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    let grpc = is_grpc(request.headers());
    let path = request.uri().path().to_owned();
    let context = traces::extract(request.headers());
    if !grpc {
        if let Some((status, _, message)) = refusal(&edge, &request, &path) {
            return plain(status, message);
        }
        return traces::within(context, next.run(request)).await;
    }
    // A path outside the descriptors is text of the caller's choosing: never a label.
    let method = if path.starts_with("/qflow.v1.") || exempt(&path) { path.trim_start_matches('/') } else { "_OTHER" };
    let mut guard = Guard::new(edge.telemetry.clone(), method.into(), context.clone());
    if let Some((_, status, message)) = refusal(&edge, &request, &path) {
        guard.finish(code(&HeaderValue::from_static(status)));
        return trailers_only(status, message);
    }
    let response = traces::within(context, next.run(request)).await;
    if let Some(status) = response.headers().get("grpc-status") {
        guard.finish(code(status));
    }
    response.map(|inner| Body::new(Watched { inner, guard }))
}

type Refusal = (StatusCode, &'static str, &'static str);

fn refusal(edge: &Edge, request: &Request, path: &str) -> Option<Refusal> {
    if edge.loopback_only && !from_loopback(request) {
        return Some((StatusCode::FORBIDDEN, "7", "this address serves its own machine only"));
    }
    if !exempt(path) && !edge.auth.admits(request.headers()) {
        return Some((StatusCode::UNAUTHORIZED, "16", "a valid bearer token is required"));
    }
    None
}

fn exempt(path: &str) -> bool {
    path.starts_with("/grpc.health.v1.Health/") || path.starts_with("/grpc.reflection.v1.ServerReflection/")
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    kind.is_some_and(|k| k.starts_with("application/grpc"))
}

/// Whether `Host` (or the HTTP/2 authority) and `Origin` name this machine; a web page elsewhere cannot forge them.
fn from_loopback(request: &Request) -> bool {
    let host = request.headers().get(header::HOST).and_then(|v| v.to_str().ok());
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    let origin = request.headers().get(header::ORIGIN).map(|v| v.to_str().unwrap_or("?"));
    let origin = origin.map(|o| o.split_once("://").map_or("?", |(_, host)| host));
    authority.or(host).is_some_and(is_loopback) && host.is_none_or(is_loopback) && origin.is_none_or(is_loopback)
}

fn is_loopback(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<http::uri::Authority>() else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn plain(status: StatusCode, message: &'static str) -> Response {
    let mut response = Response::new(Body::from(format!("{{\"error\":\"{message}\"}}")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn trailers_only(status: &'static str, message: &'static str) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from_static(status));
    headers.insert("grpc-message", HeaderValue::from_static(message));
    response
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;

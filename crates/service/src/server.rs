//! Listeners: gRPC with health, reflection and keep-alive; HTTP; both behind the same edge.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, serve::ListenerExt as _};
use qflow_telemetry::Telemetry;
use tokio::net::TcpListener;
use tonic::{
    service::Routes,
    transport::{Server, ServerTlsConfig, server::TcpIncoming},
};
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{Auth, Edge, Shutdown, methods, protect};

/// How an idle connection is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepAlive {
    /// How often.
    pub(crate) interval: Duration,
    /// How long an answer to that may take: a silent partition is seen within both together.
    pub(crate) timeout: Duration,
}

/// On every channel and every server.
pub(crate) const KEEP_ALIVE: KeepAlive =
    KeepAlive { interval: Duration::from_secs(5), timeout: Duration::from_secs(5) };
/// How long calls under way may go on once the order to stop was given.
pub(crate) const DRAIN: Duration = Duration::from_secs(5);
/// How long a peer may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(5);
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
    serve_grpc_trying(KEEP_ALIVE, listener, routes, options, telemetry, shutdown).await
}

pub(crate) async fn serve_grpc_trying(
    keep_alive: KeepAlive,
    listener: TcpListener,
    routes: Routes,
    options: ServeOptions,
    telemetry: Telemetry,
    shutdown: Shutdown,
) -> Result<(), ServeError> {
    let _serving = shutdown.serving();
    let (health, health_service) = tonic_health::server::health_reporter();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(qflow_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(ServeError::Reflection)?;
    let router = routes.add_service(health_service).add_service(reflection).into_axum_router();
    let names: Vec<String> = [String::new()].into_iter().chain(methods::served(&router).await).collect();
    for name in &names {
        health.set_service_status(name, ServingStatus::Serving).await;
    }
    let edge = Edge { auth: options.auth, loopback_only: options.loopback_only, telemetry };
    let mut server = Server::builder();
    if let Some(tls) = options.tls {
        server = server.tls_config(tls.timeout(HANDSHAKE)).map_err(ServeError::Grpc)?;
    }
    let stopping = shutdown.clone();
    let served = server
        // What is no gRPC may come by HTTP/1.1 too, as programs that post JSON do.
        .accept_http1(true)
        .http2_keepalive_interval(Some(keep_alive.interval))
        .http2_keepalive_timeout(Some(keep_alive.timeout))
        .max_concurrent_streams(MAX_STREAMS)
        .add_routes(Routes::from(protect(router, edge)))
        // Without it the last bytes of a message wait for the peer's delayed acknowledgement: 40 ms.
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), async move {
            stopping.wait().await;
            stop_serving(health, &names).await;
        });
    drain(shutdown, served).await.unwrap_or(Ok(())).map_err(ServeError::Grpc)
}

/// Tells those who watch that nothing is served any more, and lets them go: else they would hold up the drain.
async fn stop_serving(mut health: HealthReporter, names: &[String]) {
    for name in names {
        health.set_service_status(name, ServingStatus::NotServing).await;
        health.clear_service_status(name).await;
    }
}

/// Serves an HTTP router (put [`protect`] before it) until the order to stop; then drains.
pub async fn serve_http(listener: TcpListener, router: Router, shutdown: Shutdown) -> Result<(), ServeError> {
    let _serving = shutdown.serving();
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

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;

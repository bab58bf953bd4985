//! What stands before every call: host, origin, token, trace context, deadline, and its rate, errors, duration and span.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use qflow_telemetry::{Telemetry, traces};
use tokio::time::timeout;
use tonic::Code;

use crate::{
    Auth, methods,
    red::{self, End, Guard, Watched},
    route,
};

/// How long a gRPC call may take to be answered, a stream to begin: longer than any of them needs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// How long a start may take: files are copied for it and environments resolved before it is answered.
pub(crate) const STARTING: Duration = Duration::from_mins(5);

/// The header by which every answer to a call says which version of the program gave it.
pub const VERSION: &str = "qflow-version";

/// The header by which a service says with its answer to `grpc.health.v1`, to whoever may call it, how its telemetry gets out.
pub const TELEMETRY: &str = "qflow-telemetry";

/// What stands before every call.
#[derive(Clone)]
pub struct Edge {
    /// What a caller must show; health and reflection are exempt by exact path.
    pub auth: Auth,
    /// Refuse a `Host` or an `Origin` that is not this machine's loopback, and bodies that a web page can send unasked.
    pub loopback_only: bool,
    /// Where calls are told.
    pub telemetry: Telemetry,
}

/// Puts the edge before a router.
pub fn protect(router: Router, edge: Edge) -> Router {
    router.layer(from_fn_with_state(Arc::new(edge), enter))
}

async fn enter(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    if !is_grpc(request.headers()) {
        let answer = async |request| match refusal(&edge, &request) {
            Some(refusal) => refusal.as_json(),
            None => next.run(request).await,
        };
        return route::watch(&edge.telemetry, request, answer).await;
    }
    let method = methods::label(request.uri().path());
    let mut guard = Guard::new(edge.telemetry.clone(), End::Server, method, traces::extract(request.headers()));
    if let Some(refusal) = refusal(&edge, &request) {
        guard.finish(red::name(refusal.code));
        return trailers_only(refusal.code, refusal.message);
    }
    // Nobody has to show anything for that answer, and of what is inside only who does is told.
    let is_told = methods::is_health(request.uri().path()) && edge.auth.admits(request.headers());
    let mut guard = guard.given(red::given(request.headers()));
    let request = request.map(|body| Body::new(guard.hears(body)));
    let answering = traces::within(guard.context(), next.run(request));
    // What streams in takes as long as it is large: who takes it bounds the wait for each piece.
    let answered = match deadline(method) {
        Some(deadline) => timeout(deadline, answering).await.map_err(|_| deadline),
        None => Ok(answering.await),
    };
    let response = match answered {
        Ok(response) => response,
        Err(deadline) => {
            guard.finish(red::name(Code::DeadlineExceeded));
            return trailers_only(Code::DeadlineExceeded, &format!("no answer within {} s", deadline.as_secs()));
        }
    };
    if let Some(status) = response.headers().get("grpc-status") {
        guard.finish(red::code(status));
    }
    let mut response = response.map(|inner| Body::new(Watched { inner, guard }));
    response.headers_mut().insert(VERSION, HeaderValue::from_static(env!("CARGO_PKG_VERSION")));
    if is_told && let Ok(pipeline) = HeaderValue::from_str(&edge.telemetry.pipeline().to_string()) {
        response.headers_mut().insert(TELEMETRY, pipeline);
    }
    response
}

/// Why a call is not let in.
struct Refusal {
    status: StatusCode,
    code: Code,
    message: &'static str,
}

fn refusal(edge: &Edge, request: &Request) -> Option<Refusal> {
    let refused = |status, code, message| Some(Refusal { status, code, message });
    if edge.loopback_only && !from_loopback(request) {
        return refused(StatusCode::FORBIDDEN, Code::PermissionDenied, "this address serves its own machine only");
    }
    if !methods::is_exempt(request.uri().path()) && !edge.auth.admits(request.headers()) {
        return refused(StatusCode::UNAUTHORIZED, Code::Unauthenticated, "a valid bearer token is required");
    }
    if edge.loopback_only && !is_deliberate(request) {
        return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, "bodies are application/json");
    }
    None
}

/// Whether a body has a kind that a web page can send only where it is allowed to.
fn is_deliberate(request: &Request) -> bool {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let headers = request.headers();
    reads || is_grpc(headers) || kind(headers).is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
}

/// The content's type without its parameters.
fn kind(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()?.split(';').next().map(str::trim)
}

/// By when a method is answered; nothing for one that takes as long as what streams in is large.
fn deadline(method: &str) -> Option<Duration> {
    if methods::streams_in(method) {
        return None;
    }
    Some(if methods::starts(method) { STARTING } else { DEADLINE })
}

fn is_grpc(headers: &HeaderMap) -> bool {
    kind(headers).is_some_and(|kind| kind == "application/grpc" || kind.starts_with("application/grpc+"))
}

/// Whether `Host`, the HTTP/2 authority and `Origin` name this machine; a web page elsewhere cannot forge them.
fn from_loopback(request: &Request) -> bool {
    let all = |name: HeaderName, is: fn(&str) -> bool| {
        request.headers().get_all(name).iter().all(|value| value.to_str().is_ok_and(is))
    };
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    let named = authority.is_some() || request.headers().contains_key(header::HOST);
    let origin = |value: &str| value.split_once("://").is_some_and(|(_, host)| is_loopback(host));
    named && authority.is_none_or(is_loopback) && all(header::HOST, is_loopback) && all(header::ORIGIN, origin)
}

fn is_loopback(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<http::uri::Authority>() else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl Refusal {
    fn as_json(&self) -> Response {
        let mut response = Response::new(Body::from(format!("{{\"error\":\"{}\"}}", self.message)));
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// An answer that is a status alone; of its message what a header holds.
fn trailers_only(code: Code, message: &str) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(code as i32));
    if let Ok(message) = HeaderValue::from_str(message) {
        headers.insert("grpc-message", message);
    }
    response
}

#[cfg(test)]
#[path = "edge_tests.rs"]
mod tests;

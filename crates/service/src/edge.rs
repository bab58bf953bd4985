//! What stands before every call: host, origin, token, trace context, deadline, and its rate, errors, duration and span.

use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, HttpBody as _},
    extract::{MatchedPath, Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use qflow_model::access::Caller;
use qflow_telemetry::{Telemetry, traces};
use tokio::time::timeout;
use tonic::Code;

use crate::{
    Auth,
    door::Closed,
    methods,
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

/// Kinds of bodies that a web page of another origin cannot send without asking first.
const DELIBERATE: [&str; 2] = ["application/json", STREAM];
/// The kind of what is as large as it is.
const STREAM: &str = "application/octet-stream";
/// What only whoever has the server's own token is told, asked as a route that there is not.
const OWN: &str = "";

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

/// Lets a request in that may enter: who calls goes with it.
async fn enter(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    if !is_grpc(request.headers()) {
        let answer = async |request: Request| match admit(&edge, request).await {
            Err(refusal) => refusal.as_problem(),
            Ok(request) => in_time(request, next).await,
        };
        return route::watch(&edge.telemetry, request, answer).await;
    }
    let method = methods::label(request.uri().path());
    let mut guard = Guard::new(edge.telemetry.clone(), End::Server, method, traces::extract(request.headers()));
    let request = match admit(&edge, request).await {
        Err(refusal) => {
            guard.finish(red::name(refusal.code));
            return trailers_only(refusal.code, &refusal.message);
        }
        Ok(request) => request,
    };
    // Nobody has to show anything for that answer, and of what is inside only who does is told.
    let is_told = methods::is_health(request.uri().path()) && {
        let headers = request.headers().clone();
        edge.auth.enter(&headers, OWN).await.is_ok_and(|caller| caller.is_some_and(|caller| caller.is_own()))
    };
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
    message: Cow<'static, str>,
}

/// The request with who calls, nobody where the path is open to all.
async fn admit(edge: &Edge, request: Request) -> Result<Request, Refusal> {
    let refused = |status, code, message: &'static str| Err(Refusal { status, code, message: message.into() });
    let (mut parts, body) = request.into_parts();
    if edge.loopback_only && !from_loopback(&parts) {
        return refused(StatusCode::FORBIDDEN, Code::PermissionDenied, "this address serves its own machine only");
    }
    if parts.uri.path().contains("%00") || parts.uri.query().is_some_and(|query| query.contains("%00")) {
        return refused(StatusCode::BAD_REQUEST, Code::InvalidArgument, "an address holds no zero byte");
    }
    if !methods::is_exempt(parts.uri.path()) {
        let caller: Option<Caller> = edge.auth.enter(&parts.headers, &place(&parts)).await.map_err(Refusal::from)?;
        caller.map(|caller| parts.extensions.insert(caller));
    }
    // What is served goes by the path: a request whose kind belongs to the other of the two is neither's.
    match (is_method(&parts), is_grpc(&parts.headers)) {
        (true, false) => {
            return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, "this is a method of gRPC");
        }
        (false, true) => return refused(StatusCode::NOT_FOUND, Code::Unimplemented, "there is no such method"),
        (true, true) | (false, false) => {}
    }
    if edge.loopback_only && !is_deliberate(&parts, body.is_end_stream()) {
        return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, "bodies are application/json");
    }
    Ok(Request::from_parts(parts, body))
}

impl From<Closed> for Refusal {
    fn from(closed: Closed) -> Self {
        let (status, code, message) = match closed {
            Closed::Unknown => {
                (StatusCode::UNAUTHORIZED, Code::Unauthenticated, "a valid bearer token is required".into())
            }
            Closed::Forbidden(why) => (StatusCode::FORBIDDEN, Code::PermissionDenied, why.into()),
            Closed::Unavailable(why) => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, why.into()),
        };
        Self { status, code, message }
    }
}

/// Has a request answered by when one is: an upload takes as long as it is large, and what streams out has begun by then.
async fn in_time(request: Request, next: Next) -> Response {
    let last = request.uri().path().rsplit('/').next().filter(|_| request.method() == Method::POST);
    let deadline = match last {
        Some("uploads") => return next.run(request).await,
        Some("runs") => STARTING,
        _ => DEADLINE,
    };
    timeout(deadline, next.run(request)).await.unwrap_or_else(|_| {
        let message = format!("no answer within {} s", deadline.as_secs()).into();
        Refusal { status: StatusCode::GATEWAY_TIMEOUT, code: Code::DeadlineExceeded, message }.as_problem()
    })
}

/// Whether a request goes to a service of gRPC, by its path: one that is served here, as tonic declares its routes, or one that is described.
fn is_method(parts: &Parts) -> bool {
    let declared = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    declared.ends_with("/{*rest}") || methods::is_of_service(parts.uri.path())
}

/// Where a request goes, as whoever is asked about it knows the place: by its path alone.
fn place(parts: &Parts) -> Cow<'_, str> {
    let path = parts.uri.path();
    if is_method(parts) {
        return path.strip_prefix('/').unwrap_or(path).into();
    }
    let declared = parts.extensions.get::<MatchedPath>().map_or(path, MatchedPath::as_str);
    format!("{} {declared}", parts.method).into()
}

/// Whether a body has a kind that a web page can send only where it is allowed to, or there is none.
fn is_deliberate(parts: &Parts, is_empty: bool) -> bool {
    let reads = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    let is_kind = |kind: &str| DELIBERATE.iter().any(|known| kind.eq_ignore_ascii_case(known));
    reads || is_grpc(&parts.headers) || kind(&parts.headers).map_or(is_empty, is_kind)
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
fn from_loopback(parts: &Parts) -> bool {
    let all = |name: HeaderName, is: fn(&str) -> bool| {
        parts.headers.get_all(name).iter().all(|value| value.to_str().is_ok_and(is))
    };
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let named = authority.is_some() || parts.headers.contains_key(header::HOST);
    let origin = |value: &str| value.split_once("://").is_some_and(|(_, host)| is_loopback(host));
    named && authority.is_none_or(is_loopback) && all(header::HOST, is_loopback) && all(header::ORIGIN, origin)
}

fn is_loopback(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<http::uri::Authority>() else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl Refusal {
    fn as_problem(&self) -> Response {
        let code = red::name(self.code).to_ascii_lowercase();
        let title = self.status.canonical_reason().unwrap_or_default();
        let mut body = serde_json::json!({
            "type": "about:blank", "title": title, "status": self.status.as_u16(), "detail": self.message, "code": code,
        });
        if let Some(trace) = traces::current() {
            body["trace_id"] = trace.trace_id.into();
        }
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// An answer that is a status alone.
fn trailers_only(code: Code, message: &str) -> Response {
    tonic::Status::new(code, message).into_http()
}

#[cfg(test)]
#[path = "edge_tests.rs"]
mod tests;

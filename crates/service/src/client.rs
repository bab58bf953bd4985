//! Channels to other services: keep-alive while idle, a connect timeout, a deadline, the caller's trace and token on
//! every call, and its rate, errors, duration and span.

use std::{
    error::Error,
    fmt,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Request, Response, Uri, header};
use qflow_telemetry::{Telemetry, TraceContext, traces};
use tokio::time::timeout;
use tonic::{
    Status, TimeoutExpired,
    body::Body,
    transport::{Channel, ClientTlsConfig, Endpoint},
};
use tower::Service;

use crate::{
    edge::DEADLINE,
    methods,
    red::{self, End, Guard, Watched},
    server::{KEEP_ALIVE, KeepAlive},
};

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// What the transport says where TLS took too long; it has no kind that can be matched.
const TLS_TOO_LATE: &str = "TLS handshake timeout.";

/// How the ways of a channel are bounded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) keep_alive: KeepAlive,
    pub(crate) connect: Duration,
    /// How long any call may take to be answered; streams only until they begin. A call may ask for less.
    pub(crate) deadline: Duration,
}

const BOUNDS: Bounds = Bounds { keep_alive: KEEP_ALIVE, connect: CONNECT_TIMEOUT, deadline: DEADLINE };

/// Why there is no channel.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The address is none.
    #[error("`{url}` is not an address of a service")]
    Address {
        /// What was given.
        url: String,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
    /// It is of another form.
    #[error("`{url}` is not an address of a service: say http://HOST:PORT or https://HOST:PORT")]
    Form {
        /// What was given.
        url: String,
    },
    /// No header can carry the token.
    #[error("the token for `{url}` holds characters that no header can carry")]
    Token {
        /// Whom it was for.
        url: String,
    },
}

/// Whether a text is an address under which a service may be called: `http://HOST[:PORT]` or `https://HOST[:PORT]`.
pub fn is_address(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else { return false };
    let bare = uri.path() == "/" && uri.query().is_none();
    // What stands before the host (a name, a password) is no part of an address.
    let place = uri.authority().and_then(|all| Some((all.host(), all.as_str().strip_prefix(all.host())?)));
    let is_port = |text: &str| text.parse::<u16>().is_ok_and(|port| port > 0);
    matches!(uri.scheme_str(), Some("http" | "https"))
        && bare
        && place.is_some_and(|(host, port)| {
            !host.is_empty() && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
        })
}

/// A channel that connects when first used and again whenever its connection is lost.
///
/// Set message limits on the client: `max_decoding_message_size`. Must be called within a tokio runtime.
pub fn channel(url: &str) -> Result<Channel, ChannelError> {
    lazy(url, None, BOUNDS)
}

/// [`channel`] with a token and the current trace context on every call.
pub fn authed_channel(url: &str, token: Option<&str>) -> Result<AuthedChannel, ChannelError> {
    bounded(url, token, None, BOUNDS)
}

/// [`authed_channel`] over TLS: the authority that the server is held to and, where it asks, our own certificate.
pub fn tls_channel(url: &str, token: Option<&str>, tls: ClientTlsConfig) -> Result<AuthedChannel, ChannelError> {
    bounded(url, token, Some(tls), BOUNDS)
}

pub(crate) fn bounded(
    url: &str,
    token: Option<&str>,
    tls: Option<ClientTlsConfig>,
    bounds: Bounds,
) -> Result<AuthedChannel, ChannelError> {
    let bearer = |token| {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| ChannelError::Token { url: url.to_owned() })?;
        value.set_sensitive(true);
        Ok(value)
    };
    let bearer = token.map(bearer).transpose()?;
    let inner = lazy(url, tls, bounds)?;
    // A channel was made of it: it reads.
    let url = url.parse().unwrap_or_default();
    Ok(AuthedChannel { inner, url, bearer, telemetry: None, deadline: bounds.deadline })
}

fn lazy(url: &str, tls: Option<ClientTlsConfig>, bounds: Bounds) -> Result<Channel, ChannelError> {
    if !is_address(url) {
        return Err(ChannelError::Form { url: url.to_owned() });
    }
    let wrong = |source| ChannelError::Address { url: url.to_owned(), source };
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(wrong)?
        .connect_timeout(bounds.connect)
        .timeout(bounds.deadline)
        .http2_keep_alive_interval(bounds.keep_alive.interval)
        .keep_alive_timeout(bounds.keep_alive.timeout)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .user_agent(concat!("qflow/", env!("CARGO_PKG_VERSION")))
        .map_err(wrong)?;
    match tls {
        Some(tls) => Ok(endpoint.tls_config(tls.timeout(bounds.connect)).map_err(wrong)?.connect_lazy()),
        None => Ok(endpoint.connect_lazy()),
    }
}

/// A channel that shows a token, carries the current trace context and tells of its calls.
#[derive(Clone)]
pub struct AuthedChannel {
    inner: Channel,
    url: Uri,
    bearer: Option<HeaderValue>,
    telemetry: Option<Telemetry>,
    deadline: Duration,
}

impl AuthedChannel {
    /// With every call told to `telemetry`.
    #[must_use]
    pub fn telling(mut self, telemetry: &Telemetry) -> Self {
        self.telemetry = Some(telemetry.clone());
        self
    }

    fn guard(&self, request: &Request<Body>, trace: Option<TraceContext>) -> Option<Guard> {
        let method = methods::label(request.uri().path());
        Some(Guard::new(self.telemetry.clone()?, End::Client, method, trace).at(&self.url))
    }
}

impl fmt::Debug for AuthedChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthedChannel")
    }
}

impl Service<Request<Body>> for AuthedChannel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx).map_err(status)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let trace = traces::current();
        if let Some(bearer) = &self.bearer {
            request.headers_mut().insert(header::AUTHORIZATION, bearer.clone());
        }
        let guard = self.guard(&request, trace.clone());
        if let Some(context) = guard.as_ref().map_or(trace, Guard::context) {
            traces::inject(request.headers_mut(), &context);
        }
        let deadline = red::given(request.headers()).map_or(self.deadline, |given| given.min(self.deadline));
        let calling = self.inner.call(request);
        Box::pin(async move {
            // The channel's own time begins once it is connected: ours holds for that too.
            let answer = match timeout(deadline, calling).await {
                Ok(answer) => answer.map_err(status),
                Err(_) => Err(too_late()),
            };
            Ok(match guard {
                Some(guard) => watch(guard, answer)?,
                None => answer?,
            })
        })
    }
}

/// Has the guard tell how a call ended, now or with the end of its answer.
fn watch(mut guard: Guard, answer: Result<Response<Body>, Status>) -> Result<Response<Body>, Status> {
    match answer {
        Err(status) => {
            guard.finish(red::name(status.code()));
            Err(status)
        }
        Ok(response) => {
            if let Some(status) = response.headers().get("grpc-status") {
                guard.finish(red::code(status));
            }
            Ok(response.map(|inner| Body::new(Watched { inner, guard })))
        }
    }
}

fn too_late() -> Status {
    Status::deadline_exceeded("no answer in time")
}

/// Whether a call failed since its peer took too long: to take the connection, or to say anything on it. Else it refused, or is gone.
pub fn was_late(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(at) = cause {
        let connecting = at.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
        let keeping_alive = at.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout);
        if connecting || keeping_alive || at.to_string() == TLS_TOO_LATE {
            return true;
        }
        cause = at.source();
    }
    status.code() == tonic::Code::DeadlineExceeded
}

/// A transport's error as a status; tonic tells its own time-out as cancelled.
fn status(error: tonic::transport::Error) -> Status {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(at) = cause {
        if at.is::<TimeoutExpired>() {
            return too_late();
        }
        cause = at.source();
    }
    Status::from_error(Box::new(error))
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;

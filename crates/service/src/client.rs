//! Channels to other services: keep-alive while idle, a connect timeout, the caller's trace and token on every call.

use std::time::Duration;

use tonic::{
    metadata::MetadataMap,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

/// How often an idle connection is tried.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// How long an answer to that may take: a silent partition is seen within both together.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long any call may take to be answered; streams only until they begin. A call may ask for less.
const DEADLINE: Duration = Duration::from_secs(30);

/// An address that is none.
#[derive(Debug, thiserror::Error)]
#[error("`{url}` is not an address of a service")]
pub struct ChannelError {
    url: String,
    #[source]
    source: tonic::transport::Error,
}

/// A channel that connects when first used and again whenever its connection is lost.
///
/// Set message limits on the client: `max_decoding_message_size`. Must be called within a tokio runtime.
pub fn channel(url: &str) -> Result<Channel, ChannelError> {
    let endpoint =
        Endpoint::from_shared(url.to_owned()).map_err(|source| ChannelError { url: url.to_owned(), source })?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(DEADLINE)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .user_agent(concat!("qflow/", env!("CARGO_PKG_VERSION")))
        .map_err(|source| ChannelError { url: url.to_owned(), source })?
        .connect_lazy())
}

/// A channel that shows a token and carries the current trace context.
pub type AuthedChannel = InterceptedService<Channel, Bearer>;

/// [`channel`] with a token and the current trace context on every call.
pub fn authed_channel(url: &str, token: Option<&str>) -> Result<AuthedChannel, ChannelError> {
    Ok(InterceptedService::new(channel(url)?, Bearer::new(token)))
}

/// Adds the token and the current trace context to calls.
#[derive(Clone)]
pub struct Bearer(Option<http::HeaderValue>);

impl Bearer {
    /// With a token, or without; one that no header can carry is left out and refused by the server.
    pub fn new(token: Option<&str>) -> Self {
        let value = token.and_then(|t| http::HeaderValue::from_str(&format!("Bearer {t}")).ok());
        Self(value.map(|mut v| {
            v.set_sensitive(true);
            v
        }))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        let mut headers = std::mem::take(request.metadata_mut()).into_headers();
        if let Some(value) = &self.0 {
            headers.insert(http::header::AUTHORIZATION, value.clone());
        }
        if let Some(context) = qflow_telemetry::traces::current() {
            qflow_telemetry::traces::inject(&mut headers, &context);
        }
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        Ok(request)
    }
}

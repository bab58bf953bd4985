//! Traces: context as data, spans with given ids, and their way out over OTLP.

use std::{fmt, str::FromStr, time::SystemTime};

use opentelemetry::{SpanId, TraceFlags, TraceId};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};
use serde::{Deserialize, Serialize};

use crate::otel;

/// What a vendors' list says of ours.
const OURS: &str = "qflow=";
/// The word by which a collector keeps a trace.
const KEPT: &str = "qflow=keep";
/// Members that a vendors' list may have, by the standard.
const STATES: usize = 32;

/// A place in a trace: what a `traceparent` says, and what is stored with a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceContext {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits: the span that children name as their parent.
    pub span_id: String,
    /// Whether it is recorded.
    pub sampled: bool,
    /// The vendors' list, unread.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tracestate: String,
}

impl TraceContext {
    /// A new trace with a new span in it, recorded if `OTEL_TRACES_SAMPLER` takes it: by default every one.
    pub fn root() -> Self {
        let trace = RandomIdGenerator::default().new_trace_id();
        Self {
            trace_id: trace.to_string(),
            span_id: new_span_id(),
            sampled: otel::sampler().takes(trace),
            tracestate: String::new(),
        }
    }

    /// The same trace with a new span id.
    #[must_use]
    pub fn child(&self) -> Self {
        self.with_span(new_span_id())
    }

    /// The same trace at a given span.
    #[must_use]
    pub fn with_span(&self, span_id: String) -> Self {
        Self { span_id, ..self.clone() }
    }

    /// The same, recorded, and kept by a collector whatever that samples: the vendors' list begins with our word for it.
    #[must_use]
    pub fn kept(mut self) -> Self {
        let others = self.tracestate.split(',').map(str::trim).filter(|one| !one.is_empty() && !one.starts_with(OURS));
        self.tracestate = std::iter::once(KEPT).chain(others.take(STATES - 1)).collect::<Vec<_>>().join(",");
        self.sampled = true;
        self
    }

    /// The W3C header `traceparent`.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }

    /// Reads a `traceparent`; nothing where it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    pub(crate) fn ids(&self) -> Option<(TraceId, SpanId, TraceFlags)> {
        let trace = TraceId::from_hex(&self.trace_id).ok()?;
        let span = SpanId::from_hex(&self.span_id).ok()?;
        let flags = if self.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        Some((trace, span, flags))
    }
}

impl From<&qflow_model::progress::TraceContext> for TraceContext {
    /// Where a run's root span stands.
    fn from(stored: &qflow_model::progress::TraceContext) -> Self {
        Self {
            trace_id: stored.trace_id.clone(),
            span_id: stored.span_id.clone(),
            sampled: stored.flags & 1 == 1,
            tracestate: stored.state.clone(),
        }
    }
}

/// A new random span id, as 16 hexadecimal digits.
pub fn new_span_id() -> String {
    RandomIdGenerator::default().new_span_id().to_string()
}

/// A text that is not a `traceparent`.
#[derive(Debug, thiserror::Error)]
#[error("a traceparent reads 00-TRACE-SPAN-FLAGS in lower-case hexadecimal")]
pub struct NotATraceparent;

impl FromStr for TraceContext {
    type Err = NotATraceparent;

    fn from_str(text: &str) -> Result<Self, NotATraceparent> {
        let mut parts = text.trim().split('-');
        let mut next = |digits: usize| {
            parts
                .next()
                .filter(|p| p.len() == digits && p.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
                .ok_or(NotATraceparent)
        };
        let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        let zero = |id: &str| id.bytes().all(|b| b == b'0');
        let more = parts.next().is_some();
        if version == "ff" || zero(trace) || zero(span) || (more && version == "00") {
            return Err(NotATraceparent);
        }
        let flags = u8::from_str_radix(flags, 16).map_err(|_| NotATraceparent)?;
        Ok(Self {
            trace_id: trace.to_owned(),
            span_id: span.to_owned(),
            sampled: flags & 1 == 1,
            tracestate: String::new(),
        })
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.traceparent())
    }
}

const TRACEPARENT: http::HeaderName = http::HeaderName::from_static("traceparent");
const TRACESTATE: http::HeaderName = http::HeaderName::from_static("tracestate");

/// Writes the context into headers; tonic's `MetadataMap` gives its own by `into_headers`.
pub fn inject(headers: &mut http::HeaderMap, context: &TraceContext) {
    if let Ok(value) = http::HeaderValue::from_str(&context.traceparent()) {
        headers.insert(TRACEPARENT, value);
    }
    if !context.tracestate.is_empty()
        && let Ok(value) = http::HeaderValue::from_str(&context.tracestate)
    {
        headers.insert(TRACESTATE, value);
    }
}

/// Reads the context from headers.
pub fn extract(headers: &http::HeaderMap) -> Option<TraceContext> {
    let mut context = TraceContext::parse(headers.get(TRACEPARENT)?.to_str().ok()?)?;
    if let Some(state) = headers.get(TRACESTATE).and_then(|v| v.to_str().ok()) {
        state.clone_into(&mut context.tracestate);
    }
    Some(context)
}

tokio::task_local! { static CURRENT: TraceContext; }

/// Runs a future with a current trace context, which outgoing calls and exemplars take.
pub async fn within<F: Future>(context: Option<TraceContext>, future: F) -> F::Output {
    match context {
        Some(context) => CURRENT.scope(context, future).await,
        None => future.await,
    }
}

/// The current task's trace context.
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(Clone::clone).ok()
}

/// What kind of work a span is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Within a process.
    #[default]
    Internal,
    /// The serving side of a call.
    Server,
    /// The calling side of a call.
    Client,
}

/// A span that has ended, with ids of its own choosing.
#[derive(Clone, Debug)]
pub struct SpanRecord {
    /// Its name, e.g. `node_execution`.
    pub name: String,
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// Its parent, where it has one.
    pub parent_span_id: Option<String>,
    /// Whether it is recorded.
    pub sampled: bool,
    /// The vendors' list of its trace.
    pub tracestate: String,
    /// What kind of work.
    pub kind: Kind,
    /// When it began.
    pub start: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// Facts.
    pub attributes: Vec<(String, serde_json::Value)>,
    /// What happened within, by time.
    pub events: Vec<SpanEvent>,
    /// Spans elsewhere it has to do with, e.g. the attempt before.
    pub links: Vec<TraceContext>,
    /// Why it failed, where it did.
    pub error: Option<String>,
}

/// What happened at a point of a span.
#[derive(Clone, Debug)]
pub struct SpanEvent {
    /// Its name.
    pub name: String,
    /// When.
    pub at: SystemTime,
    /// Facts.
    pub attributes: Vec<(String, serde_json::Value)>,
}

impl SpanRecord {
    /// A span of `context` (its trace, its span id, its flag) without facts.
    pub fn new(name: impl Into<String>, context: &TraceContext, start: SystemTime, end: SystemTime) -> Self {
        Self {
            name: name.into(),
            trace_id: context.trace_id.clone(),
            span_id: context.span_id.clone(),
            parent_span_id: None,
            sampled: context.sampled,
            tracestate: context.tracestate.clone(),
            kind: Kind::Internal,
            start,
            end,
            attributes: Vec::new(),
            events: Vec::new(),
            links: Vec::new(),
            error: None,
        }
    }

    /// With a parent.
    #[must_use]
    pub fn child_of(mut self, parent_span_id: impl Into<String>) -> Self {
        self.parent_span_id = Some(parent_span_id.into());
        self
    }

    /// With one more fact.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        self.attributes.push((name.into(), value.into()));
        self
    }

    /// With one more event.
    #[must_use]
    pub fn event(mut self, name: impl Into<String>, at: SystemTime) -> Self {
        self.events.push(SpanEvent { name: name.into(), at, attributes: Vec::new() });
        self
    }

    /// Failed, where there is an error.
    #[must_use]
    pub fn error(mut self, error: Option<String>) -> Self {
        self.error = error;
        self
    }
}

/// The wall clock's reading of a model timestamp.
pub fn system_time(at: qflow_model::ids::Timestamp) -> SystemTime {
    let micros = std::time::Duration::from_micros(at.0.unsigned_abs());
    if at.0 >= 0 { SystemTime::UNIX_EPOCH + micros } else { SystemTime::UNIX_EPOCH - micros }
}

//! The catalogue of metrics, events, logs, traces and /metrics.

pub mod events;
pub mod traces;

use std::sync::Arc;

pub use events::{ContainerRef, ErrorInfo, Event, Level, NodeRef, RunRef};
pub use traces::{SpanEvent, SpanRecord, TraceContext};

/// Where telemetry goes; a cheap clone, handed to every service.
#[derive(Clone)]
pub struct Telemetry {
    shared: Arc<Shared>,
    component: &'static str,
}

struct Shared {}

/// How a process's telemetry is set up.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// `service.name`.
    pub service: &'static str,
    /// The version for `qflow_build_info`.
    pub version: &'static str,
    /// Lines are JSON, else for people.
    pub json: bool,
    /// Lines below it are not written.
    pub level: Level,
    /// Lines go to standard error, else to standard output.
    pub to_stderr: bool,
    /// Where spans go, e.g. `http://127.0.0.1:4317`; nowhere without it.
    pub otlp_endpoint: Option<String>,
}

impl Telemetry {
    /// Telemetry as configured; must be called within a tokio runtime where spans are exported.
    pub fn new(config: TelemetryConfig) -> Self {
        let _ = config;
        Self::silent()
    }

    /// What `/metrics` answers to an `Accept` header: content type and text.
    pub fn render(&self, accept: Option<&str>) -> (&'static str, String) {
        let _ = accept;
        ("text/plain; version=0.0.4; charset=utf-8", String::new())
    }

    /// Tells of one call served (`server`) or made.
    pub fn rpc(&self, server: bool, method: &str, code: &'static str, seconds: f64, trace: Option<&TraceContext>) {
        let _ = (server, method, code, seconds, trace);
    }

    /// Telemetry that goes nowhere, for tests.
    pub fn silent() -> Self {
        Self { shared: Arc::new(Shared {}), component: "test" }
    }

    /// The same, with another component's name on lines and spans.
    #[must_use]
    pub fn component(&self, component: &'static str) -> Self {
        Self { component, shared: Arc::clone(&self.shared) }
    }

    /// Tells an event: its log line and its metrics.
    pub fn emit(&self, event: Event) {
        let _ = (event, self.component);
    }

    /// Sends a span that has ended.
    pub fn record_span(&self, span: SpanRecord) {
        let _ = span;
    }

    /// Flushes what is queued; at most a few seconds.
    pub fn shutdown(&self) {}
}

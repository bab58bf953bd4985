//! The catalogue of metrics, events, logs, traces and /metrics.

pub mod catalogue;
pub mod define;
mod emit;
pub mod events;
mod export;
pub mod labels;
mod log;
mod render;
pub mod traces;

use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

pub use catalogue::{CATALOGUE, Metrics};
pub use events::{ContainerRef, ErrorInfo, Event, Level, NodeRef, RunRef};
pub use export::Collected;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry_sdk::trace::SdkTracerProvider;
pub use traces::{SpanEvent, SpanRecord, TraceContext};

/// Where telemetry goes; a cheap clone, handed to every service.
#[derive(Clone)]
pub struct Telemetry {
    shared: Arc<Shared>,
    component: &'static str,
}

struct Shared {
    config: TelemetryConfig,
    metrics: Metrics,
    handle: PrometheusHandle,
    exemplars: define::Exemplars,
    log: Option<log::Log>,
    spans: Option<SdkTracerProvider>,
}

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
    /// Actions whose lines are not written, where another part of the program shows the same.
    pub muted: &'static [&'static str],
    /// Lines go to standard error, else to standard output.
    pub to_stderr: bool,
    /// Where spans go, e.g. `http://127.0.0.1:4317`; nowhere without it.
    pub otlp_endpoint: Option<String>,
}

impl TelemetryConfig {
    fn test() -> Self {
        Self {
            service: "test",
            version: "0",
            json: true,
            level: Level::Debug,
            muted: &[],
            to_stderr: false,
            otlp_endpoint: None,
        }
    }
}

impl Telemetry {
    /// Telemetry as configured; must be called within a tokio runtime where spans are exported.
    pub fn new(config: TelemetryConfig) -> Self {
        let out: Box<dyn Write + Send> =
            if config.to_stderr { Box::new(std::io::stderr()) } else { Box::new(std::io::stdout()) };
        let spans = config.otlp_endpoint.as_deref().map(|url| export::otlp(url, config.service, config.version));
        let (spans, failed) = match spans.transpose() {
            Ok(spans) => (spans, None),
            Err(error) => (None, Some(error)),
        };
        let telemetry = Self::build(config, Some(log::Log::to(out)), spans);
        if let Some(error) = failed {
            telemetry.emit(Event::error("otlp_unusable", error));
        }
        telemetry
    }

    /// Telemetry that goes nowhere, for tests; its metrics can be rendered.
    pub fn silent() -> Self {
        Self::build(TelemetryConfig::test(), None, None)
    }

    /// Telemetry whose spans are collected, for tests.
    pub fn collecting() -> (Self, Collected) {
        let collected = Collected::default();
        (Self::build(TelemetryConfig::test(), None, Some(export::simple(collected.clone()))), collected)
    }

    /// Telemetry whose lines go to `out`, for tests and for programs with a screen of their own.
    pub fn writing(config: TelemetryConfig, out: Box<dyn Write + Send>) -> Self {
        Self::build(config, Some(log::Log::to(out)), None)
    }

    fn build(config: TelemetryConfig, log: Option<log::Log>, spans: Option<SdkTracerProvider>) -> Self {
        let mut builder = PrometheusBuilder::new();
        for def in CATALOGUE.iter().filter(|def| !def.buckets.is_empty()) {
            let matcher = Matcher::Full(def.name.to_owned());
            // The one error is an empty list, which the filter leaves out.
            builder = builder.set_buckets_for_metric(matcher, def.buckets).unwrap_or_default();
        }
        let recorder = Arc::new(builder.build_recorder());
        let (handle, exemplars) = (recorder.handle(), define::Exemplars::default());
        let source = define::Source::new(recorder, Arc::clone(&exemplars));
        let metrics = Metrics::new(&source);
        metrics.build_info(labels::Open::of(config.service), labels::Open::of(config.version)).set(1.0);
        let component = config.service;
        Self { shared: Arc::new(Shared { config, metrics, handle, exemplars, log, spans }), component }
    }

    /// The same, with another component's name on lines and spans.
    #[must_use]
    pub fn component(&self, component: &'static str) -> Self {
        Self { component, shared: Arc::clone(&self.shared) }
    }

    /// The typed handles, for what no event tells (depths, ages, pools).
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Tells an event: its log line and its metrics.
    #[expect(clippy::disallowed_methods, reason = "a line carries the wall time of its writing")]
    #[expect(clippy::needless_pass_by_value, reason = "an event is told once")]
    pub fn emit(&self, event: Event) {
        let shared = &self.shared;
        emit::count(&shared.metrics, &event);
        let Some(log) = &shared.log else { return };
        let line = emit::line(&event);
        if line.level < shared.config.level || shared.config.muted.contains(&line.action) {
            return;
        }
        let at = format!("{:.6}", jiff::Timestamp::now());
        let text = if shared.config.json {
            line.json(&at, shared.config.service, self.component)
        } else {
            line.pretty(&at, self.component)
        };
        let sent = log.line(text);
        if !sent {
            shared.metrics.log_lines_dropped().increment(1);
        }
        shared.metrics.log_lines(delivery(sent)).increment(1);
    }

    /// Sends a span that has ended.
    pub fn record_span(&self, span: SpanRecord) {
        let Some(provider) = self.shared.spans.as_ref().filter(|_| span.sampled) else { return };
        let sent = export::record(provider, self.component, span);
        self.shared.metrics.spans(delivery(sent)).increment(1);
    }

    /// What `/metrics` answers to an `Accept` header: content type and text. Takes milliseconds: call it on a blocking thread.
    pub fn render(&self, accept: Option<&str>) -> (&'static str, String) {
        self.shared.handle.run_upkeep();
        render::render(self.shared.handle.render(), &self.shared.exemplars, accept)
    }

    /// Tells of one call served (`server`) or made.
    pub fn rpc(&self, server: bool, method: &str, code: &'static str, seconds: f64, trace: Option<&TraceContext>) {
        let (method, code) = (labels::Open::of(method), labels::Open::of(code));
        let metrics = &self.shared.metrics;
        let family = if server { metrics.rpc_server(method, code) } else { metrics.rpc_client(method, code) };
        family.record_in(seconds, trace);
    }

    /// Flushes what is queued; at most a few seconds.
    pub fn shutdown(&self) {
        if let Some(provider) = &self.shared.spans {
            drop(provider.shutdown_with_timeout(std::time::Duration::from_secs(3)));
        }
        if let Some(log) = &self.shared.log {
            log.flush();
        }
    }
}

fn delivery(sent: bool) -> labels::Delivery {
    labels::Delivery::of(if sent { "sent" } else { "dropped" })
}

/// A writer that a test reads.
#[derive(Clone, Debug, Default)]
pub struct Shelf(Arc<Mutex<Vec<u8>>>);

impl Shelf {
    /// What was written so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Shelf {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;

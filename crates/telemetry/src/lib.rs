//! The catalogue of metrics, events, logs, traces and /metrics.

mod calls;
pub mod catalogue;
pub mod define;
mod emit;
pub mod events;
mod export;
pub mod histogram;
pub mod labels;
mod live;
mod log;
mod otel;
mod outbox;
mod parts;
mod pipeline;
mod pretty;
mod process;
mod rates;
mod render;
mod sums;
pub mod traces;
mod upkeep;

use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

pub use calls::{Call, Ended};
pub use catalogue::{CATALOGUE, Metrics};
pub use events::{ContainerRef, ErrorInfo, Event, Level, NodeRef, RunRef};
pub use export::Collected;
pub use histogram::Histogram;
pub use live::Live;
use metrics_exporter_prometheus::PrometheusHandle;
use parts::Parts;
pub use pipeline::{NoPipeline, Pipeline};
pub use sums::Sum;
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
    /// Whether metrics are kept.
    records: bool,
    recorded: Recorded,
    rates: rates::Rates,
    collectors: Mutex<Vec<Collector>>,
    runtime: Option<tokio::runtime::Handle>,
    pipeline: pipeline::Counted,
    log: Option<log::Log<emit::Told>>,
    spans: Option<export::Spans>,
    _upkeep: Option<upkeep::Upkeep>,
}

/// Where recorded values are.
struct Recorded {
    handle: PrometheusHandle,
    exemplars: histogram::Exemplars,
    sums: sums::Sums,
    lives: live::Lives,
}

/// Codes of calls that failed by the server's fault.
///
/// As the objectives in `alerts/slo.rules.yml` mean it: the caller asked for nothing wrong.
const FAULTS: &[&str] = &["UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];

/// Reads what is only read when metrics are asked for.
type Collector = Box<dyn Fn(&Metrics) + Send + Sync>;

/// How a process's telemetry is set up.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// `service.name`, unless `OTEL_SERVICE_NAME` says another.
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
    /// Telemetry as configured, and as `OTEL_*` says; what is wrong there is told by a line.
    ///
    /// Within a tokio runtime its metrics tell of that runtime.
    pub fn new(config: TelemetryConfig) -> Self {
        let out: Box<dyn Write + Send> =
            if config.to_stderr { Box::new(std::io::stderr()) } else { Box::new(std::io::stdout()) };
        let otel = otel::Otel::from_env();
        let mut parts = Parts::that(config, otel.metrics);
        if let Some(service) = &otel.service {
            parts.service.clone_from(service);
        }
        let mut wrong = otel.wrong.clone();
        if let Some(url) = parts.config.otlp_endpoint.clone().filter(|_| otel.exports) {
            let told = (parts.service.clone(), parts.config.version);
            match export::otlp(url, &otel, told, parts.fate_of_spans()) {
                Ok(outbox) => parts.spans = Some(export::Spans::Out(outbox)),
                Err(error) => wrong.push(format!("no span leaves: {error}")),
            }
        }
        let telemetry = parts.build(Some(out), true);
        for wrong in wrong {
            telemetry.emit(Event::warning("setting_ignored", wrong));
        }
        telemetry
    }

    /// Telemetry that goes nowhere, for tests; its metrics can be rendered.
    pub fn silent() -> Self {
        Parts::new(TelemetryConfig::test()).build(None, false)
    }

    /// The same, which keeps no metrics either.
    #[cfg(test)]
    fn deaf() -> Self {
        Parts::that(TelemetryConfig::test(), false).build(None, false)
    }

    /// Telemetry whose spans are collected, for tests.
    pub fn collecting() -> (Self, Collected) {
        let collected = Collected::default();
        let mut parts = Parts::new(TelemetryConfig::test());
        parts.spans = Some(export::Spans::Kept(collected.clone()));
        (parts.build(None, false), collected)
    }

    /// Telemetry whose lines go to `out`, for tests and for programs with a screen of their own.
    pub fn writing(config: TelemetryConfig, out: Box<dyn Write + Send>) -> Self {
        Parts::new(config).build(Some(out), false)
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
    pub fn emit(&self, event: Event) {
        let shared = &self.shared;
        if shared.records {
            emit::count(&shared.metrics, &event);
            shared.rates.note(&event);
        }
        let Some(log) = &shared.log else { return };
        let (level, action) = emit::head(&event);
        if level < shared.config.level || shared.config.muted.contains(&action) {
            return;
        }
        let span = if emit::names_span(&event) { None } else { traces::current() };
        log.line(emit::Told { event, at: jiff::Timestamp::now(), component: self.component, span });
    }

    /// Whether anybody takes spans: where nobody does, none need be put together.
    pub fn takes_spans(&self) -> bool {
        self.shared.spans.is_some()
    }

    /// Sends a span that has ended; one that has no room is counted as dropped.
    pub fn record_span(&self, span: SpanRecord) {
        let Some(spans) = self.shared.spans.as_ref().filter(|_| span.sampled) else { return };
        spans.take(self.component, span);
    }

    /// Has `read` set metrics each time that they are asked for: ages, and what the machine counts.
    pub fn collect(&self, read: impl Fn(&Metrics) + Send + Sync + 'static) {
        self.shared.collectors.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(read));
    }

    /// What `/metrics` answers to an `Accept` header: content type and text. Takes milliseconds: call it on a blocking thread.
    pub fn render(&self, accept: Option<&str>) -> (&'static str, String) {
        let shared = &self.shared;
        shared.pipeline.asked_now();
        process::collect(&shared.metrics, shared.runtime.as_ref());
        shared.rates.tell(&shared.metrics);
        for read in &*shared.collectors.lock().unwrap_or_else(PoisonError::into_inner) {
            read(&shared.metrics);
        }
        shared.recorded.handle.run_upkeep();
        let mut text = shared.recorded.handle.render();
        shared.recorded.sums.render(&mut text);
        shared.recorded.lives.render(&mut text);
        render::render(text, &shared.recorded.exemplars, accept)
    }

    /// How what is told gets out of this process.
    pub fn pipeline(&self) -> Pipeline {
        self.shared.pipeline.now()
    }

    /// The text that the exporter alone makes of what was recorded: what [`Self::render`] is measured against.
    pub fn exporter_text(&self) -> String {
        self.shared.recorded.handle.render()
    }

    /// Tells of one call served (`server`) or made.
    pub fn rpc(&self, server: bool, method: &str, code: &'static str, seconds: f64, trace: Option<&TraceContext>) {
        let metrics = &self.shared.metrics;
        if server && FAULTS.contains(&code) {
            metrics.rpc_faults().increment(1);
        }
        let (method, code) = (labels::Open::of(method), labels::Open::of(code));
        let family = if server { metrics.rpc_server(method, code) } else { metrics.rpc_client(method, code) };
        family.record_in(seconds, trace);
    }

    /// Tells of one HTTP request that was answered: its method, its route as it is declared, its status.
    pub fn http(&self, method: &str, route: &str, status: u16, seconds: f64, trace: Option<&TraceContext>) {
        let (method, route) = (labels::HttpMethod::of(method), labels::Open::of(route));
        self.shared.metrics.http_server(method, route, labels::Open::of(&status.to_string())).record_in(seconds, trace);
    }

    /// Flushes what is queued; at most a few seconds.
    pub fn shutdown(&self) {
        if let Some(spans) = &self.shared.spans {
            spans.flush(std::time::Duration::from_secs(3));
        }
        if let Some(log) = &self.shared.log {
            log.flush();
        }
    }
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

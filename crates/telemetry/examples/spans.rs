//! Sends spans to where `OTEL_EXPORTER_OTLP_ENDPOINT` says, as a service does: `spans COUNT`.
//!
//! Prints what became of them, and in how many milliseconds they were recorded and how many the shutdown took.

use std::time::SystemTime;

use qflow_telemetry::{Level, SpanRecord, Telemetry, TelemetryConfig, TraceContext};
use tokio::time::Instant;

#[tokio::main]
async fn main() {
    let spans: usize = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1);
    let telemetry = Telemetry::new(TelemetryConfig {
        service: "example",
        version: "1.2.3",
        json: true,
        level: Level::Info,
        muted: &[],
        to_stderr: true,
        otlp_endpoint: std::env::var("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
            .or_else(|_| std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT"))
            .ok(),
    });
    let begun = Instant::now();
    for _ in 0..spans {
        let at = SystemTime::UNIX_EPOCH;
        telemetry.record_span(SpanRecord::new("example", &TraceContext::root(), at, at));
    }
    let recorded = begun.elapsed().as_millis();
    let begun = Instant::now();
    telemetry.shutdown();
    let stopped = begun.elapsed().as_millis();
    let (_, metrics) = telemetry.render(None);
    for outcome in ["sent", "dropped"] {
        let name = format!("qflow_telemetry_spans_total{{outcome=\"{outcome}\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or("none");
        println!("{outcome} {count}");
    }
    println!("recorded_ms {recorded}\nstopped_ms {stopped}");
}

//! The skeleton of every program: runtime, telemetry from the environment, signals, exit code.

use std::{io::IsTerminal as _, net::SocketAddr, process::ExitCode};

use qflow_telemetry::{Event, Level, Telemetry, TelemetryConfig};
use tokio::sync::oneshot;

use crate::Shutdown;

/// Where a service listens, once it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// gRPC.
    pub grpc: SocketAddr,
    /// HTTP, where it has one.
    pub http: Option<SocketAddr>,
    /// Admin, where it has its own.
    pub admin: Option<SocketAddr>,
}

/// Telemetry as the environment says: `QFLOW_LOG`, `QFLOW_LOG_FORMAT`, `OTEL_*`.
pub fn init(service: &'static str) -> Telemetry {
    let setting = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let json = match setting("QFLOW_LOG_FORMAT").as_deref() {
        Some("json") => true,
        Some("pretty") => false,
        _ => !std::io::stdout().is_terminal(),
    };
    let level = match setting("QFLOW_LOG").as_deref().map(str::to_ascii_lowercase).as_deref() {
        Some("debug" | "trace") => Level::Debug,
        Some("warn" | "warning") => Level::Warning,
        Some("error") => Level::Error,
        _ => Level::Info,
    };
    let otlp_endpoint =
        setting("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| setting("OTEL_EXPORTER_OTLP_ENDPOINT"));
    let version = env!("CARGO_PKG_VERSION");
    Telemetry::new(TelemetryConfig { service, version, json, level, muted: &[], to_stderr: false, otlp_endpoint })
}

/// Runs a service as a process until SIGTERM or SIGINT; the body of a `main`.
pub fn run<F, S>(service: &'static str, serve: S) -> ExitCode
where
    S: FnOnce(Telemetry, Shutdown, oneshot::Sender<Listening>) -> F,
    F: Future<Output = anyhow::Result<()>>,
{
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{service}: start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        let telemetry = init(service);
        let (listening, _heard) = oneshot::channel();
        let ended = match Shutdown::on_signals() {
            Ok(shutdown) => serve(telemetry.clone(), shutdown, listening).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = &ended {
            telemetry.emit(Event::error("service_failed", format!("{error:#}")));
        }
        telemetry.shutdown();
        if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    })
}

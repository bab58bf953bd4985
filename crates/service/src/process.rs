//! The skeleton of every program: runtime, telemetry from the environment, signals, exit code.

use std::{io::IsTerminal as _, net::SocketAddr, process::ExitCode, time::Duration};

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

/// Listeners and work that is left when a service has ended get so long to end too.
const LEFT: Duration = Duration::from_secs(1);

/// How lines are written, as the environment says.
#[derive(Debug, PartialEq, Eq)]
struct Lines {
    json: bool,
    level: Level,
    /// Settings that say nothing that can be followed.
    wrong: Vec<String>,
}

impl Lines {
    fn read(setting: impl Fn(&str) -> Option<String>, on_terminal: bool) -> Self {
        let setting = |name: &str| setting(name).map(|v| v.trim().to_ascii_lowercase()).filter(|v| !v.is_empty());
        let mut wrong = Vec::new();
        let json = match setting("QFLOW_LOG_FORMAT").as_deref() {
            Some("json") => true,
            Some("pretty") => false,
            None => !on_terminal,
            Some(other) => {
                wrong.push(format!("QFLOW_LOG_FORMAT is `{other}`, neither `json` nor `pretty`"));
                !on_terminal
            }
        };
        let level = match setting("QFLOW_LOG").as_deref() {
            Some("debug" | "trace") => Level::Debug,
            None | Some("info") => Level::Info,
            Some("warn" | "warning") => Level::Warning,
            Some("error") => Level::Error,
            Some(other) => {
                wrong
                    .push(format!("QFLOW_LOG is `{other}`, none of `debug`, `info`, `warning`, `error`; it is `info`"));
                Level::Info
            }
        };
        Self { json, level, wrong }
    }
}

/// Telemetry as the environment says: `QFLOW_LOG`, `QFLOW_LOG_FORMAT`, `OTEL_*`; what is wrong there is told by a line.
pub fn init(service: &'static str) -> Telemetry {
    let setting = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let lines = Lines::read(setting, std::io::stdout().is_terminal());
    let telemetry = Telemetry::new(TelemetryConfig {
        service,
        version: env!("CARGO_PKG_VERSION"),
        json: lines.json,
        level: lines.level,
        muted: &[],
        to_stderr: false,
        otlp_endpoint: setting("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| setting("OTEL_EXPORTER_OTLP_ENDPOINT")),
    });
    for wrong in lines.wrong {
        telemetry.emit(Event::warning("setting_ignored", wrong));
    }
    telemetry
}

/// Runs a service as a process until SIGTERM or SIGINT; the body of a `main`.
///
/// Its addresses are told by a line each, so that port 0 can be found. Ends with 0, or with 1 where it failed.
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
    let ended = runtime.block_on(async {
        let telemetry = init(service);
        let (listening, heard) = oneshot::channel();
        tokio::spawn(tell(telemetry.clone(), heard));
        let ended = match Shutdown::on_signals() {
            Ok(shutdown) => serve(telemetry.clone(), shutdown, listening).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = &ended {
            telemetry.emit(Event::error("service_failed", format!("{error:#}")));
        }
        telemetry.shutdown();
        ended
    });
    // What still blocks a thread must not keep the process.
    runtime.shutdown_timeout(LEFT);
    if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tells where the service listens, once it does.
async fn tell(telemetry: Telemetry, heard: oneshot::Receiver<Listening>) {
    // A service that ends before it listens tells why by itself.
    let Ok(Listening { grpc, http, admin }) = heard.await else { return };
    for (listener, address) in [("grpc", Some(grpc)), ("http", http), ("admin", admin)] {
        if let Some(address) = address {
            telemetry.emit(Event::ServiceListening { listener, address: address.to_string() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)], on_terminal: bool) -> Lines {
        let setting = |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Lines::read(setting, on_terminal)
    }

    #[test]
    fn lines_are_for_people_on_a_terminal_and_json_elsewhere_unless_said() {
        assert!(!read(&[], true).json && read(&[], false).json);
        assert!(read(&[("QFLOW_LOG_FORMAT", "JSON")], true).json);
        assert!(!read(&[("QFLOW_LOG_FORMAT", "pretty")], false).json);
        let levels =
            [("trace", Level::Debug), ("Info", Level::Info), ("WARN", Level::Warning), ("error", Level::Error)];
        for (text, level) in levels {
            assert_eq!(read(&[("QFLOW_LOG", text)], true), Lines { json: false, level, wrong: Vec::new() }, "{text}");
        }
    }

    #[test]
    fn a_level_or_a_format_that_is_none_is_told() {
        for (name, value) in [("QFLOW_LOG", "loud"), ("QFLOW_LOG_FORMAT", "xml")] {
            let lines = read(&[(name, value)], true);
            assert_eq!((lines.json, lines.level, lines.wrong.len()), (false, Level::Info, 1), "{lines:?}");
            assert!(lines.wrong[0].contains(name) && lines.wrong[0].contains(value), "{lines:?}");
        }
    }
}

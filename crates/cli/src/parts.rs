//! How the four services are told of each other when they share a process.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{CommandFactory as _, Parser};
use qflow_container_runner::RuntimeKind;
use qflow_model::{definition::PythonVersion, ids::Digest};
use qflow_orchestrator::backup::System;
use qflow_telemetry::{Level, Telemetry, TelemetryConfig};

use crate::dev::Starting;

/// Bytes of the data directory's path up to which sockets may lie in it: theirs end at 107.
const SHORT_PATH: usize = 40;

/// A service's configuration by its flags' defaults and the environment, to be overridden where this shape knows better.
#[derive(Parser)]
struct Defaults<C: clap::Args> {
    #[command(flatten)]
    config: C,
}

fn defaults<C: clap::Args>() -> anyhow::Result<C> {
    Ok(Defaults::<C>::try_parse_from(["qflow"])?.config)
}

/// Versions of Python that workflows may be planned for, as the orchestrator of this machine would take them.
pub(crate) fn pythons() -> Vec<PythonVersion> {
    let config = defaults::<qflow_orchestrator::Config>();
    // What does not read is told by whoever starts a server with it.
    config
        .map(|config| config.python_versions.iter().filter_map(|v| v.trim().parse().ok()).collect())
        .unwrap_or_default()
}

/// Every environment variable that the services read in this shape, with what it means.
pub(crate) fn settings() -> String {
    use std::fmt::Write as _;
    /// Told to the services by this program itself.
    const OURS: &[&str] = &[
        "QFLOW_SERVICE_TOKEN",
        "QFLOW_SERVICE_TOKEN_FILE",
        "QFLOW_LOOPBACK_ONLY",
        "QFLOW_ORCHESTRATOR_URLS",
        "QFLOW_TYPE_VALIDATOR_URL",
        "QFLOW_ADVERTISE_URL",
        "QFLOW_CONTAINER_RUNNER_URLS",
        "QFLOW_DATA_DIR",
        "QFLOW_TOKEN",
        "QFLOW_TOKEN_FILE",
    ];
    let mut all = std::collections::BTreeMap::new();
    for command in [
        Defaults::<qflow_orchestrator::Config>::command(),
        Defaults::<qflow_container_runner::Config>::command(),
        Defaults::<qflow_type_validator::Config>::command(),
        Defaults::<qflow_health_aggregator::Config>::command(),
    ] {
        for argument in command.get_arguments() {
            let Some(name) = argument.get_env().and_then(std::ffi::OsStr::to_str) else { continue };
            let listens = name.ends_with("_LISTEN") || name.ends_with("_ADMIN");
            if listens || OURS.contains(&name) {
                continue;
            }
            let default =
                argument.get_default_values().iter().filter_map(|value| value.to_str()).collect::<Vec<_>>().join(",");
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            // The first that has a setting says what it is.
            all.entry(name.to_owned()).or_insert((help, default));
        }
    }
    for (name, help) in ELSEWHERE {
        all.insert((*name).to_owned(), ((*help).to_owned(), String::new()));
    }
    let mut text = "Settings (environment variables):\n".to_owned();
    for (name, (help, default)) in all {
        let default = if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name}\n          {}{default}", help.trim_end_matches('.'));
    }
    text
}

/// Settings that are no flags of a service.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "AWS_ENDPOINT_URL",
        "The S3 server of QFLOW_BLOBS_URL where it is not Amazon's; its key as AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY[_FILE]",
    ),
    ("DOCKER_HOST", "Where Docker's daemon listens"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "Where spans go, e.g. http://127.0.0.1:4317; nowhere without it"),
    ("QFLOW_CA_BUNDLE", "Certificates to trust: of an inspecting proxy when packages are fetched, of Postgres, of S3"),
    ("QFLOW_INDEX_URL", "The package index; PyPI without it"),
    ("QFLOW_LOG", "The least grave lines that are written: debug, info, warning, error"),
    ("QFLOW_LOG_FORMAT", "json or pretty; pretty on a terminal"),
    ("QFLOW_UV", "The uv that resolves and installs requirements; else beside qflow, on PATH, or fetched by hash"),
];

/// What a single call shows by its tree and its last words.
const SHOWN_OTHERWISE: &[&str] = &[
    "workflow_error",
    "node_error",
    "node_retry",
    "python_error",
    "user_line",
    "user_lines_lost",
    "live_lines_lost",
    "workflow_cancelled",
    // Its server lives as long as the call: how that comes up and goes is no news.
    "health_changed",
];

/// Telemetry for all four; for a single call only what is amiss, on stderr: its stdout is the user's.
pub(crate) fn telemetry(single_call: bool) -> Telemetry {
    if !single_call {
        return qflow_service::init("qflow-dev");
    }
    let setting = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    Telemetry::new(TelemetryConfig {
        service: "qflow-dev",
        version: env!("CARGO_PKG_VERSION"),
        json: false,
        level: if setting("QFLOW_LOG").is_some() { Level::Info } else { Level::Warning },
        muted: if setting("QFLOW_LOG").is_some() { &[] } else { SHOWN_OTHERWISE },
        to_stderr: true,
        otlp_endpoint: setting("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| setting("OTEL_EXPORTER_OTLP_ENDPOINT")),
    })
}

/// The database and the blobs that a server of this machine would open; where `is_there`, nothing is made that is not.
pub(crate) async fn system(
    data_dir: &Path,
    database: Option<String>,
    blobs: Option<String>,
    is_there: bool,
) -> anyhow::Result<System> {
    let mut config: qflow_orchestrator::Config = defaults()?;
    data_dir.clone_into(&mut config.data_dir);
    config.database_url = database.or(config.database_url);
    config.blobs_url = blobs.or(config.blobs_url);
    config.system(is_there).await
}

/// Where a server is called.
pub(crate) struct Listens {
    /// By clients.
    pub(crate) clients: String,
    /// Its health-aggregator.
    pub(crate) health: String,
}

/// Starts all four.
pub(crate) async fn start(starting: &mut Starting, data_dir: &Path, token: &str) -> anyhow::Result<Listens> {
    let data_dir = std::path::absolute(data_dir)?;
    let validator = validator(starting, token).await?;
    let (clients, services) = orchestrator(starting, &data_dir, token, &validator).await?;
    runner(starting, &data_dir, token, &services).await?;
    let health = health(starting, token, &services, &validator).await?;
    Ok(Listens { clients, health })
}

/// The type-validator's address.
async fn validator(starting: &mut Starting, token: &str) -> anyhow::Result<String> {
    let mut config: qflow_type_validator::Config = defaults()?;
    config.listen = starting.address(7403);
    config.admin_listen = None;
    config.service_token = Some(token.to_owned());
    config.service_token_file = None;
    config.loopback_only = true;
    // One process: what it has read is at hand.
    config.redis.url = None;
    let listening = starting
        .launch("type-validator", move |telemetry, shutdown, listening| {
            qflow_type_validator::serve(config, telemetry, shutdown, listening)
        })
        .await?;
    Ok(format!("http://{}", listening.grpc))
}

/// The orchestrator's addresses for clients and for services.
async fn orchestrator(
    starting: &mut Starting,
    data_dir: &Path,
    token: &str,
    validator: &str,
) -> anyhow::Result<(String, String)> {
    let mut config: qflow_orchestrator::Config = defaults()?;
    config.listen = starting.address(7401);
    config.http_listen = starting.address(7400);
    config.admin_listen = starting.admin(9401);
    data_dir.clone_into(&mut config.data_dir);
    validator.clone_into(&mut config.type_validator_url);
    config.advertise_url = None;
    config.service_token = Some(token.to_owned());
    config.service_token_file = None;
    config.token = Some(token.to_owned());
    config.token_file = None;
    config.loopback_only = true;
    let listening = starting
        .launch("orchestrator", move |telemetry, shutdown, listening| {
            qflow_orchestrator::serve(config, telemetry, shutdown, listening)
        })
        .await?;
    let clients = listening.http.context("the orchestrator has an address for clients")?;
    Ok((format!("http://{clients}"), format!("http://{}", listening.grpc)))
}

async fn runner(starting: &mut Starting, data_dir: &Path, token: &str, orchestrator: &str) -> anyhow::Result<()> {
    let mut config: qflow_container_runner::Config = defaults()?;
    config.listen = starting.address(7402);
    config.admin = None;
    config.orchestrator_urls = vec![orchestrator.to_owned()];
    config.service_token = Some(token.to_owned());
    config.service_token_file = None;
    config.run_dir = Some(config.run_dir.unwrap_or_else(|| run_dir(data_dir)));
    config.data_dir = data_dir.to_owned();
    if let Some(overrides) = starting.overrides.take() {
        config.runtime = if overrides.docker { RuntimeKind::Docker } else { RuntimeKind::Process };
        config.secrets_dir = Some(overrides.secrets_dir);
        config.run_dir = Some(overrides.run_dir);
    }
    starting
        .launch("container-runner", move |telemetry, shutdown, listening| {
            qflow_container_runner::serve(config, telemetry, shutdown, listening)
        })
        .await?;
    Ok(())
}

/// The health-aggregator's address.
async fn health(starting: &mut Starting, token: &str, orchestrator: &str, validator: &str) -> anyhow::Result<String> {
    let mut config: qflow_health_aggregator::Config = defaults()?;
    config.listen = starting.address(7404);
    config.http_listen = starting.address(7405);
    config.admin_listen = None;
    config.orchestrator_urls = vec![orchestrator.to_owned()];
    config.type_validator_url = validator.to_owned();
    // Its runner dials, and is told of by the orchestrator.
    config.container_runner_urls = Vec::new();
    config.service_token = Some(token.to_owned());
    config.service_token_file = None;
    (config.token, config.token_file) = (None, None);
    config.loopback_only = true;
    if starting.admin(9404).is_none() {
        // A single call does not wait for a second round.
        config.thresholds.probe_seconds = 1;
    }
    let listening = starting
        .launch("health-aggregator", move |telemetry, shutdown, listening| {
            qflow_health_aggregator::serve(config, telemetry, shutdown, listening)
        })
        .await?;
    Ok(format!("http://{}", listening.grpc))
}

/// Where sockets are: in the data directory, or where its path is long, in a short one that is the same after a restart.
fn run_dir(data_dir: &Path) -> PathBuf {
    if data_dir.as_os_str().len() <= SHORT_PATH {
        return data_dir.join("run");
    }
    let name = format!("qflow-{}", Digest::of(data_dir.as_os_str().as_encoded_bytes()).short());
    let user = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|p| p.as_os_str().len() <= SHORT_PATH && p.is_dir());
    user.unwrap_or_else(|| PathBuf::from("/tmp")).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_lie_in_a_short_folder_that_is_the_same_after_a_restart() {
        assert_eq!(run_dir(Path::new("/home/me/.local/share/qflow")), Path::new("/home/me/.local/share/qflow/run"));
        let long = PathBuf::from(format!("/{}", "x".repeat(100)));
        assert!(run_dir(&long).as_os_str().len() <= SHORT_PATH + 20);
        assert_eq!(run_dir(&long), run_dir(&long));
        assert_ne!(run_dir(&long), run_dir(&long.join("y")));
    }

    #[test]
    fn every_service_can_be_configured_by_its_defaults() {
        assert!(defaults::<qflow_container_runner::Config>().is_ok());
        assert!(defaults::<qflow_type_validator::Config>().is_ok());
        assert!(defaults::<qflow_health_aggregator::Config>().is_ok());
    }
}

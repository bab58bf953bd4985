//! The service's life: from its configuration to its listeners, until the order to stop.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use qflow_service::{Auth, Edge, Listening, Readiness, ServeOptions, Shutdown, SystemClock};
use qflow_telemetry::Telemetry;
use tokio::sync::oneshot;

use crate::{
    http,
    monitoring::{self, Dial, Monitor},
    probe::{self, Probe, overview::OverviewProbe, services},
    submit,
};

/// What the service is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    /// Where gRPC listens.
    #[arg(long = "health-listen", env = "QFLOW_HEALTH_LISTEN", default_value = "127.0.0.1:7404")]
    pub listen: SocketAddr,
    /// Where `/health…` listens.
    #[arg(long = "health-http", env = "QFLOW_HEALTH_HTTP_LISTEN", default_value = "127.0.0.1:7405")]
    pub http_listen: SocketAddr,
    /// Where the admin port listens; none where another part of the process has it.
    #[arg(long = "health-admin", env = "QFLOW_HEALTH_ADMIN", default_value = "127.0.0.1:9404")]
    pub admin_listen: Option<SocketAddr>,
    /// Addresses of orchestrators for services: any of them will do.
    #[arg(long, env = "QFLOW_ORCHESTRATOR_URLS", default_value = "http://127.0.0.1:7401", value_delimiter = ',')]
    pub orchestrator_urls: Vec<String>,
    /// The type-validator's address.
    #[arg(long, env = "QFLOW_TYPE_VALIDATOR_URL", default_value = "http://127.0.0.1:7403")]
    pub type_validator_url: String,
    /// Versions of Python that are promised.
    #[arg(long, env = "QFLOW_PYTHON_VERSIONS", default_value = "3.8,3.9,3.10,3.11,3.12", value_delimiter = ',')]
    pub python_versions: Vec<String>,
    /// The token that services show each other.
    #[arg(long, env = "QFLOW_SERVICE_TOKEN", hide_env_values = true)]
    pub service_token: Option<String>,
    /// A file that holds it.
    #[arg(long, env = "QFLOW_SERVICE_TOKEN_FILE")]
    pub service_token_file: Option<PathBuf>,
    /// The token that clients show; default: the services'.
    #[arg(long = "client-token", env = "QFLOW_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// A file that holds it.
    #[arg(long = "client-token-file", env = "QFLOW_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Refuse callers whose `Host` or `Origin` is not this machine.
    #[arg(long, env = "QFLOW_LOOPBACK_ONLY")]
    pub loopback_only: bool,
    /// Seconds between probes.
    #[arg(long, env = "QFLOW_PROBE_SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub probe_seconds: u64,
}

/// Serves until the order to stop.
pub async fn serve(
    config: Config,
    telemetry: Telemetry,
    shutdown: Shutdown,
    listening: oneshot::Sender<Listening>,
) -> anyhow::Result<()> {
    let Config { service_token, service_token_file, .. } = config.clone();
    let token = qflow_service::need_secret("QFLOW_SERVICE_TOKEN", service_token, service_token_file)?;
    let client_token = qflow_service::read_secret(config.token.clone(), config.token_file.clone())?;
    let telemetry = telemetry.component("health-aggregator");
    let probes = probes(&config, &token, &telemetry)?;
    let grpc = qflow_service::bind(config.listen).await?;
    let http = qflow_service::bind(config.http_listen).await?;
    let admin = match config.admin_listen {
        Some(address) => Some(qflow_service::bind(address).await?),
        None => None,
    };
    let (cache, mut probing) = probe::start(probes, Duration::from_secs(config.probe_seconds), &telemetry);
    let readiness = Readiness::new();
    readiness.set("first_probe", false);
    readiness.started();
    let admin_address = admin.as_ref().map(tokio::net::TcpListener::local_addr).transpose()?;
    // Nobody may wait for the addresses.
    let _ =
        listening.send(Listening { grpc: grpc.local_addr()?, http: Some(http.local_addr()?), admin: admin_address });

    let stop = shutdown.child();
    let monitor = monitor(&config, token.clone(), &telemetry, &stop);
    let routes = submit::routes(cache.clone()).add_service(submit::monitoring::server(monitor.clone()));
    let auth = match client_token {
        Some(clients) => Auth::Either(token.clone(), clients),
        None => Auth::Token(token.clone()),
    };
    let options = ServeOptions { auth, loopback_only: config.loopback_only, tls: None };
    // Whoever may reach the address may ask how the system is: load balancers and people have no token at hand.
    let edge = Edge { auth: Auth::None, loopback_only: config.loopback_only, telemetry: telemetry.clone() };
    let router = http::routes(cache.clone(), Arc::new(SystemClock)).merge(monitoring::http::routes(monitor));
    let router = qflow_service::protect(router, edge);
    let serving = async {
        let served = tokio::try_join!(
            qflow_service::serve_grpc(grpc, routes, options, telemetry.clone(), stop.clone()),
            qflow_service::serve_http(http, router, stop.clone()),
        );
        // A listener that ended by itself must not leave the rest looking alive.
        stop.trigger();
        served
    };
    let administering = async {
        match admin {
            Some(listener) => qflow_service::admin(listener, telemetry.clone(), readiness.clone(), stop.clone()).await,
            None => Ok(()),
        }
    };
    let probed = async {
        tokio::select! {
            () = cache.complete() => readiness.set("first_probe", true),
            () = stop.wait() => {}
        }
        stop.wait().await;
        // With the probes end the streams of those who watch: else these would hold up the stop.
        probing.shutdown().await;
    };
    let (served, administered, ()) = tokio::join!(serving, administering, probed);
    served?;
    administered.context("serve the admin port")
}

fn monitor(config: &Config, token: String, telemetry: &Telemetry, stop: &Shutdown) -> Monitor {
    let telemetry = telemetry.clone();
    let dial: Dial = Arc::new(move |url| Ok(qflow_service::authed_channel(url, Some(&token))?.telling(&telemetry)));
    Monitor::start(&config.orchestrator_urls, &dial, Arc::new(SystemClock), stop.clone())
}

fn probes(config: &Config, token: &str, telemetry: &Telemetry) -> anyhow::Result<Vec<Box<dyn Probe>>> {
    anyhow::ensure!(!config.orchestrator_urls.is_empty(), "QFLOW_ORCHESTRATOR_URLS names no orchestrator");
    let dial = |url: &String| Ok(qflow_service::authed_channel(url, Some(token))?.telling(telemetry));
    let orchestrators = config.orchestrator_urls.iter().map(dial).collect::<anyhow::Result<Vec<_>>>()?;
    let validator = dial(&config.type_validator_url)?;
    Ok(vec![
        Box::new(OverviewProbe { channels: orchestrators.clone(), pythons: config.python_versions.clone() }),
        Box::new(services::Service { name: services::ORCHESTRATOR, channels: orchestrators }),
        Box::new(services::Service { name: services::TYPE_VALIDATOR, channels: vec![validator] }),
    ])
}

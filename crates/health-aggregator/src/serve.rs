//! The service's life: from its configuration to its listeners, until the order to stop.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context;
use qflow_service::{Auth, Edge, Listening, Readiness, RedisArgs, ServeOptions, Shutdown, SystemClock};
use qflow_telemetry::Telemetry;
use tokio::sync::oneshot;

use crate::{
    http,
    monitoring::{self, Dial, Monitor},
    probe::{
        self, Probe, Rounds,
        overview::OverviewProbe,
        postgres::PostgresProbe,
        redis::RedisProbe,
        services::{self, Service},
    },
    settings::Thresholds,
    submit, tell,
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
    /// Container-runners' own addresses, where they are to be asked too; what they can do the orchestrators tell.
    #[arg(long, env = "QFLOW_CONTAINER_RUNNER_URLS", value_delimiter = ',')]
    pub container_runner_urls: Vec<String>,
    /// The orchestrators' database, where it is to be asked directly: `postgres://USER@HOST[:PORT]/DATABASE[?sslmode=verify-full|disable]`.
    /// A `sqlite://PATH` is told by the orchestrator.
    #[arg(long, env = "QFLOW_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// The password for Postgres.
    #[arg(long, env = "QFLOW_DATABASE_PASSWORD", hide_env_values = true)]
    pub database_password: Option<String>,
    /// A file that holds it.
    #[arg(long, env = "QFLOW_DATABASE_PASSWORD_FILE")]
    pub database_password_file: Option<PathBuf>,
    /// Certificates by which Postgres is known; default: `QFLOW_CA_BUNDLE`, else the system's.
    #[arg(long, env = "QFLOW_DATABASE_CA")]
    pub database_ca: Option<PathBuf>,
    /// A Redis, where it is to be asked directly.
    #[command(flatten)]
    pub redis: RedisArgs,
    /// Certificates to trust.
    #[arg(long, env = "QFLOW_CA_BUNDLE", hide = true)]
    pub ca_bundle: Option<PathBuf>,
    /// What counts as trouble.
    #[command(flatten)]
    pub thresholds: Thresholds,
}

impl Config {
    /// Who asks Postgres, where there is one that may be asked.
    fn postgres(&self) -> anyhow::Result<Option<PostgresProbe>> {
        let url = self.database_url.as_deref().filter(|url| !url.is_empty() && !url.starts_with("sqlite://"));
        let Some(url) = url else { return Ok(None) };
        let (plain, file) = (self.database_password.clone(), self.database_password_file.clone());
        let password = qflow_service::read_secret(plain, file).context("read QFLOW_DATABASE_PASSWORD[_FILE]")?;
        let ca = self.database_ca.as_deref().or(self.ca_bundle.as_deref());
        Ok(Some(PostgresProbe::new(url, password.as_deref(), ca, &self.thresholds)?))
    }
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
    let (cache, mut probing) = probe::start(probes, &telemetry);
    probing.spawn(tell::tell(cache.clone(), telemetry.clone()));
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
    // Runs, workflows and users are named only to whoever may call, where anyone else could: on this machine's loopback nobody else can.
    let watching = if config.loopback_only { Auth::None } else { auth.clone() };
    let options = ServeOptions { auth, loopback_only: config.loopback_only, tls: None };
    // Whoever may reach the address may ask how the system is: load balancers and people have no token at hand.
    let edge = Edge { auth: Auth::None, loopback_only: config.loopback_only, telemetry: telemetry.clone() };
    let watched = qflow_service::protect(monitoring::http::routes(monitor), Edge { auth: watching, ..edge.clone() });
    let router = qflow_service::protect(http::routes(cache.clone(), Arc::new(SystemClock)), edge).merge(watched);
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
    let silence = config.thresholds.silence();
    Monitor::start(&config.orchestrator_urls, &dial, Arc::new(SystemClock), silence, stop.clone())
}

fn probes(config: &Config, token: &str, telemetry: &Telemetry) -> anyhow::Result<Vec<(Box<dyn Probe>, Rounds)>> {
    anyhow::ensure!(!config.orchestrator_urls.is_empty(), "QFLOW_ORCHESTRATOR_URLS names no orchestrator");
    let dial = |url: &String| Ok(qflow_service::authed_channel(url, Some(token))?.telling(telemetry));
    let dial_all = |urls: &[String]| urls.iter().map(dial).collect::<anyhow::Result<Vec<_>>>();
    let orchestrators = dial_all(&config.orchestrator_urls)?;
    let validator = dial(&config.type_validator_url)?;
    let runners = dial_all(&config.container_runner_urls)?;
    let thresholds = &config.thresholds;
    // Who asks a part itself stands before who is told of it.
    let mut probes: Vec<(Box<dyn Probe>, Rounds)> = Vec::new();
    let mut ask = |probe: Box<dyn Probe>, own| probes.push((probe, thresholds.rounds(own)));
    // Orchestrators say in their overviews how their telemetry gets out.
    let (pipelines, unread) = (services::Pipelines::default(), services::Pipelines::default());
    let service = |name, channels, pipelines: &services::Pipelines| {
        Box::new(Service { name, channels, patience: thresholds.patience(), pipelines: pipelines.clone() })
    };
    ask(service(services::ORCHESTRATOR, orchestrators.clone(), &unread), thresholds.probe_orchestrator_seconds);
    ask(service(services::TYPE_VALIDATOR, vec![validator], &pipelines), thresholds.probe_type_validator_seconds);
    if !runners.is_empty() {
        ask(service(services::CONTAINER_RUNNER, runners, &pipelines), thresholds.probe_container_runner_seconds);
    }
    if let Some(postgres) = config.postgres()? {
        ask(Box::new(postgres), thresholds.probe_database_seconds);
    }
    if let Some(settings) = config.redis.settings(config.ca_bundle.as_deref())? {
        ask(Box::new(RedisProbe::new(settings, thresholds)?), thresholds.probe_redis_seconds);
    }
    let overview =
        OverviewProbe::new(orchestrators, config.python_versions.clone(), thresholds.clone(), pipelines.clone());
    ask(Box::new(overview), thresholds.probe_overview_seconds);
    Ok(probes)
}

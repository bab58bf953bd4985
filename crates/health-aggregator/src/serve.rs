//! The service's life: from its configuration to its listeners, until the order to stop.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use qflow_service::{Auth, Edge, Listening, Readiness, ServeOptions, Shutdown, SystemClock};
use qflow_telemetry::Telemetry;
use tokio::sync::oneshot;

use crate::{
    http,
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
    #[arg(long = "health-admin", env = "QFLOW_HEALTH_ADMIN")]
    pub admin_listen: Option<SocketAddr>,
    /// Any orchestrator's address for services.
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
    let token = qflow_service::read_secret(config.service_token.clone(), config.service_token_file.clone())?;
    let telemetry = telemetry.component("health-aggregator");
    let every = Duration::from_secs(config.probe_seconds);
    let (cache, _probes) = probe::start(probes(&config, token.as_deref())?, every, &telemetry);
    let auth = token.map_or(Auth::None, Auth::Token);
    let grpc = qflow_service::bind(config.listen).await?;
    let http = qflow_service::bind(config.http_listen).await?;
    let admin = match config.admin_listen {
        Some(address) => Some(qflow_service::bind(address).await?),
        None => None,
    };
    let readiness = Readiness::new();
    readiness.started();
    let admin_address = admin.as_ref().map(tokio::net::TcpListener::local_addr).transpose()?;
    // Nobody may wait for the addresses.
    let _ =
        listening.send(Listening { grpc: grpc.local_addr()?, http: Some(http.local_addr()?), admin: admin_address });

    let routes = submit::routes(cache.clone());
    let options = ServeOptions { auth: auth.clone(), loopback_only: config.loopback_only, tls: None };
    // Whoever may reach the address may ask how the system is: load balancers and people have no token at hand.
    let edge = Edge { auth: Auth::None, loopback_only: config.loopback_only, telemetry: telemetry.clone() };
    let router = qflow_service::protect(http::routes(cache, Arc::new(SystemClock)), edge);
    let serving = async {
        tokio::try_join!(
            qflow_service::serve_grpc(grpc, routes, options, telemetry.clone(), shutdown.clone()),
            qflow_service::serve_http(http, router, shutdown.clone()),
        )
    };
    let administering = async {
        match admin {
            Some(listener) => qflow_service::admin(listener, telemetry.clone(), readiness, shutdown.clone()).await,
            None => Ok(()),
        }
    };
    let (served, administered) = tokio::join!(serving, administering);
    served?;
    administered.context("serve the admin port")
}

fn probes(config: &Config, token: Option<&str>) -> anyhow::Result<Vec<Box<dyn Probe>>> {
    let seed = config.orchestrator_urls.first().context("an orchestrator's address is needed")?;
    let orchestrator = qflow_service::authed_channel(seed, token)?;
    let validator = qflow_service::authed_channel(&config.type_validator_url, token)?;
    Ok(vec![
        Box::new(OverviewProbe { channel: orchestrator.clone(), pythons: config.python_versions.clone() }),
        Box::new(services::Service { name: services::ORCHESTRATOR, channel: orchestrator }),
        Box::new(services::Service { name: services::TYPE_VALIDATOR, channel: validator }),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        config: Config,
    }

    #[tokio::test]
    async fn with_nothing_to_reach_the_service_answers_that_nothing_is_well() {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = format!("http://{gone}");
        let line = ["x", "--health-listen", "127.0.0.1:0", "--health-http", "127.0.0.1:0", "--orchestrator-urls", &url];
        let mut config = Line::parse_from(line).config;
        config.type_validator_url = url;
        let (shutdown, (sender, receiver)) = (Shutdown::new(), oneshot::channel());
        let served = tokio::spawn(serve(config, Telemetry::silent(), shutdown.clone(), sender));
        let listening = receiver.await.unwrap();
        let client = qflow_service::channel(&format!("http://{}", listening.grpc)).unwrap();
        let checks = submit::watched_until(client, "database").await;
        assert_eq!(checks, ("unhealthy".to_owned(), "unreachable".to_owned()));
        shutdown.trigger();
        served.await.unwrap().unwrap();
    }
}

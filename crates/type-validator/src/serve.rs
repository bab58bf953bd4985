//! The service's life: from its configuration to its listeners, until the order to stop.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use anyhow::Context;
use qflow_model::ids::Digest;
use qflow_service::{Auth, Listening, Readiness, RedisArgs, ServeOptions, Shutdown, SystemClock};
use qflow_telemetry::Telemetry;
use tokio::sync::oneshot;

use crate::{
    cache::{self, Local, Redis, Seal},
    submit::{self, Known},
};

/// What the service is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    /// Where gRPC listens.
    #[arg(long = "type-validator-listen", env = "QFLOW_TYPE_VALIDATOR_LISTEN", default_value = "127.0.0.1:7403")]
    pub listen: SocketAddr,
    /// Where the admin port listens; none where another part of the process has it.
    #[arg(long = "type-validator-admin", env = "QFLOW_TYPE_VALIDATOR_ADMIN", default_value = "127.0.0.1:9403")]
    pub admin_listen: Option<SocketAddr>,
    /// The token that services show each other.
    #[arg(long, env = "QFLOW_SERVICE_TOKEN", hide_env_values = true)]
    pub service_token: Option<String>,
    /// A file that holds it.
    #[arg(long, env = "QFLOW_SERVICE_TOKEN_FILE")]
    pub service_token_file: Option<PathBuf>,
    /// A Redis.
    #[command(flatten)]
    pub redis: RedisArgs,
    /// Certificates to trust.
    #[arg(long, env = "QFLOW_CA_BUNDLE", hide = true)]
    pub ca_bundle: Option<PathBuf>,
    /// Refuse callers whose `Host` or `Origin` is not this machine.
    #[arg(long, env = "QFLOW_LOOPBACK_ONLY")]
    pub loopback_only: bool,
}

impl Config {
    /// Where definitions are kept: shared only where there is a token by which entries are known as the services' own.
    fn known(&self, token: Option<&str>, telemetry: &Telemetry, shutdown: &Shutdown) -> anyhow::Result<Known> {
        let program = Arc::new(OnceLock::new());
        let Some((settings, token)) = self.redis.settings(self.ca_bundle.as_deref())?.zip(token) else {
            // One process is one program: its name does not matter.
            program.get_or_init(|| Digest::of(b""));
            return Ok(Known { cache: Arc::new(Local::default()), program });
        };
        let cache = Arc::new(Redis::open(settings, Seal::new(token), telemetry, shutdown)?);
        let named = Arc::clone(&program);
        tokio::task::spawn_blocking(move || {
            // A program that cannot be read shares nothing: whoever asks has its source read.
            let read = std::env::current_exe().and_then(|path| cache::program(&path));
            read.map(|read| named.get_or_init(|| read).to_owned()).ok()
        });
        Ok(Known { cache, program })
    }
}

/// Serves until the order to stop.
pub async fn serve(
    config: Config,
    telemetry: Telemetry,
    shutdown: Shutdown,
    listening: oneshot::Sender<Listening>,
) -> anyhow::Result<()> {
    let token = qflow_service::read_secret(config.service_token.clone(), config.service_token_file.clone())?;
    let telemetry = telemetry.component("type-validator");
    let known = config.known(token.as_deref(), &telemetry, &shutdown)?;
    let grpc = qflow_service::bind(config.listen).await?;
    let admin = match config.admin_listen {
        Some(address) => Some(qflow_service::bind(address).await?),
        None => None,
    };
    let readiness = Readiness::new();
    readiness.started();
    let admin_address = admin.as_ref().map(tokio::net::TcpListener::local_addr).transpose()?;
    // Nobody may wait for the addresses.
    let _ = listening.send(Listening { grpc: grpc.local_addr()?, http: None, admin: admin_address });

    let auth = token.map_or(Auth::None, Auth::Token);
    let options = ServeOptions { auth, loopback_only: config.loopback_only, tls: None };
    let routes = submit::routes(telemetry.clone(), Arc::new(SystemClock), known);
    let serving = qflow_service::serve_grpc(grpc, routes, options, telemetry.clone(), shutdown.clone());
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
    async fn the_service_says_whether_an_edge_is_compatible() {
        let mut config = Line::parse_from(["x", "--type-validator-listen", "127.0.0.1:0"]).config;
        config.admin_listen = None;
        let (shutdown, (sender, receiver)) = (Shutdown::new(), oneshot::channel());
        let served = tokio::spawn(serve(config, Telemetry::silent(), shutdown.clone(), sender));
        let listening = receiver.await.unwrap();
        let channel = qflow_service::channel(&format!("http://{}", listening.grpc)).unwrap();
        assert_eq!(submit::edge(channel.clone(), "int", "float").await, (true, String::new()));
        assert_eq!(submit::edge(channel, "str", "int").await, (false, "str is not int".to_owned()));
        shutdown.trigger();
        served.await.unwrap().unwrap();
    }
}

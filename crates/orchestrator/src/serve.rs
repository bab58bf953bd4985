//! The service's life: from its configuration to its listeners, until the order to stop.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use qflow_blobs::Blobs;
use qflow_model::definition::PythonVersion;
use qflow_service::{Auth, Clock, Listening, Readiness, RedisArgs, ServeOptions, Shutdown, SystemClock};
use qflow_telemetry::Telemetry;
use tokio::sync::oneshot;

use crate::{
    backup::System,
    bus::{Bus, Local, Redis},
    dispatch::{Engine, Parts},
    logs::Logs,
    ready,
    record::{Settings, backup::Database, member::Replica},
    retention::{self, Keep},
    submit::{self, Doorkeeper, Remote, Server},
};

/// What the service is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    /// Where services call: gRPC.
    #[arg(long = "orchestrator-listen", env = "QFLOW_ORCHESTRATOR_LISTEN", default_value = "127.0.0.1:7401")]
    pub listen: SocketAddr,
    /// Where clients call.
    #[arg(long = "orchestrator-http", env = "QFLOW_ORCHESTRATOR_HTTP_LISTEN", default_value = "127.0.0.1:7400")]
    pub http_listen: SocketAddr,
    /// Where the admin port listens; none where another part of the process has it.
    #[arg(long = "orchestrator-admin", env = "QFLOW_ORCHESTRATOR_ADMIN")]
    pub admin_listen: Option<SocketAddr>,
    /// Where runs are kept: `sqlite://PATH` or `postgres://USER@HOST[:PORT]/DATABASE[?sslmode=verify-full|disable]`; default: `qflow.db` in the data directory.
    #[arg(long, env = "QFLOW_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// A Redis.
    #[command(flatten)]
    pub redis: RedisArgs,
    /// The password for Postgres.
    #[arg(long, env = "QFLOW_DATABASE_PASSWORD", hide_env_values = true)]
    pub database_password: Option<String>,
    /// A file that holds it.
    #[arg(long, env = "QFLOW_DATABASE_PASSWORD_FILE")]
    pub database_password_file: Option<PathBuf>,
    /// Certificates by which Postgres is known; default: `QFLOW_CA_BUNDLE`, else the system's.
    #[arg(long, env = "QFLOW_DATABASE_CA")]
    pub database_ca: Option<PathBuf>,
    /// Certificates to trust.
    #[arg(long, env = "QFLOW_CA_BUNDLE", hide = true)]
    pub ca_bundle: Option<PathBuf>,
    /// For how long runs are kept once they have ended, e.g. `90d`: then their rows and values are removed; `off` keeps them.
    #[arg(long, env = "QFLOW_RETENTION", default_value = "off")]
    pub retention: Keep,
    /// Where large values and logs are: `file://FOLDER` or `s3://BUCKET[/PREFIX]`, which the `AWS_…` of the environment describe
    /// (docs/BLOBS.md); default: `blobs` in the data directory.
    #[arg(long, env = "QFLOW_BLOBS_URL")]
    pub blobs_url: Option<String>,
    /// Where state is kept.
    #[arg(long, env = "QFLOW_DATA_DIR", default_value = ".qflow")]
    pub data_dir: PathBuf,
    /// The type-validator's address.
    #[arg(long, env = "QFLOW_TYPE_VALIDATOR_URL", default_value = "http://127.0.0.1:7403")]
    pub type_validator_url: String,
    /// Versions of Python that may be planned for.
    #[arg(long, env = "QFLOW_PYTHON_VERSIONS", default_value = "3.8,3.9,3.10,3.11,3.12", value_delimiter = ',')]
    pub python_versions: Vec<String>,
    /// The address under which runners reach this replica: `http://HOST[:PORT]`; default: they know it as a seed.
    #[arg(long, env = "QFLOW_ADVERTISE_URL")]
    pub advertise_url: Option<String>,
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
}

impl Config {
    /// The database, whichever it is; a file's folder is made.
    fn database(&self) -> anyhow::Result<Database> {
        let url = self.database_url.as_deref().unwrap_or_default();
        let path = match url.split_once("://") {
            None if url.is_empty() => self.data_dir.join("qflow.db"),
            Some(("sqlite", path)) if !path.is_empty() => PathBuf::from(path),
            Some(("postgres" | "postgresql", _)) => return self.postgres(url),
            // What was set may hold a password.
            _ => anyhow::bail!("QFLOW_DATABASE_URL is neither sqlite://PATH nor postgres://USER@HOST/DATABASE"),
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("make the folder `{}`", folder.display()))?;
        }
        Ok(Database::Sqlite(path))
    }

    fn postgres(&self, url: &str) -> anyhow::Result<Database> {
        let (plain, file) = (self.database_password.clone(), self.database_password_file.clone());
        let password = qflow_service::read_secret(plain, file).context("read QFLOW_DATABASE_PASSWORD[_FILE]")?;
        let ca = self.database_ca.clone().or_else(|| self.ca_bundle.clone());
        Ok(Database::Postgres(Settings { url: url.to_owned(), password, ca }))
    }

    /// What is to be backed up or restored into: the database and the blobs that a service would open.
    /// Where `is_there`, nothing is made that is not.
    pub async fn system(&self, is_there: bool) -> anyhow::Result<System> {
        let (database, url) = (self.database()?, self.blobs()?);
        if is_there {
            if let Database::Sqlite(path) = &database {
                anyhow::ensure!(
                    path.is_file(),
                    "there is no database `{}`: QFLOW_DATABASE_URL names another",
                    path.display()
                );
            }
            if let Some(folder) = url.strip_prefix("file://") {
                anyhow::ensure!(
                    Path::new(folder).is_dir(),
                    "there is no blob store `{folder}`: QFLOW_BLOBS_URL names another"
                );
            }
        }
        Ok(System { database, blobs: Blobs::open(&url, self.ca_bundle.as_deref()).await? })
    }

    fn blobs(&self) -> anyhow::Result<String> {
        match &self.blobs_url {
            Some(url) => Ok(url.clone()),
            None => Ok(format!("file://{}", std::path::absolute(self.data_dir.join("blobs"))?.display())),
        }
    }

    fn bus(&self, owner: &str, telemetry: &Telemetry, shutdown: &Shutdown) -> anyhow::Result<Arc<dyn Bus>> {
        let Some(settings) = self.redis.settings(self.ca_bundle.as_deref())? else {
            return Ok(Arc::new(Local::default()));
        };
        Ok(Arc::new(Redis::open(settings, owner, telemetry, shutdown)?))
    }

    /// Where runners reach this replica, where that was set.
    fn advertised(&self) -> anyhow::Result<String> {
        let url = self.advertise_url.clone().unwrap_or_default();
        let is_one = url.is_empty() || qflow_service::is_address(&url);
        anyhow::ensure!(
            is_one,
            "QFLOW_ADVERTISE_URL is `{url}`: write http://HOST[:PORT], by which every runner reaches this orchestrator's gRPC port"
        );
        Ok(url)
    }

    /// Where it is marked which run is in hand: by port, since replicas on one machine may share a folder.
    fn in_hand(&self) -> anyhow::Result<PathBuf> {
        let folder = &self.data_dir;
        std::fs::create_dir_all(folder).with_context(|| format!("make the folder `{}`", folder.display()))?;
        Ok(folder.join(format!("in-hand-{}", self.listen.port())))
    }

    fn pythons(&self) -> anyhow::Result<Vec<PythonVersion>> {
        let version =
            |text: &String| text.trim().parse().with_context(|| format!("QFLOW_PYTHON_VERSIONS names `{text}`"));
        self.python_versions.iter().map(version).collect()
    }
}

/// Serves until the order to stop.
pub async fn serve(
    config: Config,
    telemetry: Telemetry,
    shutdown: Shutdown,
    listening: oneshot::Sender<Listening>,
) -> anyhow::Result<()> {
    let service_token = qflow_service::read_secret(config.service_token.clone(), config.service_token_file.clone())?;
    let token = qflow_service::read_secret(config.token.clone(), config.token_file.clone())?;
    if service_token.is_none() && !config.loopback_only {
        return Err(qflow_service::SecretError::Missing("QFLOW_SERVICE_TOKEN").into());
    }
    let telemetry = telemetry.component("orchestrator");
    let advertised = config.advertised()?;
    let validator = qflow_service::authed_channel(&config.type_validator_url, service_token.as_deref())?;
    let validator = validator.telling(&telemetry);
    let grpc = qflow_service::bind(config.listen).await?;
    let http = qflow_service::bind(config.http_listen).await?;
    let admin = match config.admin_listen {
        Some(address) => Some(qflow_service::bind(address).await?),
        None => None,
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = config.database()?.open(Arc::clone(&clock), &telemetry).await?;
    let blobs = Arc::new(Blobs::open(&config.blobs()?, config.ca_bundle.as_deref()).await?);
    let owner = format!("orchestrator-{}", uuid::Uuid::now_v7());
    let bus = config.bus(&owner, &telemetry, &shutdown)?;
    let logs = Logs::start(Arc::clone(&store), Arc::clone(&blobs), Arc::clone(&bus), telemetry.clone());
    let parts = Parts {
        store: Arc::clone(&store),
        blobs: Arc::clone(&blobs),
        bus: Arc::clone(&bus),
        logs: logs.clone(),
        telemetry: telemetry.clone(),
        in_hand: Some(config.in_hand()?),
        replica: Replica { owner: owner.clone(), url: advertised },
    };
    let (engine, engine_ended) = Engine::start(parts, shutdown.clone()).await?;
    retention::start(config.retention, &store, &blobs, &telemetry, &shutdown);
    retention::sweep(&store, &blobs, &clock, &telemetry, &shutdown);
    let answers = blobs.watched(qflow_service::tells_of_blobs(&telemetry));
    let server = Server {
        store,
        blobs,
        answers,
        bus,
        logs,
        engine,
        validator: Arc::new(Remote::new(validator)),
        clock,
        pythons: config.pythons()?,
        shutdown: shutdown.clone(),
        telemetry: telemetry.clone(),
    };
    let readiness = Readiness::new();
    ready::watch(Arc::clone(&server.store), readiness.clone(), shutdown.clone());
    readiness.started();
    let admin_address = admin.as_ref().map(tokio::net::TcpListener::local_addr).transpose()?;
    // Nobody may wait for the addresses.
    let _ =
        listening.send(Listening { grpc: grpc.local_addr()?, http: Some(http.local_addr()?), admin: admin_address });

    let options = |auth| ServeOptions { auth, loopback_only: config.loopback_only, tls: None };
    let of_services = options(service_token.clone().map_or(Auth::None, Auth::Token));
    let of_clients = options(match token.or(service_token) {
        None => Auth::None,
        Some(own) => Auth::Door(Arc::new(Doorkeeper::new(own, Arc::clone(&server.store), telemetry.clone()))),
    });
    let services = submit::service_routes(server.clone(), telemetry.clone(), owner);
    let clients = submit::client_routes(server);
    let serving = async {
        tokio::try_join!(
            qflow_service::serve_grpc(grpc, services, of_services, telemetry.clone(), shutdown.clone()),
            qflow_service::serve_grpc(http, clients, of_clients, telemetry.clone(), shutdown.clone()),
        )
    };
    let administering = async {
        match admin {
            Some(listener) => qflow_service::admin(listener, telemetry.clone(), readiness, shutdown.clone()).await,
            None => Ok(()),
        }
    };
    let engine_dies = async {
        let ended = engine_ended.await;
        if !shutdown.is_triggered() {
            // Without its writer the service only looks alive: better that it ends and is started anew.
            shutdown.trigger();
        }
        ended.context("the engine ended")
    };
    let (served, administered, engine) = tokio::join!(serving, administering, engine_dies);
    served?;
    administered.context("serve the admin port")?;
    engine
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        config: Config,
    }

    #[tokio::test]
    async fn an_address_that_runners_cannot_dial_is_refused_at_start() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().display().to_string();
        let ports = ["--orchestrator-listen=127.0.0.1:0", "--orchestrator-http=127.0.0.1:0", "--service-token=s"];
        for (url, is_one) in
            [("banana", false), ("http://", false), ("127.0.0.1:7401", false), ("http://127.0.0.1:7401", true)]
        {
            let words =
                [["qflow-orchestrator", "--data-dir", &data, "--advertise-url", url].as_slice(), &ports].concat();
            let (shutdown, (listening, _heard)) = (Shutdown::new(), oneshot::channel());
            // What starts all the same ends at once.
            shutdown.trigger();
            let config = Arguments::parse_from(words).config;
            let ended = Box::pin(serve(config, Telemetry::silent(), shutdown, listening)).await;
            let said = ended.err().map(|error| error.to_string());
            let named =
                said.as_ref().is_some_and(|said| said.starts_with(&format!("QFLOW_ADVERTISE_URL is `{url}`: ")));
            assert_eq!((said.is_none(), named), (is_one, !is_one), "{said:?}");
        }
    }
}

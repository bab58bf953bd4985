//! The shape of a cluster: each service a program, state in Postgres, live views over Redis.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use tokio::process::Command;

use crate::{
    client::Client,
    programs::{Postgres, Program, addresses, folder},
};

/// Versions of Python that are planned for.
const PYTHONS: &str = "3.9,3.10,3.11,3.12,3.13";

/// What services tell of themselves; metrics too, unless they tell nothing.
#[derive(Clone, Debug, Default)]
pub(crate) enum Told {
    /// Lines.
    #[default]
    Lines,
    /// Neither lines nor spans nor metrics.
    Nothing,
    /// Lines, and spans of every run to this address.
    Spans(String),
}

/// What a cluster has besides an orchestrator and a type-validator.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    /// A container-runner on this runtime.
    pub(crate) runtime: Option<String>,
    /// A health-aggregator.
    pub(crate) health: bool,
    /// What its services tell.
    pub(crate) told: Told,
}

/// A cluster at work.
pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    /// In the order in which they end.
    programs: Vec<Program>,
    token: String,
    /// Its orchestrator's address for services.
    pub(crate) services: String,
    clients: String,
    /// Where its orchestrator serves `/metrics`.
    pub(crate) admin: std::net::SocketAddr,
    /// The database that its state is in.
    pub(crate) database: String,
}

impl Cluster {
    /// Starts one from the programs in `bin`, with a database of its own.
    pub(crate) async fn start(bin: &std::path::Path, postgres: &Postgres, shape: &Shape) -> anyhow::Result<Self> {
        let folder = folder()?;
        let path = folder.path().to_owned();
        let [http, grpc, admin, runner, runner_admin, types, types_admin, health, health_http, health_admin, redis] =
            addresses()?;
        let (url, database) = postgres.database().await?;
        let token = format!("bench-{:08x}", std::process::id());
        let command = |name: &str| {
            let mut command = Command::new(bin.join(name));
            command.env_remove("QFLOW_SERVER").env("QFLOW_SERVICE_TOKEN", &token).env("QFLOW_TOKEN", &token);
            command
                .env("QFLOW_PYTHON_VERSIONS", PYTHONS)
                .env("QFLOW_BLOBS_URL", format!("file://{}/blobs", path.display()));
            command.env("QFLOW_DATABASE_URL", &url).env("QFLOW_REDIS_URL", format!("redis://{redis}"));
            command.env("QFLOW_TYPE_VALIDATOR_URL", format!("http://{types}"));
            command.env("QFLOW_ORCHESTRATOR_URLS", format!("http://{grpc}"));
            command.env("QFLOW_LOG_FORMAT", "json").env_remove("OTEL_EXPORTER_OTLP_ENDPOINT");
            match &shape.told {
                Told::Lines => &mut command,
                Told::Nothing => command.env("QFLOW_LOG", "error").env("OTEL_METRICS_EXPORTER", "none"),
                Told::Spans(url) => command.env("OTEL_EXPORTER_OTLP_ENDPOINT", url),
            };
            command
        };
        let mut programs = Vec::new();
        let mut cache = Command::new("redis-server");
        let port = redis.port().to_string();
        cache.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port]).current_dir(&path);
        programs.push(Program::start(cache, "redis", &path).context("Debian's package redis-server has it")?);
        let mut validator = command("qflow-type-validator");
        validator.args([
            "--type-validator-listen",
            &types.to_string(),
            "--type-validator-admin",
            &types_admin.to_string(),
        ]);
        programs.push(Program::start(validator, "type-validator", &path)?);
        ready(&mut programs, types_admin).await?;
        let mut orchestrator = command("qflow-orchestrator");
        orchestrator.args(["--orchestrator-http", &http.to_string(), "--orchestrator-listen", &grpc.to_string()]);
        orchestrator.args(["--orchestrator-admin", &admin.to_string(), "--advertise-url", &format!("http://{grpc}")]);
        orchestrator.arg("--data-dir").arg(path.join("orchestrator"));
        programs.push(Program::start(orchestrator, "orchestrator", &path)?);
        ready(&mut programs, admin).await?;
        if let Some(runtime) = &shape.runtime {
            let mut program = command("qflow-container-runner");
            program.args(["--runner-listen", &runner.to_string(), "--runner-admin", &runner_admin.to_string()]);
            program.args(["--runtime", runtime]).arg("--data-dir").arg(path.join("runner"));
            program.arg("--run-dir").arg(path.join("run"));
            programs.push(Program::start(program, "runner", &path)?);
            ready(&mut programs, runner_admin).await?;
        }
        if shape.health {
            let mut program = command("qflow-health-aggregator");
            program.args(["--health-listen", &health.to_string(), "--health-http", &health_http.to_string()]);
            program.args(["--health-admin", &health_admin.to_string()]);
            programs.push(Program::start(program, "health-aggregator", &path)?);
            ready(&mut programs, health_admin).await?;
        }
        programs.reverse();
        let (services, clients) = (format!("http://{grpc}"), format!("http://{http}"));
        Ok(Self { folder, programs, token, services, clients, admin, database })
    }

    /// A client of it.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Client::new(&self.clients, &self.token)
    }

    /// The token that its services show.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Its own programs by name and process: what it costs.
    pub(crate) fn services(&self) -> anyhow::Result<Vec<(String, u32)>> {
        self.programs.iter().filter(|p| p.name() != "redis").map(|p| Ok((p.name().to_owned(), p.id()?))).collect()
    }

    /// The log of one of its programs.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    /// Ends it, runners first: they hand their outcomes over while there is somebody to hear them.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        for program in self.programs {
            program.stop().await?;
        }
        Ok(())
    }
}

async fn ready(programs: &mut [Program], admin: std::net::SocketAddr) -> anyhow::Result<()> {
    let newest = programs.last_mut().context("one was started")?;
    newest.ready(admin).await
}

/// Lets what was just started come to rest: connections, warm containers.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_secs(2)).await;
}

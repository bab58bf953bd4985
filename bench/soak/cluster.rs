//! The cluster of `make up`, of this program's own: `deploy/local/cluster` in a folder of /tmp.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
};

use anyhow::Context;
use tokio::process::Command;

use crate::client::Client;

/// The parts that are programs of ours, by the names of the script.
pub(crate) const SERVICES: [&str; 5] = ["orchestrator-1", "orchestrator-2", "runner-1", "runner-2", "type-validator"];

/// A cluster at work.
pub(crate) struct Cluster {
    folder: PathBuf,
    bin: PathBuf,
    /// The interpreter that real nodes run on.
    python: String,
    keep: Cell<bool>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

impl Cluster {
    /// Starts one from the programs in `bin`.
    pub(crate) async fn start(bin: &Path) -> anyhow::Result<Self> {
        // Short, since the paths of sockets in it end at 107 bytes; Postgres may be another user's process, and must pass through.
        let folder = tempfile::Builder::new().prefix("qs").tempdir_in("/tmp")?.keep();
        std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let found = Command::new(root().join("deploy/local/pythons")).output().await?.stdout;
        let found = String::from_utf8(found)?;
        let python = found.split_whitespace().last().context("deploy/local/pythons finds none")?.to_owned();
        let cluster = Self { folder, bin: bin.to_owned(), python, keep: Cell::new(false) };
        if let Err(error) = cluster.up(&[]).await {
            cluster.script("down", &[]).await?;
            return Err(error);
        }
        Ok(cluster)
    }

    /// Starts whatever does not run, with these settings besides.
    pub(crate) async fn up(&self, settings: &[(&str, &str)]) -> anyhow::Result<()> {
        self.script("up", settings).await
    }

    async fn script(&self, verb: &str, settings: &[(&str, &str)]) -> anyhow::Result<()> {
        let mut command = Command::new(root().join("deploy/local/cluster"));
        command.arg(verb).env("QFLOW_CLUSTER_DIR", &self.folder).env("QFLOW_CLUSTER_BIN", &self.bin);
        command.env("QFLOW_RUNTIME", "process").env("QFLOW_PYTHONS", &self.python);
        command.env_remove("QFLOW_SERVER").env_remove("QFLOW_TOKEN").envs(settings.iter().copied());
        let output = command.output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "deploy/local/cluster {verb}: {said}");
        Ok(())
    }

    /// Ends it, and takes its folder away unless it is to be kept.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.script("down", &[]).await?;
        // Containers of attempts that were under way outlive their runner, which would take them up again.
        for pid in self.left()? {
            Command::new("kill").args(["-9", &pid]).status().await?;
        }
        if !self.keep.get() {
            std::fs::remove_dir_all(&self.folder)?;
        }
        Ok(())
    }

    /// Processes that run from its folder.
    fn left(&self) -> anyhow::Result<Vec<String>> {
        let folder = format!("{}/", self.folder.display());
        let runs_there = |pid: &String| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&folder)
        };
        let pids = std::fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        Ok(pids.filter(|name| name.parse::<u32>().is_ok()).filter(runs_there).collect())
    }

    /// Has its folder kept, and says where that is.
    pub(crate) fn keep(&self) -> String {
        self.keep.set(true);
        self.folder.display().to_string()
    }

    fn file(&self, name: &str) -> anyhow::Result<String> {
        let path = self.folder.join(name);
        let text = std::fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))?;
        Ok(text.trim().to_owned())
    }

    /// A port by the script's name for it.
    pub(crate) fn port(&self, name: &str) -> anyhow::Result<u16> {
        let ports = self.file("ports")?;
        let port = ports.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        Ok(port.with_context(|| format!("a port `{name}`"))?.parse()?)
    }

    /// A client of one of the two orchestrators, 1 or 2.
    pub(crate) fn client(&self, orchestrator: usize) -> anyhow::Result<Client> {
        Client::new(&format!("http://127.0.0.1:{}", self.port(&format!("h{orchestrator}"))?), &self.file("token")?)
    }

    /// Where runners reach an orchestrator, and the token that they show.
    pub(crate) fn services(&self, orchestrator: usize) -> anyhow::Result<(String, String)> {
        Ok((format!("http://127.0.0.1:{}", self.port(&format!("g{orchestrator}"))?), self.file("service-token")?))
    }

    /// The process of a part.
    pub(crate) fn pid(&self, name: &str) -> anyhow::Result<u32> {
        Ok(self.file(&format!("{name}.pid"))?.parse()?)
    }

    /// `kill -9` of a part.
    pub(crate) async fn kill(&self, name: &str) -> anyhow::Result<()> {
        let pid = self.pid(name)?.to_string();
        let done = Command::new("kill").args(["-9", &pid]).status().await?;
        anyhow::ensure!(done.success(), "{name} did not run");
        Ok(())
    }

    /// Ends Postgres as a power cut would, and starts it again.
    pub(crate) async fn restart_postgres(&self) -> anyhow::Result<()> {
        let script = root().join("deploy/local/postgres");
        let done = Command::new(script).arg("restart").arg(self.folder.join("postgres")).output().await?;
        anyhow::ensure!(done.status.success(), "Postgres starts again: {}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    }

    /// A connection to its database.
    pub(crate) async fn database(&self) -> anyhow::Result<tokio_postgres::Client> {
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.folder.join("postgres")).user("qflow").dbname("postgres");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.context("connect to PostgreSQL")?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// What Postgres wrote.
    pub(crate) fn postgres_log(&self) -> anyhow::Result<String> {
        self.file("postgres/log")
    }

    /// The version of Python that real nodes run on.
    pub(crate) fn python(&self) -> &str {
        self.python.rsplit("python").next().unwrap_or("3")
    }

    /// The value of a series that an orchestrator exports, all its labels together.
    pub(crate) async fn metric(&self, orchestrator: usize, name: &str) -> anyhow::Result<f64> {
        let url = format!("http://127.0.0.1:{}/metrics", self.port(&format!("a{orchestrator}"))?);
        let output = Command::new("curl").args(["-fsS", &url]).output().await?;
        let text = String::from_utf8(output.stdout)?;
        let of_it =
            text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        Ok(of_it.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }
}

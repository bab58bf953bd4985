//! Programs that are started for a measurement, and end with it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::Context;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
};

use crate::clock::now;

/// How long a program may take to come up, or to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The project's root, where its scripts are.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// A short folder under `/tmp`: the paths of sockets in it end at 107 bytes. Others' processes may pass through it.
pub(crate) fn folder() -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new().prefix("qb").tempdir_in("/tmp")?;
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(folder)
}

/// Addresses on loopback that were free when they were asked for.
pub(crate) fn addresses<const N: usize>() -> anyhow::Result<[SocketAddr; N]> {
    let mut held = Vec::with_capacity(N);
    for _ in 0..N {
        held.push(std::net::TcpListener::bind(("127.0.0.1", 0))?);
    }
    let all: Vec<SocketAddr> = held.iter().map(std::net::TcpListener::local_addr).collect::<Result<_, _>>()?;
    all.try_into().map_err(|_| anyhow::anyhow!("as many addresses as were asked for"))
}

/// A program with its log.
pub(crate) struct Program {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Program {
    /// Starts one; what it says goes to `FOLDER/NAME.log`.
    pub(crate) fn start(mut command: Command, name: &str, folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = std::fs::File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).kill_on_drop(true);
        // What a terminal tells all of a group is told to this program alone, which ends those that it started one after the other.
        command.process_group(0);
        let child = command.spawn().with_context(|| format!("start {name}: `make bench` builds what it needs"))?;
        Ok(Self { name: name.to_owned(), log, child })
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its process.
    pub(crate) fn id(&self) -> anyhow::Result<u32> {
        self.child.id().with_context(|| format!("{} has ended: {}", self.name, self.last_words()))
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(4).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Waits until its admin port says that it is ready.
    pub(crate) async fn ready(&mut self, admin: SocketAddr) -> anyhow::Result<()> {
        let begun = now();
        while !is_ready(admin).await {
            anyhow::ensure!(self.child.try_wait()?.is_none(), "{} ended: {}", self.name, self.last_words());
            anyhow::ensure!(begun.elapsed() < PATIENCE, "{} does not come up: {}", self.name, self.last_words());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Asks it to end, and waits for that.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.id()?.to_string();
        Command::new("kill").args(["-TERM", &pid]).status().await?;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.with_context(|| format!("{} does not end", self.name))??;
        Ok(())
    }
}

impl Drop for Program {
    /// Where nobody stopped it, as when a measurement fails or this program is asked to end, it is asked to end, so that whatever it
    /// started ends with it; one that does not is killed.
    fn drop(&mut self) {
        if let Some(pid) = self.child.id() {
            std::process::Command::new("kill").args(["-TERM", &pid.to_string()]).status().ok();
            ended(&mut self.child);
        }
    }
}

/// Waits for a process without a runtime, which may be about to end as well; not for ever.
fn ended(child: &mut Child) {
    let begun = now();
    while matches!(child.try_wait(), Ok(None)) && begun.elapsed() < PATIENCE {
        pause();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "between two looks whether a process has ended, where nothing else is left to do"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// Whether `/readyz` answers 200.
async fn is_ready(admin: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(admin).await?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer.starts_with("HTTP/1.1 200"))
    };
    tokio::time::timeout(Duration::from_secs(1), ask).await.is_ok_and(|ready| ready.unwrap_or(false))
}

/// A private Postgres, with the settings of its package; it ends when this does, however that comes about.
pub(crate) struct Postgres {
    folder: tempfile::TempDir,
    script: Child,
    databases: std::sync::atomic::AtomicU32,
}

impl Postgres {
    /// Starts one.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let folder = folder()?;
        let mut script = Command::new(root().join("deploy/local/postgres"));
        script.arg("during").arg(folder.path().join("pg")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = script.spawn().context("start deploy/local/postgres")?;
        let stdout = script.stdout.take().context("its output is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let said = tokio::time::timeout(PATIENCE, lines.next_line()).await.context("PostgreSQL does not start")??;
        anyhow::ensure!(said.as_deref() == Some("ready"), "PostgreSQL does not start: deploy/local/postgres install");
        Ok(Self { folder, script, databases: std::sync::atomic::AtomicU32::new(0) })
    }

    /// Where its socket is.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("pg")
    }

    /// A new database of it: what Qflow is to be told, and its name.
    pub(crate) async fn database(&self) -> anyhow::Result<(String, String)> {
        let number = self.databases.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("bench{number}");
        self.connect("postgres").await?.batch_execute(&format!("CREATE DATABASE {name}")).await?;
        let host = self.socket().display().to_string().replace('/', "%2F");
        Ok((format!("postgres://qflow@{host}/{name}"), name))
    }

    /// A connection to one of its databases.
    pub(crate) async fn connect(&self, database: &str) -> anyhow::Result<tokio_postgres::Client> {
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.socket()).user("qflow").dbname(database);
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.context("connect to PostgreSQL")?;
        tokio::spawn(async move { connection.await.ok() });
        Ok(client)
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.script.stdin.take());
        tokio::time::timeout(PATIENCE, self.script.wait()).await.context("PostgreSQL does not end")??;
        Ok(())
    }
}

impl Drop for Postgres {
    /// Its folder goes after it.
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        ended(&mut self.script);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_nobody_stopped_is_asked_to_end_and_waited_for() {
        let folder = folder().unwrap();
        let mut command = Command::new("sh");
        let line = "trap 'sleep 0.2; echo over >ended; exit' TERM; echo here >begun; while :; do sleep 0.05; done";
        command.args(["-c", line]).current_dir(folder.path());
        let program = Program::start(command, "patient", folder.path()).unwrap();
        let begun = async {
            while !folder.path().join("begun").exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, begun).await.unwrap();
        drop(program);
        assert!(folder.path().join("ended").exists(), "it ended what it had begun, and only then was it let go");
    }
}

//! A real server for a test process, a database for each test.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use tokio_postgres::{Client, NoTls};

use super::super::{super::conformance::Hand, Postgres, Settings};

/// A server that ends with this process, however that ends: it reads from us until then.
pub(crate) struct Server {
    folder: PathBuf,
    databases: AtomicU32,
    script: Child,
}

/// What the script ends with where there is nothing to start.
const MISSING: i32 = 3;

static SHARED: LazyLock<Option<Server>> = LazyLock::new(|| Server::start(&[]));

impl Server {
    /// The process's own; nothing where none is installed and none is required.
    pub(crate) fn get() -> Option<&'static Self> {
        SHARED.as_ref()
    }

    /// One more, with options of its own.
    pub(super) fn start(options: &[String]) -> Option<Self> {
        Self::start_in(&tempfile::Builder::new().prefix("qflow-pg-").tempdir().unwrap().keep(), options)
    }

    /// The same in a folder that has what the options name.
    pub(super) fn start_in(folder: &Path, options: &[String]) -> Option<Self> {
        let mut script = script();
        script.arg("during").arg(folder).args(options).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = script.spawn().expect("the script runs");
        let mut said = String::new();
        BufReader::new(script.stdout.take().expect("it is piped")).read_line(&mut said).unwrap();
        if said.trim() == "ready" {
            return Some(Self { folder: folder.to_owned(), databases: AtomicU32::new(0), script });
        }
        let missing = script.wait().unwrap().code() == Some(MISSING);
        assert!(missing, "Postgres does not start: what it said stands above");
        assert!(std::env::var_os("QFLOW_REQUIRE_POSTGRES").is_none(), "Postgres is required, and not installed");
        eprintln!("skipped: no Postgres here, see deploy/local/postgres");
        None
    }

    /// Ends it as a power cut would, and starts it again.
    pub(super) fn restart(&self) {
        assert!(script().arg("restart").arg(&self.folder).status().unwrap().success());
    }

    pub(super) fn url(&self, database: &str) -> String {
        format!("postgres://qflow@{}/{database}", self.folder.display().to_string().replace('/', "%2F"))
    }

    /// A new database.
    pub(crate) async fn database(&self) -> Settings {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let admin = connect(&self.url("postgres")).await;
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        Settings { url: self.url(&name), ..Settings::default() }
    }

    /// A store in a database of its own.
    pub(crate) async fn store(&self) -> Postgres {
        Postgres::open(&self.database().await).await.unwrap()
    }

    /// The same, and a hand on the database's clock: what stands in the search path before the built-in functions hides them.
    pub(crate) async fn store_in_time(&self) -> (Postgres, OnDatabase) {
        let settings = self.database().await;
        let client = connect(&settings.url).await;
        let database = settings.url.rsplit('/').next().unwrap();
        let tell = format!(
            "CREATE SCHEMA hand; CREATE TABLE hand.clock AS SELECT timestamptz '2026-01-01' AS at;
             CREATE FUNCTION hand.now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM hand.clock';
             CREATE FUNCTION hand.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT at FROM hand.clock';
             ALTER DATABASE {database} SET search_path = hand, pg_catalog, public"
        );
        client.batch_execute(&tell).await.unwrap();
        (Postgres::open(&settings).await.unwrap(), OnDatabase(client))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        self.script.wait().ok();
    }
}

fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/local/postgres"))
}

pub(super) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A hand on a database's clock.
pub(crate) struct OnDatabase(Client);

#[async_trait]
impl Hand for OnDatabase {
    async fn advance_ms(&self, ms: u64) {
        let sql = "UPDATE hand.clock SET at = at + $1::bigint * interval '1 ms'";
        self.0.execute(sql, &[&(ms as i64)]).await.unwrap();
    }
}

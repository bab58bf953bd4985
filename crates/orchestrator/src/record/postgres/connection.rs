//! Connections: the pool of them, each wait bounded, and the tables brought up to date before anything is asked.

use std::{
    error::Error as Cause,
    ops::{Deref, DerefMut},
    time::Duration,
};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use refinery::{Migration, Runner};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::{
    super::{Error, Result},
    transaction::told,
    url::Target,
};

/// Connections of a replica: one is the engine's, the others serve reads and submissions; more of them only wait for the same disk.
const CONNECTIONS: usize = 16;
/// How long a caller waits for a connection: past it, it is better told that the database is overrun or away.
const WAIT: Duration = Duration::from_secs(2);
/// How long making a connection may take, handshakes included.
const CREATE: Duration = Duration::from_secs(4);
/// Which lock a replica holds while it changes tables; the number is "qflow".
pub(super) const MIGRATING: i64 = 0x71_66_6c_6f_77;
/// The tables, version by version: forward and additive, so that the version before goes on beside a newer one. Each is a transaction of
/// its own and locks one table that others write to, so that it waits for nobody who waits for it.
const MIGRATIONS: [(&str, &str); 11] = [
    ("V1__runs", include_str!("migrations/V1__runs.sql")),
    ("V2__stranded", include_str!("migrations/V2__stranded.sql")),
    ("V3__owner_of_source", include_str!("migrations/V3__owner_of_source.sql")),
    ("V4__owner_of_plan", include_str!("migrations/V4__owner_of_plan.sql")),
    ("V5__owner_of_workflow", include_str!("migrations/V5__owner_of_workflow.sql")),
    ("V6__owner_of_lock", include_str!("migrations/V6__owner_of_lock.sql")),
    ("V7__user_of_pool", include_str!("migrations/V7__user_of_pool.sql")),
    ("V8__user_of_slot", include_str!("migrations/V8__user_of_slot.sql")),
    ("V9__user_of_start", include_str!("migrations/V9__user_of_start.sql")),
    ("V10__owner_of_blob", include_str!("migrations/V10__owner_of_blob.sql")),
    ("V11__access", include_str!("migrations/V11__access.sql")),
];

pub(super) fn pool(target: &Target) -> Result<Pool> {
    // A closed connection is seen without asking; one that has gone silent is ended by the kernel.
    let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(target.config.clone(), target.tls.clone(), config);
    let pool = Pool::builder(manager).max_size(CONNECTIONS).runtime(Runtime::Tokio1);
    let pool = pool.wait_timeout(Some(WAIT)).create_timeout(Some(CREATE)).recycle_timeout(Some(WAIT)).build();
    pool.map_err(|error| Error::Database { doing: "prepare connections to the database", source: error.into() })
}

/// A connection that is nobody else's, and goes when it is dropped.
pub(super) struct Apart {
    client: Client,
    driving: JoinHandle<std::result::Result<(), tokio_postgres::Error>>,
}

impl Deref for Apart {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Apart {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // The end of the connection gives its locks back.
        self.driving.abort();
    }
}

/// A connection for what may take its time, and may wait for whoever was first.
pub(super) async fn apart(target: &Target) -> Result<Apart> {
    let mut config = target.config.clone();
    let patient = "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c lock_timeout=60s";
    config.options(format!("{} {patient}", config.get_options().unwrap_or_default()));
    let away = |error: tokio_postgres::Error| {
        let doing = "connect to the database";
        Error::Database { doing, source: format!("{}: {}", target.shown, told(&error)).into() }
    };
    let connecting = tokio::time::timeout(CREATE, config.connect(target.tls.clone())).await;
    let (client, connection) = connecting
        .map_err(|_| Error::Database {
            doing: "connect to the database",
            source: format!("{} does not answer", target.shown).into(),
        })?
        .map_err(away)?;
    Ok(Apart { client, driving: tokio::spawn(connection) })
}

/// Brings the tables up to this version, or only up to another; of several replicas that start at once, one after the other.
pub(super) async fn migrate(target: &Target, version: Option<i64>) -> Result<()> {
    let mut client = apart(target).await?;
    let migrated = bring_up(&mut client, version).await;
    migrated.map_err(|source| Error::Database { doing: "bring the database up to date", source })
}

/// Each version of the tables with what makes it of the one before.
fn versions() -> impl Iterator<Item = (i64, &'static str)> {
    MIGRATIONS.iter().filter_map(|(name, sql)| Some((name.strip_prefix('V')?.split_once("__")?.0.parse().ok()?, *sql)))
}

/// The newest version of the tables that this program knows.
pub(super) fn known() -> i64 {
    versions().map(|(version, _)| version).max().unwrap_or_default()
}

/// The tables whose rows are a store's in some version, by what makes them: who lives is no part of it.
pub(super) fn tables(version: i64) -> impl Iterator<Item = &'static str> {
    let lines = versions().filter(move |(made, _)| *made <= version).flat_map(|(_, sql)| sql.lines());
    let names = lines.filter_map(|line| line.strip_prefix("CREATE TABLE ")?.split([' ', '(']).next());
    names.filter(|name| *name != "replica")
}

async fn bring_up(client: &mut Client, version: Option<i64>) -> std::result::Result<(), Box<dyn Cause + Send + Sync>> {
    client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATING]).await.map_err(|error| told(&error))?;
    let migrations = MIGRATIONS
        .iter()
        .map(|(name, sql)| Migration::unapplied(name, sql))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    // A later version may have been here: what it added is no business of ours.
    let target = version.map_or(refinery::Target::Latest, |version| refinery::Target::Version(version as _));
    let runner = Runner::new(&migrations).set_abort_missing(false).set_abort_divergent(true).set_target(target);
    runner.run_async(client).await?;
    Ok(())
}

//! Connections: the pool of them, each wait bounded, and the tables brought up to date before anything is asked.

use std::{error::Error as Cause, time::Duration};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use refinery::{Migration, Runner};

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
const MIGRATING: i64 = 0x71_66_6c_6f_77;
/// The tables, version by version: forward and additive, so that the version before goes on beside a newer one.
const MIGRATIONS: [(&str, &str); 1] = [("V1__runs", include_str!("migrations/V1__runs.sql"))];

pub(super) fn pool(target: &Target) -> Result<Pool> {
    // A closed connection is seen without asking; one that has gone silent is ended by the kernel.
    let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(target.config.clone(), target.tls.clone(), config);
    let pool = Pool::builder(manager).max_size(CONNECTIONS).runtime(Runtime::Tokio1);
    let pool = pool.wait_timeout(Some(WAIT)).create_timeout(Some(CREATE)).recycle_timeout(Some(WAIT)).build();
    pool.map_err(|error| Error::Database { doing: "prepare connections to the database", source: error.into() })
}

/// Brings the tables up to this version; of several replicas that start at once, one after the other.
pub(super) async fn migrate(target: &Target) -> Result<()> {
    let mut config = target.config.clone();
    // A table that is changed may take its time, and so may the replica that was first.
    config.options(format!("{} -c statement_timeout=0 -c lock_timeout=60s", config.get_options().unwrap_or_default()));
    let away = |error: tokio_postgres::Error| {
        let doing = "connect to the database";
        Error::Database { doing, source: format!("{}: {}", target.shown, told(&error)).into() }
    };
    let connecting = tokio::time::timeout(CREATE, config.connect(target.tls.clone())).await;
    let (mut client, connection) = connecting
        .map_err(|_| Error::Database {
            doing: "connect to the database",
            source: format!("{} does not answer", target.shown).into(),
        })?
        .map_err(away)?;
    let driving = tokio::spawn(connection);
    let migrated = bring_up(&mut client).await;
    // The end of the connection gives the lock back.
    drop(client);
    driving.abort();
    migrated.map_err(|source| Error::Database { doing: "bring the database up to date", source })
}

async fn bring_up(client: &mut tokio_postgres::Client) -> std::result::Result<(), Box<dyn Cause + Send + Sync>> {
    client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATING]).await.map_err(|error| told(&error))?;
    let migrations = MIGRATIONS
        .iter()
        .map(|(name, sql)| Migration::unapplied(name, sql))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    // A later version may have been here: what it added is no business of ours.
    Runner::new(&migrations).set_abort_missing(false).set_abort_divergent(true).run_async(client).await?;
    Ok(())
}

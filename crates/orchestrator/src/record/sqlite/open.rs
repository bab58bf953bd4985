//! Opens the file: one process at a time, its tables made or brought up to date, its connection on a thread of its own.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use qflow_model::ids::SHARDS;
use qflow_service::Clock;
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::{
    super::{Error, Result},
    Job, Sqlite, access, cache, failed,
    older::bring_up,
    pool,
};

/// The version of the schema below, in `SQLite`'s `user_version`.
pub(in crate::record) const SCHEMA: i64 = 6;

const TABLES: &str = "
CREATE TABLE shard (id INTEGER PRIMARY KEY, owner TEXT NOT NULL, epoch INTEGER NOT NULL, lease_until INTEGER NOT NULL);
CREATE TABLE run (
  id TEXT PRIMARY KEY, tenant TEXT NOT NULL, user TEXT NOT NULL, shard INTEGER NOT NULL, workflow TEXT NOT NULL,
  plan TEXT NOT NULL, status TEXT NOT NULL, created_at INTEGER NOT NULL, ended_at INTEGER,
  spec TEXT NOT NULL, head TEXT NOT NULL);
CREATE INDEX run_by_tenant ON run (tenant, id DESC);
CREATE INDEX run_open ON run (shard, id) WHERE status IN ('pending', 'running', 'paused');
CREATE INDEX run_ended ON run (ended_at) WHERE ended_at IS NOT NULL;
CREATE TABLE node_run (
  run TEXT NOT NULL, frame INTEGER NOT NULL, step INTEGER NOT NULL, element INTEGER NOT NULL, status TEXT NOT NULL,
  attempt INTEGER NOT NULL, node TEXT NOT NULL, tenant TEXT NOT NULL, user TEXT NOT NULL,
  PRIMARY KEY (run, frame, step, element)) WITHOUT ROWID;
CREATE TABLE history (
  id INTEGER PRIMARY KEY, run TEXT NOT NULL, at INTEGER NOT NULL, event TEXT NOT NULL, tenant TEXT NOT NULL, user TEXT NOT NULL);
CREATE INDEX history_by_run ON history (run, id);
CREATE TABLE inbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT, shard INTEGER NOT NULL, run TEXT NOT NULL, input TEXT NOT NULL, tenant TEXT NOT NULL,
  user TEXT NOT NULL);
CREATE TABLE idempotency (
  tenant TEXT NOT NULL, key TEXT NOT NULL, run TEXT NOT NULL, at INTEGER NOT NULL, user TEXT NOT NULL, PRIMARY KEY (tenant, key));
CREATE TABLE log_line (
  id INTEGER PRIMARY KEY, run TEXT NOT NULL, node TEXT NOT NULL, attempt INTEGER NOT NULL, sequence INTEGER NOT NULL,
  at INTEGER NOT NULL, stream TEXT NOT NULL, text TEXT NOT NULL, fields TEXT, tenant TEXT NOT NULL, user TEXT NOT NULL,
  UNIQUE (run, node, attempt, sequence));
";

/// What is named by its content: each tenant has rows of its own.
pub(super) const CONTENT: &str = "
CREATE TABLE source (
  digest TEXT NOT NULL, tenant TEXT NOT NULL, user TEXT NOT NULL, source TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (digest, tenant));
CREATE TABLE workflow (
  tenant TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, user TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (tenant, name, digest));
CREATE TABLE plan (
  digest TEXT NOT NULL, tenant TEXT NOT NULL, user TEXT NOT NULL, plan TEXT NOT NULL, PRIMARY KEY (digest, tenant));
CREATE TABLE env_lock (
  tenant TEXT NOT NULL, spec TEXT NOT NULL, at INTEGER NOT NULL, user TEXT NOT NULL, lock TEXT NOT NULL,
  PRIMARY KEY (tenant, spec, at));
";

/// Takes the lock on a file, as long as what is given is held.
pub(super) fn lock(path: &Path) -> Result<File> {
    let mut lock: PathBuf = path.to_owned();
    lock.as_mut_os_string().push(".lock");
    let held = File::options().create(true).append(true).open(lock).map_err(failed("open the database's lock"))?;
    held.try_lock().map_err(|_| Error::InUse { path: path.display().to_string() })?;
    Ok(held)
}

impl Sqlite {
    /// Opens or makes the file.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let shown = path.display().to_string();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed("make the database's folder"))?;
        }
        let held = lock(path)?;
        let connection = Connection::open(path).map_err(failed("open the database"))?;
        Self::on(connection, &shown, clock, Some(held))
    }

    fn on(mut connection: Connection, shown: &str, clock: Arc<dyn Clock>, held: Option<File>) -> Result<Self> {
        let wrong = failed("prepare the database");
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16000;")
            .map_err(failed("prepare the database"))?;
        let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(&wrong)?;
        if found == 0 {
            let transaction = connection.transaction().map_err(&wrong)?;
            for tables in [TABLES, CONTENT, pool::TABLES, cache::TABLES, access::TABLES] {
                transaction.execute_batch(tables).map_err(&wrong)?;
            }
            for shard in 0..SHARDS {
                transaction.execute("INSERT INTO shard VALUES (?, '', 0, 0)", [shard]).map_err(&wrong)?;
            }
            transaction.pragma_update(None, "user_version", SCHEMA).map_err(&wrong)?;
            transaction.commit().map_err(&wrong)?;
        } else if found < SCHEMA {
            bring_up(&mut connection, found)?;
        } else if found != SCHEMA {
            return Err(Error::Schema { what: format!("`{shown}`"), found, known: SCHEMA });
        }
        // Whoever held shards before held the file as well, and has let go of it.
        connection.execute("UPDATE shard SET owner = '', lease_until = 0", []).map_err(&wrong)?;
        connection.set_prepared_statement_cache_capacity(64);
        let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
        std::thread::Builder::new()
            .name("sqlite".into())
            .spawn(move || {
                while let Some(job) = queue.blocking_recv() {
                    job(&mut connection);
                }
            })
            .map_err(failed("start the database's thread"))?;
        Ok(Self { jobs, clock, members: Mutex::default(), _held: held })
    }

    /// A store in memory, with `SQLite`'s own semantics.
    #[cfg(test)]
    pub(crate) fn in_memory(clock: Arc<dyn Clock>) -> Result<Self> {
        let connection = Connection::open_in_memory().map_err(failed("open a database in memory"))?;
        Self::on(connection, ":memory:", clock, None)
    }
}

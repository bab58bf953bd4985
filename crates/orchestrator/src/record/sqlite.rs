//! `SQLite` behind the store's trait: one connection on a thread of its own, write-ahead log, every commit synced.

mod access;
mod backup;
mod cache;
mod lines;
mod older;
mod open;
mod pool;
mod retention;
mod rows;
mod shards;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use qflow_model::{
    definition::Source,
    environment::EnvLock,
    ids::{Digest, Epoch, NodeKey, RunId, Shard, Timestamp},
    progress::{Happening, NodeRun},
};
use qflow_service::Clock;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};

use self::rows::{accept, list, load, put_command, put_source, read, totals, write};
pub(super) use self::{
    backup::{Snapshot, load_backup, vacant},
    open::SCHEMA,
};
use super::{
    Batch, Command, Error, Filter, InboxRow, Listed, Loaded, Registered, Result, Store, StoredLine, Submission,
    Submitted, Totals,
    access::Entry,
    cache::{Expired, Hit, Scope},
    member::{Attending, Standing},
    pool::{Pool, PoolState, Removed},
};

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A store in one file.
pub struct Sqlite {
    jobs: mpsc::UnboundedSender<Job>,
    clock: Arc<dyn Clock>,
    /// Replicas of this process: the file's lock keeps those of others out.
    members: Mutex<shards::Members>,
    /// Held as long as the store lives: a second process on the same file is told so.
    _held: Option<File>,
}

fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(doing: &'static str) -> impl Fn(E) -> Error {
    move |source| Error::Database { doing, source: source.into() }
}

impl Sqlite {
    /// Runs `work` in a transaction that is written as a whole or not at all.
    async fn within<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> std::result::Result<T, Stop> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let run = || {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let done = work(&transaction)?;
                transaction.commit()?;
                Ok(done)
            };
            // Nobody waits any more where the caller was dropped.
            drop(answer.send(run()));
        });
        let gone = || Error::Database { doing, source: "the database's thread has ended".into() };
        self.jobs.send(job).map_err(|_| gone())?;
        match answered.await.map_err(|_| gone())? {
            Ok(done) => Ok(done),
            Err(Stop::Because(error)) => Err(error),
            Err(Stop::Database(source)) => Err(Error::Database { doing, source: source.into() }),
            Err(Stop::Json(source)) => Err(Error::Database { doing, source: source.into() }),
        }
    }
}

/// Why a transaction was given up.
#[derive(Debug)]
enum Stop {
    Because(Error),
    Database(rusqlite::Error),
    Json(serde_json::Error),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<serde_json::Error> for Stop {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

type Done<T> = std::result::Result<T, Stop>;

#[async_trait]
impl Store for Sqlite {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    async fn now(&self) -> Result<Timestamp> {
        Ok(self.clock.now())
    }

    async fn takes_commits(&self) -> Result<()> {
        // It begins as every transaction that writes does, behind those that wait, and needs the same lock.
        self.within("begin a transaction", |_| Ok(())).await
    }

    async fn attend(&self, attending: Attending<'_>) -> Result<Standing> {
        let now = self.clock.now();
        let (members, stranded, missed) = shards::attend(&self.members, attending, now);
        let held = attending.held.clone();
        let held = self.within("look at shards", move |db| shards::ours(db, &held)).await?;
        Ok(Standing { members, stranded, held, missed })
    }

    async fn leave(&self, owner: &str) -> Result<()> {
        shards::leave(&self.members, owner);
        let owner = owner.to_owned();
        self.within("leave shards", move |db| shards::free(db, &owner)).await
    }

    async fn take_shards(&self, owner: &str, most: usize) -> Result<BTreeMap<Shard, Epoch>> {
        let (owner, now) = (owner.to_owned(), self.clock.now());
        let living = shards::living(&self.members, now);
        self.within("take shards", move |db| shards::take(db, &owner, most, &living, now)).await
    }

    async fn release(&self, held: &BTreeMap<Shard, Epoch>) -> Result<()> {
        let held = held.clone();
        self.within("release shards", move |db| shards::release(db, &held)).await
    }

    async fn submit(&self, submission: Submission) -> Result<Submitted> {
        let now = self.clock.now();
        self.within("accept a run", move |db| accept(db, &submission, now)).await
    }

    async fn register(&self, owner: Scope, source: Arc<Source>, workflows: Vec<String>) -> Result<()> {
        let now = self.clock.now();
        self.within("register a workflow", move |db| put_source(db, &owner, &source, &workflows, now)).await
    }

    async fn post(&self, run: RunId, command: Command, asked: Option<Entry>) -> Result<i64> {
        let now = self.clock.now();
        self.within("post a command", move |db| {
            let row = put_command(db, run, &command)?;
            // A run that is gone is asked for nothing.
            asked.iter().filter(|_| row > 0).try_for_each(|asked| access::note(db, asked, now))?;
            Ok(row)
        })
        .await
    }

    async fn inbox(&self, shards: &BTreeSet<Shard>) -> Result<Vec<InboxRow>> {
        let shards = shards.clone();
        self.within("read the inbox", move |db| {
            let mut rows = db.prepare_cached("SELECT id, run, input FROM inbox ORDER BY id")?;
            let mut found = rows.query([])?;
            let mut inbox = Vec::new();
            while let Some(row) = found.next()? {
                let run = row.get::<_, String>(1)?.parse().ok().filter(|run: &RunId| shards.contains(&run.shard()));
                if let Some(run) = run {
                    inbox.push(InboxRow { id: row.get(0)?, run, command: read(&row.get::<_, String>(2)?)? });
                }
            }
            Ok(inbox)
        })
        .await
    }

    async fn is_posted(&self, row: i64) -> Result<bool> {
        self.within("look for a command", move |db| {
            Ok(db.prepare_cached("SELECT 1 FROM inbox WHERE id = ?")?.exists([row])?)
        })
        .await
    }

    async fn commit(&self, batch: Batch) -> Result<Timestamp> {
        let now = self.clock.now();
        self.within("commit a batch", move |db| write(db, &batch, now)).await
    }

    async fn unfinished(&self, shards: &BTreeSet<Shard>) -> Result<Vec<RunId>> {
        let shards = shards.clone();
        self.within("find unfinished runs", move |db| {
            let mut rows =
                db.prepare("SELECT id FROM run WHERE status IN ('pending', 'running', 'paused') ORDER BY id")?;
            let ids = rows.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
            let ours = |run: &RunId| shards.contains(&run.shard());
            Ok(ids.iter().filter_map(|id| id.parse().ok()).filter(ours).collect())
        })
        .await
    }

    async fn load(&self, run: RunId) -> Result<Option<Loaded>> {
        self.within("read a run", move |db| load(db, run)).await
    }

    async fn known(&self, runs: Vec<RunId>) -> Result<BTreeSet<RunId>> {
        self.within("find runs", move |db| retention::known(db, runs)).await
    }

    async fn node(&self, run: RunId, key: NodeKey) -> Result<Option<NodeRun>> {
        self.within("read a node run", move |db| rows::node(db, run, key)).await
    }

    async fn history(&self, run: RunId) -> Result<Vec<(Timestamp, Happening)>> {
        self.within("read a run's history", move |db| {
            let mut rows = db.prepare_cached("SELECT at, event FROM history WHERE run = ? ORDER BY id")?;
            let mut found = rows.query([run.to_string()])?;
            let mut history = Vec::new();
            while let Some(row) = found.next()? {
                history.push((Timestamp(row.get(0)?), read(&row.get::<_, String>(1)?)?));
            }
            Ok(history)
        })
        .await
    }

    async fn list(&self, filter: Filter) -> Result<Vec<Listed>> {
        self.within("list runs", move |db| list(db, &filter)).await
    }

    async fn workflows(&self, tenant: String) -> Result<Vec<Registered>> {
        self.within("list workflows", move |db| {
            let newest = "SELECT name, digest, max(at) FROM workflow WHERE tenant = ? GROUP BY name ORDER BY name";
            let mut rows = db.prepare(newest)?;
            let found = rows.query_map([tenant], |r| Ok((r.get(0)?, r.get::<_, String>(1)?, Timestamp(r.get(2)?))))?;
            let found = found.collect::<rusqlite::Result<Vec<_>>>()?;
            let read = |(name, digest, at): (String, String, Timestamp)| {
                Some(Registered { name, digest: digest.parse().ok()?, at })
            };
            Ok(found.into_iter().filter_map(read).collect())
        })
        .await
    }

    async fn source(&self, tenant: String, digest: Digest) -> Result<Option<Arc<Source>>> {
        self.within("read a source", move |db| {
            let mut rows = db.prepare_cached("SELECT source FROM source WHERE digest = ? AND tenant = ?")?;
            let found: Option<String> = rows.query_row([digest.to_string(), tenant], |row| row.get(0)).optional()?;
            found.map(|source| read(&source).map(Arc::new)).transpose()
        })
        .await
    }

    async fn lock(&self, tenant: String, spec: Digest, since: Timestamp) -> Result<Option<Arc<EnvLock>>> {
        self.within("read a lock", move |db| {
            let mut rows = db.prepare_cached(
                "SELECT lock FROM env_lock WHERE tenant = ? AND spec = ? AND at >= ? ORDER BY at DESC LIMIT 1",
            )?;
            let found: Option<String> =
                rows.query_row(params![tenant, spec.to_string(), since.0], |row| row.get(0)).optional()?;
            found.map(|lock| read(&lock).map(Arc::new)).transpose()
        })
        .await
    }

    async fn append_lines(&self, run: RunId, lines: Vec<StoredLine>) -> Result<()> {
        self.within("append lines", move |db| lines::append(db, run, &lines)).await
    }

    async fn lines(&self, run: RunId, after: i64) -> Result<(Vec<StoredLine>, i64)> {
        self.within("read lines", move |db| lines::after(db, run, after)).await
    }

    async fn drop_lines(&self, run: RunId, attempts: Vec<(String, u32)>) -> Result<()> {
        self.within("remove lines", move |db| lines::remove(db, run, &attempts)).await
    }

    async fn set_pool(&self, pool: Pool) -> Result<()> {
        self.within("set a pool", move |db| pool::set(db, &pool)).await
    }

    async fn remove_pool(&self, tenant: String, name: String) -> Result<Removed> {
        self.within("remove a pool", move |db| pool::remove(db, &tenant, &name)).await
    }

    async fn pools(&self, tenant: String) -> Result<Vec<PoolState>> {
        let now = self.clock.now();
        self.within("read pools", move |db| pool::all(db, &tenant, now)).await
    }

    async fn cached(&self, scope: Scope, keys: Vec<Digest>) -> Result<Vec<Option<Hit>>> {
        let now = self.clock.now();
        self.within("look up kept outputs", move |db| cache::find(db, &scope, &keys, now)).await
    }

    async fn expire(&self, limit: u32) -> Result<Expired> {
        let now = self.clock.now();
        self.within("remove kept outputs", move |db| cache::expire(db, limit, now)).await
    }

    async fn forget(&self, blobs: Vec<Digest>) -> Result<()> {
        self.within("forget removed blobs", move |db| cache::forget(db, &blobs)).await
    }

    async fn expire_runs(&self, older_ms: u64, limit: u32) -> Result<Vec<RunId>> {
        let now = self.clock.now();
        self.within("find runs that ended long ago", move |db| retention::expired(db, older_ms, limit, now)).await
    }

    async fn forget_runs(&self, runs: Vec<RunId>) -> Result<()> {
        self.within("remove runs that ended long ago", move |db| retention::forget(db, &runs)).await
    }

    async fn totals(&self) -> Result<Totals> {
        let now = self.clock.now();
        self.within("count runs", move |db| totals(db, now)).await
    }
}

/// Somebody else who writes to a file, until they are dropped.
#[cfg(test)]
pub(crate) fn taken(path: &std::path::Path, mode: &str) -> rusqlite::Connection {
    let other = rusqlite::Connection::open(path).unwrap();
    other.execute_batch(&format!("BEGIN {mode}")).unwrap();
    other
}

//! Postgres behind the store's trait: many replicas share it, its clock alone decides, and every batch begins with its fence.

mod access;
mod backup;
mod batch;
mod cache;
mod connection;
mod logs;
mod pool;
mod restore;
mod retention;
mod rows;
mod shards;
#[cfg(test)]
mod tests;
mod transaction;
mod url;
mod wake;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use deadpool_postgres::Object;
use qflow_model::{
    definition::Source,
    environment::EnvLock,
    ids::{Digest, Epoch, NodeKey, RunId, Shard, Timestamp},
    limits,
    plan::Plan,
    progress::{Happening, NodeRun},
};
use qflow_telemetry::{Histogram, Telemetry, labels::PoolName};
use tokio_postgres::Row;

use self::{
    rows::{query, read},
    transaction::{At, Done, Param, Stop, Tx, digest},
    wake::Wake,
};
use super::{
    Batch, Command, Error, Filter, InboxRow, Listed, Loaded, Registered, Result, Store, StoredLine, Submission,
    Submitted, Totals,
    access::Entry,
    cache::{Expired, Hit, Scope},
    member::{Attending, Standing},
    pool::{Pool, PoolState, Removed},
    traced::Place,
};
use crate::shared::Shared;

pub(super) use backup::Snapshot;
pub(super) use restore::{load_backup, vacant};
#[cfg(test)]
pub(crate) use tests::{server::Server, tls::certify};
pub use url::Settings;

/// The newest schema that this program knows.
pub(super) fn known() -> i64 {
    connection::known()
}

const INBOX: &str = "SELECT id, run, input FROM inbox WHERE shard = ANY($1::smallint[]) ORDER BY id";
const POSTED: &str = "SELECT FROM inbox WHERE id = $1";
const UNFINISHED: &str = "
SELECT id FROM run WHERE shard = ANY($1::smallint[]) AND status IN ('pending', 'running', 'paused') ORDER BY id";
const NODE: &str = "SELECT node FROM node_run WHERE run = $1 AND frame = $2 AND step = $3 AND element = $4";
const HISTORY: &str = "SELECT at, event FROM history WHERE run = $1 ORDER BY id";
/// Replicas of the version before write to `workflow`.
const WORKFLOWS: &str = "
SELECT DISTINCT ON (name) name, digest, at FROM (
  SELECT name, digest, at FROM registered WHERE tenant = $1 UNION ALL SELECT name, digest, at FROM workflow WHERE tenant = $1
) AS known ORDER BY name, at DESC";
const SOURCE: &str = "SELECT source FROM source WHERE digest = $1 AND tenant = $2";
const LOCK: &str = "SELECT lock FROM env_lock WHERE spec = $1 AND tenant = $2 AND at >= $3 ORDER BY at DESC LIMIT 1";

/// A store in a database that several replicas share.
pub struct Postgres {
    pool: deadpool_postgres::Pool,
    wake: Wake,
    measured: Option<(Histogram, Telemetry)>,
    plans: Shared<Plan>,
    place: Place,
}

impl Postgres {
    /// Connects, and brings the tables up to what this version knows.
    pub async fn open(settings: &Settings) -> Result<Self> {
        let target = target(settings)?;
        connection::migrate(&target, None).await?;
        let (pool, place) = (connection::pool(&target)?, target.place());
        Ok(Self { pool, wake: Wake::listen(target), plans: Shared::default(), measured: None, place })
    }

    /// Which database it is.
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    /// Has metrics tell of its connections, and of how long callers wait for one.
    #[must_use]
    pub fn measured(mut self, telemetry: &Telemetry) -> Self {
        let (pool, name) = (self.pool.clone(), || PoolName::of("database"));
        telemetry.collect(move |metrics| {
            let status = pool.status();
            metrics.pool_size(name()).set(status.size as f64);
            metrics.pool_in_use(name()).set(status.size.saturating_sub(status.available) as f64);
        });
        self.measured = Some((telemetry.metrics().pool_wait(name()), telemetry.clone()));
        self
    }

    async fn client(&self, doing: &'static str) -> Result<Object> {
        let began = tokio::time::Instant::now();
        let client = self.pool.get().await;
        if let Some((waits, telemetry)) = &self.measured {
            waits.record(began.elapsed().as_secs_f64());
            if client.is_err() {
                telemetry.metrics().pool_errors(PoolName::of("database")).increment(1);
            }
        }
        client.map_err(|error| Stop::from(error).while_doing(doing))
    }

    async fn transaction(&self, doing: &'static str) -> Result<Tx> {
        self.client(doing).await.map(Tx::on)
    }

    /// The rows of one statement, which is its own transaction.
    async fn rows(&self, doing: &'static str, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>> {
        let client = self.client(doing).await?;
        query(&client, sql, params).await.map_err(|stop| stop.while_doing(doing))
    }
}

/// Where the settings lead.
fn target(settings: &Settings) -> Result<url::Target> {
    let wrong = |wrong: url::Wrong| Error::Database { doing: "read the database's settings", source: wrong.into() };
    settings.target().map_err(wrong)
}

/// Reads each row of an answer.
fn each<T>(doing: &'static str, rows: &[Row], read: impl Fn(&Row) -> Done<T>) -> Result<Vec<T>> {
    rows.iter().map(read).collect::<Done<_>>().map_err(|stop| stop.while_doing(doing))
}

fn command(row: &Row) -> Done<InboxRow> {
    Ok(InboxRow { id: row.try_get(0)?, run: RunId(row.try_get(1)?), command: read(row, 2)? })
}

fn numbers(shards: &BTreeSet<Shard>) -> Vec<i16> {
    shards.iter().map(|shard| i16::from(shard.0)).collect()
}

/// Ends a transaction as what was done in it says.
async fn end<T>(tx: Tx, doing: &'static str, done: Done<T>) -> Result<T> {
    tx.end(done).await.map_err(|stop| stop.while_doing(doing))
}

#[async_trait]
impl Store for Postgres {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    async fn now(&self) -> Result<Timestamp> {
        let doing = "ask the database for the time";
        let rows = self.rows(doing, batch::NOW, &[]).await?;
        let times = each(doing, &rows, |row| Ok(row.try_get::<_, At>(1)?.0))?;
        times.first().copied().ok_or(Error::Database { doing, source: "it did not answer".into() })
    }

    async fn attend(&self, attending: Attending<'_>) -> Result<Standing> {
        let doing = "attend";
        let tx = self.transaction(doing).await?;
        let done = shards::attend(&tx, attending).await;
        let standing = end(tx, doing, done).await?;
        self.wake.owns(&standing.held);
        Ok(standing)
    }

    async fn leave(&self, owner: &str) -> Result<()> {
        self.wake.owns(&BTreeSet::new());
        let doing = "leave";
        let tx = self.transaction(doing).await?;
        let done = shards::leave(&tx, owner).await;
        end(tx, doing, done).await
    }

    async fn take_shards(&self, owner: &str, most: usize) -> Result<BTreeMap<Shard, Epoch>> {
        let (doing, lease) = ("take shards", limits::SHARD_LEASE_MS as i64);
        let rows = self.rows(doing, shards::TAKE, &[&owner, &lease, &(most as i64)]).await?;
        let taken = |row: &Row| Ok((Shard(row.try_get::<_, i16>(0)? as u8), Epoch(row.try_get::<_, i64>(1)? as u64)));
        Ok(each(doing, &rows, taken)?.into_iter().collect())
    }

    async fn release(&self, held: &BTreeMap<Shard, Epoch>) -> Result<()> {
        let (ids, epochs) = shards::columns(held);
        self.rows("release shards", shards::RELEASE, &[&ids, &epochs]).await.map(drop)
    }

    async fn woken(&self) {
        self.wake.woken().await;
    }

    async fn submit(&self, submission: Submission) -> Result<Submitted> {
        let doing = "accept a run";
        let tx = self.transaction(doing).await?;
        let done = rows::accept(&tx, &submission).await;
        let submitted = end(tx, doing, done).await?;
        self.wake.tell(&self.pool, submission.spec.id.shard());
        Ok(submitted)
    }

    async fn register(&self, owner: Scope, source: Arc<Source>, workflows: Vec<String>) -> Result<()> {
        let doing = "register a workflow";
        let tx = self.transaction(doing).await?;
        let done = rows::register(&tx, &owner, &source, &workflows).await;
        end(tx, doing, done).await
    }

    async fn post(&self, run: RunId, command: Command, asked: Option<Entry>) -> Result<i64> {
        let doing = "post a command";
        let input = rows::text(&command).map_err(|stop| stop.while_doing(doing))?;
        let put: [Param<'_>; 2] = [&run.0, &input];
        let rows = match &asked {
            None => self.rows(doing, rows::PUT_COMMAND, &put).await?,
            Some(asked) => self.rows(doing, access::ASK, &[&access::params(asked)[..], &put].concat()).await?,
        };
        self.wake.tell(&self.pool, run.shard());
        // A run that is gone gets none: nothing waits then.
        Ok(each(doing, &rows, |row| Ok(row.try_get(0)?))?.pop().unwrap_or_default())
    }

    async fn inbox(&self, shards: &BTreeSet<Shard>) -> Result<Vec<InboxRow>> {
        let doing = "read the inbox";
        self.wake.looked();
        each(doing, &self.rows(doing, INBOX, &[&numbers(shards)]).await?, command)
    }

    async fn is_posted(&self, row: i64) -> Result<bool> {
        Ok(!self.rows("look for a command", POSTED, &[&row]).await?.is_empty())
    }

    async fn commit(&self, batch: Batch) -> Result<Timestamp> {
        let doing = "commit a batch";
        let tx = self.transaction(doing).await?;
        let done = batch::write(&tx, &batch).await;
        end(tx, doing, done).await
    }

    async fn unfinished(&self, shards: &BTreeSet<Shard>) -> Result<Vec<RunId>> {
        let doing = "find unfinished runs";
        let rows = self.rows(doing, UNFINISHED, &[&numbers(shards)]).await?;
        each(doing, &rows, |row| Ok(RunId(row.try_get(0)?)))
    }

    async fn load(&self, run: RunId) -> Result<Option<Loaded>> {
        let doing = "read a run";
        let tx = self.transaction(doing).await?;
        let done = rows::load(&tx, &self.plans, run).await;
        end(tx, doing, done).await
    }

    async fn known(&self, runs: Vec<RunId>) -> Result<BTreeSet<RunId>> {
        let (doing, ids) = ("find runs", runs.iter().map(|run| run.0).collect::<Vec<_>>());
        let rows = self.rows(doing, retention::KNOWN, &[&ids]).await?;
        Ok(each(doing, &rows, |row| Ok(RunId(row.try_get(0)?)))?.into_iter().collect())
    }

    async fn node(&self, run: RunId, key: NodeKey) -> Result<Option<NodeRun>> {
        let doing = "read a node run";
        let at: [Param<'_>; 4] = [&run.0, &(key.frame.0 as i32), &(key.step.0 as i32), &rows::element(key)];
        let found = self.rows(doing, NODE, &at).await?;
        Ok(each(doing, &found, |row| read(row, 0))?.pop())
    }

    async fn history(&self, run: RunId) -> Result<Vec<(Timestamp, Happening)>> {
        let doing = "read a run's history";
        let rows = self.rows(doing, HISTORY, &[&run.0]).await?;
        each(doing, &rows, |row| Ok((row.try_get::<_, At>(0)?.0, read(row, 1)?)))
    }

    async fn list(&self, filter: Filter) -> Result<Vec<Listed>> {
        let doing = "list runs";
        let client = self.client(doing).await?;
        rows::list(&client, &filter).await.map_err(|stop| stop.while_doing(doing))
    }

    async fn workflows(&self, tenant: String) -> Result<Vec<Registered>> {
        let doing = "list workflows";
        let rows = self.rows(doing, WORKFLOWS, &[&tenant]).await?;
        each(doing, &rows, |row| {
            let At(at) = row.try_get(2)?;
            Ok(Registered { name: row.try_get(0)?, digest: digest(row.try_get(1)?)?, at })
        })
    }

    async fn source(&self, tenant: String, digest: Digest) -> Result<Option<Arc<Source>>> {
        let doing = "read a source";
        let rows = self.rows(doing, SOURCE, &[&&digest.0[..], &tenant]).await?;
        Ok(each(doing, &rows, |row| read(row, 0))?.pop().map(Arc::new))
    }

    async fn lock(&self, tenant: String, spec: Digest, since: Timestamp) -> Result<Option<Arc<EnvLock>>> {
        let doing = "read a lock";
        let rows = self.rows(doing, LOCK, &[&&spec.0[..], &tenant, &At(since)]).await?;
        Ok(each(doing, &rows, |row| read(row, 0))?.pop().map(Arc::new))
    }

    async fn append_lines(&self, run: RunId, lines: Vec<StoredLine>) -> Result<()> {
        let doing = "append lines";
        let tx = self.transaction(doing).await?;
        let done = logs::append(&tx, run, &lines).await;
        end(tx, doing, done).await
    }

    async fn lines(&self, run: RunId, after: i64) -> Result<(Vec<StoredLine>, i64)> {
        let doing = "read lines";
        let client = self.client(doing).await?;
        logs::lines(&client, run, after).await.map_err(|stop| stop.while_doing(doing))
    }

    async fn drop_lines(&self, run: RunId, attempts: Vec<(String, u32)>) -> Result<()> {
        let doing = "remove lines";
        let client = self.client(doing).await?;
        logs::remove(&client, run, &attempts).await.map_err(|stop| stop.while_doing(doing))
    }

    async fn set_pool(&self, pool: Pool) -> Result<()> {
        let doing = "set a pool";
        let client = self.client(doing).await?;
        pool::set(&client, &pool).await.map_err(|stop| stop.while_doing(doing))
    }

    async fn remove_pool(&self, tenant: String, name: String) -> Result<Removed> {
        let doing = "remove a pool";
        let tx = self.transaction(doing).await?;
        let done = pool::remove(&tx, &tenant, &name).await;
        end(tx, doing, done).await
    }

    async fn pools(&self, tenant: String) -> Result<Vec<PoolState>> {
        let doing = "read pools";
        let tx = self.transaction(doing).await?;
        let done = pool::all(&tx, &tenant).await;
        end(tx, doing, done).await
    }

    async fn cached(&self, scope: Scope, keys: Vec<Digest>) -> Result<Vec<Option<Hit>>> {
        let doing = "look up kept outputs";
        let client = self.client(doing).await?;
        cache::find(&client, &scope, &keys).await.map_err(|stop| stop.while_doing(doing))
    }

    async fn expire(&self, limit: u32) -> Result<Expired> {
        let doing = "remove kept outputs";
        let tx = self.transaction(doing).await?;
        let done = cache::expire(&tx, limit).await;
        end(tx, doing, done).await
    }

    async fn forget(&self, blobs: Vec<Digest>) -> Result<()> {
        let doing = "forget removed blobs";
        let client = self.client(doing).await?;
        cache::forget(&client, &blobs).await.map_err(|stop| stop.while_doing(doing))
    }

    async fn expire_runs(&self, older_ms: u64, limit: u32) -> Result<Vec<RunId>> {
        let doing = "find runs that ended long ago";
        let client = self.client(doing).await?;
        retention::expired(&client, older_ms, limit).await.map_err(|stop| stop.while_doing(doing))
    }

    async fn forget_runs(&self, runs: Vec<RunId>) -> Result<()> {
        let doing = "remove runs that ended long ago";
        // One by one: each is as long as its lines.
        for run in runs {
            let tx = self.transaction(doing).await?;
            let done = retention::forget(&tx, run).await;
            end(tx, doing, done).await?;
        }
        Ok(())
    }

    async fn totals(&self) -> Result<Totals> {
        let doing = "count runs";
        let tx = self.transaction(doing).await?;
        let done = rows::totals(&tx).await;
        end(tx, doing, done).await
    }
}

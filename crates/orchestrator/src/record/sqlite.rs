//! `SQLite` behind the store's trait: one connection on a thread of its own, write-ahead log, every commit synced.

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use qflow_model::{
    definition::Source,
    environment::EnvLock,
    ids::{Digest, Epoch, NodeKey, RunId, SHARDS, Shard, StepIx, Timestamp},
    limits,
    progress::{Happening, NodeRun, RunHead, RunSpec},
    status::RunStatus,
};
use qflow_service::Clock;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{mpsc, oneshot};

use super::{
    Batch, Command, Error, Filter, InboxRow, Listed, Loaded, Registered, Result, Store, StoredLine, Submission,
    Submitted, Totals,
};

/// The version of the schema below, in `SQLite`'s `user_version`.
const SCHEMA: i64 = 1;

const TABLES: &str = "
CREATE TABLE shard (id INTEGER PRIMARY KEY, owner TEXT NOT NULL, epoch INTEGER NOT NULL, lease_until INTEGER NOT NULL);
CREATE TABLE source (digest TEXT PRIMARY KEY, source TEXT NOT NULL, at INTEGER NOT NULL);
CREATE TABLE workflow (name TEXT NOT NULL, digest TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (name, digest));
CREATE TABLE plan (digest TEXT PRIMARY KEY, plan TEXT NOT NULL);
CREATE TABLE run (
  id TEXT PRIMARY KEY, tenant TEXT NOT NULL, user TEXT NOT NULL, shard INTEGER NOT NULL, workflow TEXT NOT NULL,
  plan TEXT NOT NULL, status TEXT NOT NULL, created_at INTEGER NOT NULL, ended_at INTEGER,
  spec TEXT NOT NULL, head TEXT NOT NULL);
CREATE INDEX run_by_tenant ON run (tenant, id DESC);
CREATE INDEX run_open ON run (shard, id) WHERE status IN ('pending', 'running', 'paused');
CREATE INDEX run_ended ON run (ended_at) WHERE ended_at IS NOT NULL;
CREATE TABLE node_run (
  run TEXT NOT NULL, step INTEGER NOT NULL, element INTEGER NOT NULL, status TEXT NOT NULL, attempt INTEGER NOT NULL,
  node TEXT NOT NULL, PRIMARY KEY (run, step, element)) WITHOUT ROWID;
CREATE TABLE history (id INTEGER PRIMARY KEY, run TEXT NOT NULL, at INTEGER NOT NULL, event TEXT NOT NULL);
CREATE INDEX history_by_run ON history (run, id);
CREATE TABLE inbox (id INTEGER PRIMARY KEY AUTOINCREMENT, shard INTEGER NOT NULL, run TEXT NOT NULL, input TEXT NOT NULL);
CREATE TABLE idempotency (
  tenant TEXT NOT NULL, key TEXT NOT NULL, run TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (tenant, key));
CREATE TABLE env_lock (spec TEXT NOT NULL, at INTEGER NOT NULL, lock TEXT NOT NULL, PRIMARY KEY (spec, at));
CREATE TABLE log_line (
  id INTEGER PRIMARY KEY, run TEXT NOT NULL, node TEXT NOT NULL, attempt INTEGER NOT NULL, sequence INTEGER NOT NULL,
  at INTEGER NOT NULL, stream TEXT NOT NULL, text TEXT NOT NULL, UNIQUE (run, node, attempt, sequence));
";

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A store in one file.
pub struct Sqlite {
    jobs: mpsc::UnboundedSender<Job>,
    clock: Arc<dyn Clock>,
    /// Held as long as the store lives: a second process on the same file is told so.
    _held: Option<File>,
}

fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(doing: &'static str) -> impl Fn(E) -> Error {
    move |source| Error::Database { doing, source: source.into() }
}

impl Sqlite {
    /// Opens or makes the file.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let shown = path.display().to_string();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed("make the database's folder"))?;
        }
        let mut lock: PathBuf = path.to_owned();
        lock.as_mut_os_string().push(".lock");
        let held = File::options().create(true).append(true).open(lock).map_err(failed("open the database's lock"))?;
        held.try_lock().map_err(|_| Error::InUse { path: shown.clone() })?;
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
            transaction.execute_batch(TABLES).map_err(&wrong)?;
            for shard in 0..SHARDS {
                transaction.execute("INSERT INTO shard VALUES (?, '', 0, 0)", [shard]).map_err(&wrong)?;
            }
            transaction.pragma_update(None, "user_version", SCHEMA).map_err(&wrong)?;
            transaction.commit().map_err(&wrong)?;
        } else if found != SCHEMA {
            return Err(Error::Schema { path: shown.to_owned(), found, known: SCHEMA });
        }
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
        Ok(Self { jobs, clock, _held: held })
    }

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

fn text<T: Serialize>(value: &T) -> Done<String> {
    Ok(serde_json::to_string(value)?)
}

fn read<T: DeserializeOwned>(text: &str) -> Done<T> {
    Ok(serde_json::from_str(text)?)
}

/// An element's column; a step's own row has −1.
fn element(key: NodeKey) -> i64 {
    key.index.map_or(-1, i64::from)
}

fn put_source(db: &Transaction<'_>, source: &Source, workflows: &[String], now: Timestamp) -> Done<()> {
    let digest = source.digest().to_string();
    let mut put = db.prepare_cached("INSERT INTO source VALUES (?, ?, ?) ON CONFLICT DO NOTHING")?;
    put.execute(params![digest, text(source)?, now.0])?;
    let mut put =
        db.prepare_cached("INSERT INTO workflow VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET at = excluded.at")?;
    for name in workflows {
        put.execute(params![name, digest, now.0])?;
    }
    Ok(())
}

fn put_command(db: &Transaction<'_>, run: RunId, command: &Command) -> Done<()> {
    let mut put = db.prepare_cached("INSERT INTO inbox (shard, run, input) VALUES (?, ?, ?)")?;
    put.execute(params![run.shard().0, run.to_string(), text(command)?])?;
    Ok(())
}

fn accept(db: &Transaction<'_>, submission: &Submission, now: Timestamp) -> Done<Submitted> {
    let Submission { spec, plan, source, idempotency_key, relock } = submission;
    if let Some(key) = idempotency_key {
        let since = now.0 - limits::IDEMPOTENCY_MS as i64 * 1000;
        db.execute("DELETE FROM idempotency WHERE at < ?", [since])?;
        let known: Option<String> = db
            .query_row("SELECT run FROM idempotency WHERE tenant = ? AND key = ?", params![spec.tenant, key], |r| {
                r.get(0)
            })
            .optional()?;
        if let Some(run) = known.and_then(|run| run.parse().ok()) {
            return Ok(Submitted::Existing(run));
        }
        db.execute(
            "INSERT INTO idempotency VALUES (?, ?, ?, ?)",
            params![spec.tenant, key, spec.id.to_string(), now.0],
        )?;
    }
    let queued: u32 = db.query_row(
        "SELECT count(*) FROM run WHERE status = 'pending' AND tenant = ? AND user = ?",
        params![spec.tenant, spec.user],
        |row| row.get(0),
    )?;
    if queued >= limits::QUEUED_RUNS {
        return Err(Stop::Because(Error::TooManyQueued { queued, bound: limits::QUEUED_RUNS }));
    }
    put_source(db, source, std::slice::from_ref(&plan.workflow), now)?;
    let mut put = db.prepare_cached("INSERT INTO plan VALUES (?, ?) ON CONFLICT DO NOTHING")?;
    put.execute(params![spec.plan.to_string(), text(&**plan)?])?;
    let spec = Arc::new(RunSpec { created_at: now, ..(**spec).clone() });
    let head = qflow_model::progress::RunState::new(spec.clone(), plan.clone()).head;
    let mut put = db.prepare_cached("INSERT INTO run VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?)")?;
    put.execute(params![
        spec.id.to_string(),
        spec.tenant,
        spec.user,
        spec.id.shard().0,
        plan.workflow,
        spec.plan.to_string(),
        head.status.as_str(),
        now.0,
        text(&*spec)?,
        text(&head)?,
    ])?;
    put_command(db, spec.id, &Command::Start { relock: *relock })?;
    Ok(Submitted::Created(now))
}

fn write(db: &Transaction<'_>, batch: &Batch, now: Timestamp) -> Done<Timestamp> {
    let until = now.plus_ms(limits::SHARD_LEASE_MS);
    let mut fence = db.prepare_cached("UPDATE shard SET lease_until = ? WHERE id = ? AND epoch = ? RETURNING id")?;
    for (shard, epoch) in &batch.fences {
        let ours = fence.query_row(params![until.0, shard.0, epoch.0 as i64], |row| row.get::<_, u8>(0)).optional()?;
        if ours.is_none() {
            return Err(Stop::Because(Error::Fenced(*shard)));
        }
    }
    let mut put_head = db.prepare_cached("UPDATE run SET status = ?, ended_at = ?, head = ? WHERE id = ?")?;
    let mut put_node = db.prepare_cached("INSERT OR REPLACE INTO node_run VALUES (?, ?, ?, ?, ?, ?)")?;
    let mut put_event = db.prepare_cached("INSERT INTO history (run, at, event) VALUES (?, ?, ?)")?;
    for change in &batch.changes {
        let run = change.run.to_string();
        if let Some(head) = &change.head {
            put_head.execute(params![head.status.as_str(), head.ended_at.map(|at| at.0), text(head)?, run])?;
        }
        for (key, node) in &change.nodes {
            put_node.execute(params![
                run,
                key.step.0,
                element(*key),
                node.status.as_str(),
                node.attempt,
                text(node)?
            ])?;
        }
        for event in &change.history {
            put_event.execute(params![run, now.0, text(event)?])?;
        }
    }
    let mut forget = db.prepare_cached("DELETE FROM inbox WHERE id = ?")?;
    for id in &batch.done {
        forget.execute([id])?;
    }
    let mut put_lock = db.prepare_cached("INSERT OR REPLACE INTO env_lock VALUES (?, ?, ?)")?;
    for lock in &batch.locks {
        put_lock.execute(params![lock.spec.to_string(), now.0, text(&**lock)?])?;
    }
    Ok(now)
}

fn load(db: &Transaction<'_>, run: RunId) -> Done<Option<Loaded>> {
    let id = run.to_string();
    let mut rows =
        db.prepare_cached("SELECT spec, head, plan.plan FROM run JOIN plan ON plan.digest = run.plan WHERE id = ?")?;
    let found = rows.query_row([&id], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?, r.get::<_, String>(2)?)));
    let Some((spec, head, plan)) = found.optional()? else { return Ok(None) };
    let mut rows =
        db.prepare_cached("SELECT step, element, node FROM node_run WHERE run = ? ORDER BY step, element")?;
    let mut nodes = Vec::new();
    let mut found = rows.query([&id])?;
    while let Some(row) = found.next()? {
        let index = u32::try_from(row.get::<_, i64>(1)?).ok();
        nodes.push((NodeKey { step: StepIx(row.get(0)?), index }, read::<NodeRun>(&row.get::<_, String>(2)?)?));
    }
    Ok(Some(Loaded { spec: read(&spec)?, head: read::<RunHead>(&head)?, plan: read(&plan)?, nodes }))
}

fn list(db: &Transaction<'_>, filter: &Filter) -> Done<Vec<Listed>> {
    let mut rows = db.prepare_cached(
        "SELECT spec, workflow, head FROM run WHERE tenant = ?1 AND (?2 IS NULL OR workflow = ?2)
         AND (?3 IS NULL OR status = ?3) AND (?4 IS NULL OR id < ?4) ORDER BY id DESC LIMIT ?5",
    )?;
    let (status, before) = (filter.status.map(RunStatus::as_str), filter.before.map(|run| run.to_string()));
    let mut found = rows.query(params![filter.tenant, filter.workflow, status, before, filter.limit])?;
    let mut listed = Vec::new();
    while let Some(row) = found.next()? {
        listed.push(Listed {
            spec: read(&row.get::<_, String>(0)?)?,
            workflow: row.get(1)?,
            head: read(&row.get::<_, String>(2)?)?,
        });
    }
    Ok(listed)
}

fn totals(db: &Transaction<'_>, now: Timestamp) -> Done<Totals> {
    let count = |status: &str| {
        db.query_row("SELECT count(*) FROM run WHERE status = ?", [status], |row| {
            row.get::<_, i64>(0).map(|n| n as u64)
        })
    };
    let hour = now.0 - 3_600_000_000;
    let (ended_last_hour, failed_last_hour) = db.query_row(
        "SELECT count(*), count(*) FILTER (WHERE status IN ('failed', 'timed_out')) FROM run WHERE ended_at > ?",
        [hour],
        |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)),
    )?;
    Ok(Totals { pending: count("pending")?, running: count("running")?, ended_last_hour, failed_last_hour })
}

#[async_trait]
impl Store for Sqlite {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    async fn now(&self) -> Result<Timestamp> {
        Ok(self.clock.now())
    }

    async fn take_shards(&self, owner: &str) -> Result<BTreeMap<Shard, Epoch>> {
        let (owner, until) = (owner.to_owned(), self.clock.now().plus_ms(limits::SHARD_LEASE_MS));
        // The file's lock says that nobody else lives: every shard is taken at once.
        self.within("take shards", move |db| {
            let mut take =
                db.prepare("UPDATE shard SET owner = ?, epoch = epoch + 1, lease_until = ? RETURNING id, epoch")?;
            let rows =
                take.query_map(params![owner, until.0], |r| Ok((Shard(r.get(0)?), Epoch(r.get::<_, i64>(1)? as u64))))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn submit(&self, submission: Submission) -> Result<Submitted> {
        let now = self.clock.now();
        self.within("accept a run", move |db| accept(db, &submission, now)).await
    }

    async fn register(&self, source: Arc<Source>, workflows: Vec<String>) -> Result<()> {
        let now = self.clock.now();
        self.within("register a workflow", move |db| put_source(db, &source, &workflows, now)).await
    }

    async fn post(&self, run: RunId, command: Command) -> Result<()> {
        self.within("post a command", move |db| put_command(db, run, &command)).await
    }

    async fn inbox(&self) -> Result<Vec<InboxRow>> {
        self.within("read the inbox", |db| {
            let mut rows = db.prepare_cached("SELECT id, run, input FROM inbox ORDER BY id")?;
            let mut found = rows.query([])?;
            let mut inbox = Vec::new();
            while let Some(row) = found.next()? {
                if let Ok(run) = row.get::<_, String>(1)?.parse() {
                    inbox.push(InboxRow { id: row.get(0)?, run, command: read(&row.get::<_, String>(2)?)? });
                }
            }
            Ok(inbox)
        })
        .await
    }

    async fn commit(&self, batch: Batch) -> Result<Timestamp> {
        let now = self.clock.now();
        self.within("commit a batch", move |db| write(db, &batch, now)).await
    }

    async fn unfinished(&self) -> Result<Vec<RunId>> {
        self.within("find unfinished runs", |db| {
            let mut rows =
                db.prepare("SELECT id FROM run WHERE status IN ('pending', 'running', 'paused') ORDER BY id")?;
            let ids = rows.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
        })
        .await
    }

    async fn load(&self, run: RunId) -> Result<Option<Loaded>> {
        self.within("read a run", move |db| load(db, run)).await
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

    async fn workflows(&self) -> Result<Vec<Registered>> {
        self.within("list workflows", |db| {
            let mut rows = db.prepare("SELECT name, digest, max(at) FROM workflow GROUP BY name ORDER BY name")?;
            let found = rows.query_map([], |r| Ok((r.get(0)?, r.get::<_, String>(1)?, Timestamp(r.get(2)?))))?;
            let found = found.collect::<rusqlite::Result<Vec<_>>>()?;
            let read = |(name, digest, at): (String, String, Timestamp)| {
                Some(Registered { name, digest: digest.parse().ok()?, at })
            };
            Ok(found.into_iter().filter_map(read).collect())
        })
        .await
    }

    async fn source(&self, digest: Digest) -> Result<Option<Arc<Source>>> {
        self.within("read a source", move |db| {
            let mut rows = db.prepare_cached("SELECT source FROM source WHERE digest = ?")?;
            let found: Option<String> = rows.query_row([digest.to_string()], |row| row.get(0)).optional()?;
            found.map(|source| read(&source).map(Arc::new)).transpose()
        })
        .await
    }

    async fn lock(&self, spec: Digest, since: Timestamp) -> Result<Option<Arc<EnvLock>>> {
        self.within("read a lock", move |db| {
            let mut rows =
                db.prepare_cached("SELECT lock FROM env_lock WHERE spec = ? AND at >= ? ORDER BY at DESC LIMIT 1")?;
            let found: Option<String> =
                rows.query_row(params![spec.to_string(), since.0], |row| row.get(0)).optional()?;
            found.map(|lock| read(&lock).map(Arc::new)).transpose()
        })
        .await
    }

    async fn append_lines(&self, run: RunId, lines: Vec<StoredLine>) -> Result<()> {
        self.within("append lines", move |db| {
            let mut put = db.prepare_cached(
                "INSERT INTO log_line (run, node, attempt, sequence, at, stream, text) VALUES (?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT DO NOTHING",
            )?;
            for line in &lines {
                let sequence = line.sequence as i64;
                put.execute(params![
                    run.to_string(),
                    line.node_id,
                    line.attempt,
                    sequence,
                    line.at.0,
                    line.stream,
                    line.text
                ])?;
            }
            Ok(())
        })
        .await
    }

    async fn lines(&self, run: RunId, after: i64) -> Result<(Vec<StoredLine>, i64)> {
        self.within("read lines", move |db| {
            let mut rows = db.prepare_cached(
                "SELECT node, attempt, sequence, at, stream, text, id FROM log_line WHERE run = ? AND id > ? ORDER BY id LIMIT 1000",
            )?;
            let mut found = rows.query(params![run.to_string(), after])?;
            let (mut lines, mut last) = (Vec::new(), after);
            while let Some(row) = found.next()? {
                last = row.get(6)?;
                lines.push(StoredLine {
                    node_id: row.get(0)?,
                    attempt: row.get(1)?,
                    sequence: row.get::<_, i64>(2)? as u64,
                    at: Timestamp(row.get(3)?),
                    stream: row.get(4)?,
                    text: row.get(5)?,
                });
            }
            Ok((lines, last))
        })
        .await
    }

    async fn totals(&self) -> Result<Totals> {
        let now = self.clock.now();
        self.within("count runs", move |db| totals(db, now)).await
    }
}

impl Sqlite {
    /// A store in memory, with `SQLite`'s own semantics.
    #[cfg(test)]
    pub(crate) fn in_memory(clock: Arc<dyn Clock>) -> Result<Self> {
        let connection = Connection::open_in_memory().map_err(failed("open a database in memory"))?;
        Self::on(connection, ":memory:", clock, None)
    }
}

//! Back-up of the file: copied as it stands at one moment, while another process has it; and put in the place of one that has no runs.

use std::{
    collections::BTreeSet,
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use qflow_model::{
    ids::{Digest, RunId, Timestamp},
    progress::{NodeRun, RunHead, RunSpec},
};
use qflow_service::Clock;
use rusqlite::{Connection, OpenFlags, Transaction, params};

use super::{
    super::{
        Error, Result,
        backup::{self, Piece, Rows, newer},
    },
    Done, SCHEMA, Stop, failed,
    older::bring_up,
    open::lock,
    retention,
    rows::{read, text},
};

/// The one file of a back-up.
const FILE: &str = "qflow.db";
/// How long a process that has the file may keep us from a moment's look at it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The file as it stood at one moment.
pub(crate) struct Snapshot {
    copy: Connection,
    file: PathBuf,
    live: PathBuf,
    at: Timestamp,
}

impl Snapshot {
    /// Copies the file into a folder.
    pub(crate) fn take(path: &Path, scratch: &Path, clock: &dyn Clock) -> Result<Self> {
        let (live, file, at) = (open(path)?, scratch.join(FILE), clock.now());
        live.execute("VACUUM INTO ?", [file.to_string_lossy()]).map_err(failed("copy the database"))?;
        let copy =
            Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed("read the copy"))?;
        Ok(Self { copy, file, live: path.to_owned(), at })
    }

    fn ask<T>(&self, doing: &'static str, ask: impl FnOnce(&Connection) -> Done<T>) -> Result<T> {
        ask(&self.copy).map_err(|stop| told(stop, doing))
    }
}

fn told(stop: Stop, doing: &'static str) -> Error {
    match stop {
        Stop::Because(error) => error,
        Stop::Database(source) => Error::Database { doing, source: source.into() },
        Stop::Json(source) => Error::Database { doing, source: source.into() },
    }
}

/// A file that is there and of our schema; whoever has it goes on.
fn open(path: &Path) -> Result<Connection> {
    let doing = failed("open the database");
    // Not read-only: it is to find what another process has written and not yet moved into the file.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let live = Connection::open_with_flags(path, flags).map_err(|source| Error::Database {
        doing: "open the database",
        source: format!("`{}`: {source}", path.display()).into(),
    })?;
    live.busy_timeout(PATIENCE).map_err(&doing)?;
    let found: i64 = live.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(&doing)?;
    if found == SCHEMA { Ok(live) } else { Err(other_schema(path, found)) }
}

fn other_schema(path: &Path, found: i64) -> Error {
    Error::Schema { what: format!("`{}`", path.display()), found, known: SCHEMA }
}

#[async_trait::async_trait]
impl backup::Snapshot for Snapshot {
    fn schema(&self) -> i64 {
        SCHEMA
    }

    fn at(&self) -> Timestamp {
        self.at
    }

    async fn write(&mut self, folder: &Path) -> Result<Vec<Piece>> {
        let to = folder.join(FILE);
        if to != self.file {
            std::fs::copy(&self.file, to).map_err(failed("copy the database"))?;
        }
        Ok(vec![Piece { file: FILE.to_owned(), columns: vec![], rows: None }])
    }

    async fn runs(&mut self, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>> {
        let after = after.map(|run| run.to_string()).unwrap_or_default();
        self.ask("read the copy's runs", |db| {
            let mut rows = db.prepare_cached("SELECT id FROM run WHERE id > ? ORDER BY id LIMIT ?")?;
            let ids = rows.query_map(params![after, limit], |row| row.get::<_, String>(0))?;
            let ids = ids.collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
        })
    }

    async fn named(&mut self, run: RunId) -> Result<BTreeSet<Digest>> {
        self.ask("read what a run names", |db| {
            let (id, mut named) = (run.to_string(), BTreeSet::new());
            let mut rows = db.prepare_cached("SELECT spec, head FROM run WHERE id = ?")?;
            let mut found = rows.query([&id])?;
            while let Some(row) = found.next()? {
                read::<RunSpec>(&row.get::<_, String>(0)?)?.blobs(&mut named);
                read::<RunHead>(&row.get::<_, String>(1)?)?.blobs(&mut named);
            }
            let mut rows = db.prepare_cached("SELECT node FROM node_run WHERE run = ?")?;
            let mut found = rows.query([&id])?;
            while let Some(row) = found.next()? {
                read::<NodeRun>(&row.get::<_, String>(0)?)?.blobs(&mut named);
            }
            Ok(named)
        })
    }

    async fn kept(&mut self, after: Option<Digest>, limit: u32) -> Result<Vec<Digest>> {
        let after = after.map(|digest| digest.to_string()).unwrap_or_default();
        self.ask("read what is kept for reuse", |db| {
            let mut rows = db.prepare_cached(
                "SELECT DISTINCT digest FROM cached_blob WHERE entry > 0 AND digest > ? ORDER BY digest LIMIT ?",
            )?;
            let kept = rows.query_map(params![after, limit], |row| row.get::<_, String>(0))?;
            let kept = kept.collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(kept.iter().filter_map(|digest| digest.parse().ok()).collect())
        })
    }

    async fn is_there(&mut self, run: RunId) -> Result<bool> {
        let doing = failed("look for a run");
        let live = open(&self.live)?;
        let mut rows = live.prepare("SELECT 1 FROM run WHERE id = ?").map_err(&doing)?;
        rows.exists([run.to_string()]).map_err(&doing)
    }
}

/// Refuses a file that is in use, or has runs that are not to be replaced, and rows that are newer than we are; nobody takes the
/// file while what is given is held.
pub(crate) fn vacant(path: &Path, schema: i64, replace: bool) -> Result<File> {
    if schema > SCHEMA {
        return Err(newer(schema, SCHEMA));
    }
    let held = lock(path)?;
    if path.exists() && !replace {
        let doing = failed("look into the database");
        let there = Connection::open(path).map_err(&doing)?;
        let tables = there.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'run'").and_then(|mut it| it.exists([]));
        let any = |sql| there.prepare(sql).and_then(|mut rows| rows.exists([])).map_err(&doing);
        if tables.map_err(&doing)? && (any("SELECT 1 FROM run")? || any("SELECT 1 FROM source")?) {
            return Err(Error::NotEmpty(path.display().to_string()));
        }
    }
    Ok(held)
}

/// Puts the file of a back-up in the place of one that nobody has.
pub(crate) fn load_backup(path: &Path, folder: &Path, rows: &Rows, replace: bool) -> Result<()> {
    let (doing, doing_io) = (failed("put the database in its place"), failed("put the database in its place"));
    let _held = vacant(path, rows.schema, replace)?;
    let mut beside = path.to_owned();
    beside.as_mut_os_string().push(".restoring");
    std::fs::copy(folder.join(FILE), &beside).map_err(failed("copy the back-up's database"))?;
    let prepared = prepare(&beside, rows);
    if prepared.is_err() {
        std::fs::remove_file(&beside).ok();
    }
    prepared?;
    if path.exists() {
        // What stands in files beside the old one belongs to it: it must be in there before they are none any more.
        let old = Connection::open(path).map_err(&doing)?;
        old.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get::<_, String>(0)).map_err(&doing)?;
    }
    std::fs::rename(&beside, path).map_err(&doing_io)?;
    // What the old one names is removed next: the new one's name is on the disk before.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(doing_io)
}

/// Makes a copied file one that a restored system may go on with.
fn prepare(path: &Path, rows: &Rows) -> Result<()> {
    let doing = failed("prepare the back-up's database");
    let mut db = Connection::open(path).map_err(&doing)?;
    let found: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(&doing)?;
    if found != rows.schema {
        return Err(other_schema(path, found));
    }
    if found < SCHEMA {
        bring_up(&mut db, found)?;
    }
    let transaction = db.transaction().map_err(&doing)?;
    fence(&transaction, rows).map_err(|stop| told(stop, "prepare the back-up's database"))?;
    transaction.commit().map_err(&doing)?;
    drop(db);
    File::open(path).and_then(|file| file.sync_all()).map_err(failed("write the database to the disk"))
}

/// A run, a frame, a step, an element, and what is kept of it.
type Row = (String, i64, i64, i64, String);

/// Drops what is gone, and puts epochs and attempts ahead of those that others may still have.
fn fence(db: &Transaction<'_>, rows: &Rows) -> Done<()> {
    for run in &rows.gone {
        for sql in retention::FORGET {
            db.prepare_cached(sql)?.execute([run.to_string()])?;
        }
    }
    for digest in &rows.gone_kept {
        let entries = "UPDATE cached SET expires = 0 WHERE id IN (SELECT entry FROM cached_blob WHERE digest = ?)";
        db.prepare_cached(entries)?.execute([digest.to_string()])?;
    }
    db.execute("UPDATE shard SET owner = '', lease_until = 0, epoch = epoch + ?", [rows.ahead.epochs()])?;
    let all = |sql: &str| -> Done<Vec<Row>> {
        let mut found = db.prepare(sql)?;
        let rows = found.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    };
    let mut put = db.prepare("UPDATE run SET head = ? WHERE id = ?")?;
    for (run, .., head) in all("SELECT id, 0, 0, 0, head FROM run WHERE status != 'completed'")? {
        put.execute(params![text(&read::<RunHead>(&head)?.restored(rows.ahead))?, run])?;
    }
    let mut put = db.prepare(
        "UPDATE node_run SET node = ?, attempt = ? WHERE run = ? AND frame = ? AND step = ? AND element = ?",
    )?;
    let held = all("SELECT run, frame, step, element, node FROM node_run WHERE status IN ('leased', 'running')")?;
    for (run, frame, step, element, node) in held {
        let node = read::<NodeRun>(&node)?.restored(rows.ahead);
        put.execute(params![text(&node)?, node.attempt, run, frame, step, element])?;
    }
    db.execute("UPDATE pool_slot SET attempt = attempt + ?", [rows.ahead.attempts()])?;
    Ok(())
}

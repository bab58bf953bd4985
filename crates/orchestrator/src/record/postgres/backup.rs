//! Back-up of the database: every row as one transaction sees it, while replicas go on.

use std::{collections::BTreeSet, path::Path, pin::pin};

use futures_util::TryStreamExt as _;
use qflow_model::{
    ids::{Digest, RunId, Timestamp},
    progress::{NodeRun, RunHead, RunSpec},
};
use tokio::{fs::File, io::AsyncWriteExt as _};
use tokio_postgres::Client;

use super::{
    super::{
        Result,
        backup::{self, Piece},
    },
    Settings,
    connection::{Apart, apart, tables},
    rows::read,
    target,
    transaction::{At, Done, Stop, digest},
};

/// What the versions before us were made by, and the moment.
const STATE: &str = "SELECT now(), (SELECT max(version)::bigint FROM refinery_schema_history)";
/// A dump walks whole tables, which other sessions are kept from.
const WHOLE: &str = "SET enable_seqscan = on; SET enable_bitmapscan = on";
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// Columns that are not made of others.
const COLUMNS: &str = "
SELECT attname::text FROM pg_attribute
WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum";
const RUNS: &str = "SELECT id FROM run WHERE id > $1 ORDER BY id LIMIT $2";
const RUN: &str = "SELECT spec, head FROM run WHERE id = $1";
const NODES: &str = "SELECT node FROM node_run WHERE run = $1";
const KEPT: &str = "
SELECT DISTINCT digest FROM cached_blob WHERE entry > 0 AND digest > $1 ORDER BY digest LIMIT $2";
const THERE: &str = "SELECT FROM run WHERE id = $1";

/// The database as one transaction sees it.
pub(crate) struct Snapshot {
    seen: Apart,
    live: Apart,
    at: Timestamp,
    schema: i64,
}

impl Snapshot {
    /// Begins the transaction.
    pub(crate) async fn take(settings: &Settings) -> Result<Self> {
        let target = target(settings)?;
        let (seen, live) = (apart(&target).await?, apart(&target).await?);
        let begin = async {
            seen.batch_execute(WHOLE).await?;
            seen.batch_execute(BEGIN).await?;
            let row = seen.query_one(STATE, &[]).await?;
            let At(at) = row.try_get(0)?;
            Ok((at, row.try_get(1)?))
        };
        let (at, schema) = begin.await.map_err(|stop: Stop| stop.while_doing("look at the database"))?;
        Ok(Self { seen, live, at, schema })
    }
}

/// Writes the rows of a table to a file: a line each.
async fn copy_out(client: &Client, table: &str, columns: &[String], to: &Path) -> Done<u64> {
    let list = columns.join(", ");
    // The names are of our own tables, as the catalogue tells them.
    let rows = client.copy_out(&format!("COPY {table} ({list}) TO STDOUT")).await?;
    let mut rows = pin!(rows);
    let io = |error: std::io::Error| Stop::Database(error.into());
    let mut file = File::create(to).await.map_err(io)?;
    let mut count = 0;
    while let Some(bytes) = rows.try_next().await? {
        // What is in a row is escaped: each ends with the only line feed in it.
        count += bytes.split(|byte| *byte == b'\n').count() as u64 - 1;
        file.write_all(&bytes).await.map_err(io)?;
    }
    file.flush().await.map_err(io)?;
    Ok(count)
}

#[async_trait::async_trait]
impl backup::Snapshot for Snapshot {
    fn schema(&self) -> i64 {
        self.schema
    }

    fn at(&self) -> Timestamp {
        self.at
    }

    async fn write(&mut self, folder: &Path) -> Result<Vec<Piece>> {
        let all = async {
            let mut pieces = Vec::new();
            for table in tables(self.schema) {
                let names = self.seen.query(COLUMNS, &[&table]).await?;
                let columns =
                    names.iter().map(|row| row.try_get(0)).collect::<std::result::Result<Vec<String>, _>>()?;
                let file = format!("{table}.copy");
                let rows = copy_out(&self.seen, table, &columns, &folder.join(&file)).await?;
                pieces.push(Piece { file, columns, rows: Some(rows) });
            }
            Ok(pieces)
        };
        all.await.map_err(|stop: Stop| stop.while_doing("copy the database"))
    }

    async fn runs(&mut self, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>> {
        let after = after.map_or(uuid::Uuid::nil(), |run| run.0);
        let page = async {
            let rows = self.seen.query(RUNS, &[&after, &i64::from(limit)]).await?;
            rows.iter().map(|row| Ok(RunId(row.try_get(0)?))).collect::<Done<_>>()
        };
        page.await.map_err(|stop| stop.while_doing("read runs"))
    }

    async fn named(&mut self, run: RunId) -> Result<BTreeSet<Digest>> {
        let all = async {
            let mut named = BTreeSet::new();
            for row in self.seen.query(RUN, &[&run.0]).await? {
                read::<RunSpec>(&row, 0)?.blobs(&mut named);
                read::<RunHead>(&row, 1)?.blobs(&mut named);
            }
            // One by one: a run may have a hundred thousand.
            let mut nodes = pin!(self.seen.query_raw(NODES, [run.0]).await?);
            while let Some(row) = nodes.try_next().await? {
                read::<NodeRun>(&row, 0)?.blobs(&mut named);
            }
            Ok(named)
        };
        all.await.map_err(|stop: Stop| stop.while_doing("read what a run names"))
    }

    async fn kept(&mut self, after: Option<Digest>, limit: u32) -> Result<Vec<Digest>> {
        let after = after.map(|digest| digest.0.to_vec()).unwrap_or_default();
        let page = async {
            let rows = self.seen.query(KEPT, &[&after, &i64::from(limit)]).await?;
            rows.iter().map(|row| digest(row.try_get(0)?)).collect::<Done<_>>()
        };
        page.await.map_err(|stop| stop.while_doing("read what is kept for reuse"))
    }

    async fn is_there(&mut self, run: RunId) -> Result<bool> {
        let found = self.live.query_opt(THERE, &[&run.0]).await;
        found.map(|row| row.is_some()).map_err(|error| Stop::from(error).while_doing("look for a run"))
    }
}

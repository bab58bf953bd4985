//! Rows of a back-up put into a database that has none, within one transaction.

use std::path::Path;

use bytes::Bytes;
use futures_util::SinkExt as _;
use qflow_model::{
    ids::Digest,
    progress::{NodeRun, RunHead},
};
use tokio::{fs::File, io::AsyncReadExt as _};
use tokio_postgres::Client;
use uuid::Uuid;

use super::{
    super::{
        Error, Result,
        backup::{Piece, Rows, newer},
    },
    Settings,
    connection::{MIGRATING, apart, known, migrate, tables},
    retention::FORGET,
    rows::{read, text},
    target,
    transaction::{Done, Stop},
    url::Target,
};

/// Bytes that are read of a file at once.
const TOGETHER: usize = 256 << 10;
const MADE: &str = "SELECT to_regclass('refinery_schema_history') IS NOT NULL";
const VERSION: &str = "SELECT coalesce(max(version), 0)::bigint FROM refinery_schema_history";
const LIVING: &str = "SELECT owner || ' ' || url FROM replica WHERE lease_until > now() ORDER BY owner";
/// Numbers that the database gives go on behind those that were given.
const NUMBERED: &str = "
SELECT format('SELECT setval(pg_get_serial_sequence(%L, %L), greatest(max(%I), 1)) FROM %I', $1::text, attname, attname, $1::text)
FROM pg_attribute WHERE attrelid = $1::text::regclass AND attidentity <> ''";
const FENCE: &str = "UPDATE shard SET owner = '', lease_until = '-infinity', epoch = epoch + $1";
const UNDONE: &str = "SELECT id FROM run WHERE status <> 'completed'";
const HEAD: &str = "SELECT head FROM run WHERE id = $1";
const PUT_HEAD: &str = "UPDATE run SET head = $2 WHERE id = $1";
const HELD: &str = "
SELECT frame, step, element, node FROM node_run WHERE run = $1 AND status IN ('leased', 'running')";
const PUT_NODE: &str = "
UPDATE node_run SET node = $5, attempt = $6 WHERE run = $1 AND frame = $2 AND step = $3 AND element = $4";
const SLOTS: &str = "UPDATE pool_slot SET attempt = attempt + $1";
const OVER: &str = "
UPDATE cached SET expires = '-infinity' WHERE id IN (SELECT entry FROM cached_blob WHERE digest = $1)";

/// Refuses a database that replicas live on, or that has runs which are not to be replaced, and rows that do not fit its tables.
pub(crate) async fn vacant(settings: &Settings, schema: i64, replace: bool) -> Result<()> {
    let target = target(settings)?;
    let client = apart(&target).await?;
    fits(&client, &target, schema, replace).await
}

async fn fits(client: &Client, target: &Target, schema: i64, replace: bool) -> Result<()> {
    if schema > known() {
        return Err(newer(schema, known()));
    }
    let looked = look(client, &target.shown, replace).await;
    match looked.map_err(|stop| stop.while_doing("look into the database"))? {
        Some(version) if version > schema => Err(Error::Older { found: version, rows: schema }),
        _ => Ok(()),
    }
}

/// Which version its tables have, where there are any; refuses as said above.
async fn look(client: &Client, shown: &str, replace: bool) -> Done<Option<i64>> {
    if !client.query_one(MADE, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(None);
    }
    let living = client.query(LIVING, &[]).await?;
    if !living.is_empty() {
        let names: Vec<String> = living.iter().map(|row| row.try_get(0)).collect::<std::result::Result<_, _>>()?;
        return Err(Stop::Because(Error::Attended(names.join(", "))));
    }
    let version = client.query_one(VERSION, &[]).await?.try_get(0)?;
    for table in tables(version).filter(|table| *table != "shard") {
        // The names are of our own tables.
        let any = format!("SELECT FROM {table} LIMIT 1");
        if !replace && client.query_opt(&any, &[]).await?.is_some() {
            return Err(Stop::Because(Error::NotEmpty(shown.to_owned())));
        }
    }
    Ok(Some(version))
}

/// Puts rows into a database: all of them, or none.
pub(crate) async fn load_backup(settings: &Settings, folder: &Path, rows: &Rows, replace: bool) -> Result<()> {
    let doing = "restore the database";
    let target = target(settings)?;
    let client = apart(&target).await?;
    fits(&client, &target, rows.schema, replace).await?;
    // What changed since is done to the rows when a replica starts: they come into tables of their own time.
    migrate(&target, Some(rows.schema)).await?;
    within(&client, &target, folder, rows, replace).await.map_err(|stop| stop.while_doing(doing))
}

async fn within(client: &Client, target: &Target, folder: &Path, rows: &Rows, replace: bool) -> Done<()> {
    client.batch_execute("SET enable_seqscan = on").await?;
    client.batch_execute("BEGIN").await?;
    // A replica that starts now waits until this has ended.
    client.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATING]).await?;
    look(client, &target.shown, replace).await?;
    let all: Vec<&str> = tables(rows.schema).collect();
    client.batch_execute(&format!("TRUNCATE {}", all.join(", "))).await?;
    for piece in &rows.pieces {
        copy_in(client, folder, piece, &all).await?;
    }
    for table in &all {
        for row in client.query(NUMBERED, &[table]).await? {
            client.query(row.try_get::<_, &str>(0)?, &[]).await?;
        }
    }
    fence(client, rows).await?;
    client.batch_execute("COMMIT").await?;
    Ok(())
}

/// Loads a file of rows into its table, which is one of these.
async fn copy_in(client: &Client, folder: &Path, piece: &Piece, tables: &[&str]) -> Done<()> {
    let table = piece.file.strip_suffix(".copy").filter(|name| tables.contains(name));
    let plain = |name: &String| name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase());
    let Some(table) = table.filter(|_| piece.columns.iter().all(plain)) else {
        return Err(Stop::Database(
            format!("the back-up has `{}`, which this version has no table for", piece.file).into(),
        ));
    };
    let sql = format!("COPY {table} ({}) FROM STDIN", piece.columns.join(", "));
    let mut sink = Box::pin(client.copy_in::<_, Bytes>(&sql).await?);
    let io = |error: std::io::Error| Stop::Database(error.into());
    let mut file = File::open(folder.join(&piece.file)).await.map_err(io)?;
    loop {
        let mut bytes = Vec::with_capacity(TOGETHER);
        if (&mut file).take(TOGETHER as u64).read_to_end(&mut bytes).await.map_err(io)? == 0 {
            break;
        }
        sink.send(bytes.into()).await?;
    }
    let loaded = sink.as_mut().finish().await?;
    match piece.rows {
        Some(rows) if rows != loaded => {
            Err(Stop::Database(format!("`{}` has {loaded} rows, its manifest says {rows}", piece.file).into()))
        }
        _ => Ok(()),
    }
}

/// Drops what is gone, and puts epochs and attempts ahead of those that others may still have.
async fn fence(client: &Client, rows: &Rows) -> Done<()> {
    for run in &rows.gone {
        for sql in FORGET {
            client.execute(sql, &[&run.0]).await?;
        }
    }
    for Digest(digest) in &rows.gone_kept {
        client.execute(OVER, &[&&digest[..]]).await?;
    }
    client.execute(FENCE, &[&rows.ahead.epochs()]).await?;
    let (put_head, held, put_node) =
        (client.prepare(PUT_HEAD).await?, client.prepare(HELD).await?, client.prepare(PUT_NODE).await?);
    for row in client.query(UNDONE, &[]).await? {
        let run: Uuid = row.try_get(0)?;
        let head = read::<RunHead>(&client.query_one(HEAD, &[&run]).await?, 0)?.restored(rows.ahead);
        client.execute(&put_head, &[&run, &text(&head)?]).await?;
        for row in client.query(&held, &[&run]).await? {
            let (frame, step, element): (i32, i32, i32) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let node = read::<NodeRun>(&row, 3)?.restored(rows.ahead);
            let (put, attempt) = (text(&node)?, node.attempt as i32);
            client.execute(&put_node, &[&run, &frame, &step, &element, &put, &attempt]).await?;
        }
    }
    client.execute(SLOTS, &[&(rows.ahead.attempts() as i32)]).await?;
    Ok(())
}

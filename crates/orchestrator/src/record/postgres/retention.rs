//! Runs that ended long ago: which, and how their rows go.

use deadpool_postgres::Object;
use qflow_model::ids::RunId;

use super::{
    rows::query,
    transaction::{Done, Tx},
};

/// Which of some runs are there.
pub(super) const KNOWN: &str = "SELECT id FROM run WHERE id = ANY($1)";
/// A run that somebody wants something of stays.
pub(super) const OVER: &str = "
SELECT id FROM run WHERE ended_at < now() - $1::bigint * interval '1 ms'
AND NOT EXISTS (SELECT FROM inbox WHERE inbox.run = run.id) ORDER BY ended_at LIMIT $2";
/// Whether a run has still ended: nobody else goes on with it while its rows go.
pub(super) const STILL_OVER: &str = "SELECT FROM run WHERE id = $1 AND ended_at IS NOT NULL FOR UPDATE";
/// Looked at once it is held: whoever posted a command before is seen now, and nobody posts one any more.
pub(super) const ASKED: &str = "SELECT FROM inbox WHERE run = $1";
/// What a run with very many lines may take: nobody waits for it but its own rows.
const PATIENCE: &str = "SET LOCAL statement_timeout = '10min'";
/// More than a thousand years, in milliseconds: what is to be kept for longer is kept for ever.
const FOR_EVER: u64 = 32_000_000_000_000;
pub(super) const FORGET: [&str; 4] = [
    "DELETE FROM log_line WHERE run = $1",
    "DELETE FROM history WHERE run = $1",
    "DELETE FROM node_run WHERE run = $1",
    "DELETE FROM run WHERE id = $1",
];

pub(super) async fn expired(client: &Object, older_ms: u64, limit: u32) -> Done<Vec<RunId>> {
    let (older, limit) = (older_ms.min(FOR_EVER) as i64, i64::from(limit));
    let rows = query(client, OVER, &[&older, &limit]).await?;
    rows.iter().map(|row| Ok(RunId(row.try_get(0)?))).collect()
}

/// Removes a run within a transaction that begins here.
pub(super) async fn forget(tx: &Tx, run: RunId) -> Done<()> {
    tx.begin().answers().await?;
    tx.batch_execute(PATIENCE).await?;
    let over = !query(tx, STILL_OVER, &[&run.0]).await?.is_empty();
    if over && query(tx, ASKED, &[&run.0]).await?.is_empty() {
        for sql in FORGET {
            query(tx, sql, &[&run.0]).await?;
        }
    }
    Ok(())
}

//! Runs that ended long ago: which, and how their rows go.

use std::collections::BTreeSet;

use qflow_model::ids::{RunId, Timestamp};
use rusqlite::{Transaction, params};

use super::Done;

/// What is left of a run.
pub(super) const FORGET: [&str; 4] = [
    "DELETE FROM log_line WHERE run = ?",
    "DELETE FROM history WHERE run = ?",
    "DELETE FROM node_run WHERE run = ?",
    "DELETE FROM run WHERE id = ?",
];

/// A run that somebody wants something of stays.
pub(super) fn expired(db: &Transaction<'_>, older_ms: u64, limit: u32, now: Timestamp) -> Done<Vec<RunId>> {
    let older = i64::try_from(older_ms).unwrap_or(i64::MAX).saturating_mul(1000);
    let mut rows = db.prepare_cached(
        "SELECT id FROM run WHERE ended_at < ? AND NOT EXISTS (SELECT 1 FROM inbox WHERE inbox.run = run.id)
         ORDER BY ended_at LIMIT ?",
    )?;
    let over = rows.query_map(params![now.0.saturating_sub(older), limit], |row| row.get::<_, String>(0))?;
    let over = over.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(over.iter().filter_map(|run| run.parse().ok()).collect())
}

/// Which of these runs are there.
pub(super) fn known(db: &Transaction<'_>, runs: Vec<RunId>) -> Done<BTreeSet<RunId>> {
    let mut there = db.prepare_cached("SELECT 1 FROM run WHERE id = ?")?;
    let mut known = BTreeSet::new();
    for run in runs {
        if there.exists([run.to_string()])? {
            known.insert(run);
        }
    }
    Ok(known)
}

/// Removes what is left of runs that have still ended.
pub(super) fn forget(db: &Transaction<'_>, runs: &[RunId]) -> Done<()> {
    let mut over = db.prepare_cached(
        "SELECT 1 FROM run WHERE id = ?1 AND ended_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM inbox WHERE run = ?1)",
    )?;
    for run in runs.iter().map(RunId::to_string) {
        if !over.exists([&run])? {
            continue;
        }
        for sql in FORGET {
            db.prepare_cached(sql)?.execute([&run])?;
        }
    }
    Ok(())
}

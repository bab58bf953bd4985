//! Outputs that are kept for reuse, and the blobs that they own, row by row.

use qflow_model::ids::{Digest, Timestamp};
use rusqlite::{OptionalExtension, Transaction, params};

use super::{
    super::cache::{Cached, Expired, Hit, Scope},
    Done,
    rows::{read, text},
};

/// A blob whose entry is 0 has none any more; it is removed where no other entry has it either.
pub(super) const TABLES: &str = "
CREATE TABLE cached (
  id INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, user TEXT NOT NULL, key TEXT NOT NULL,
  expires INTEGER NOT NULL, produced TEXT NOT NULL, source TEXT NOT NULL, UNIQUE (tenant, user, key));
CREATE INDEX cached_by_end ON cached (expires);
CREATE TABLE cached_blob (
  digest TEXT NOT NULL, entry INTEGER NOT NULL, tenant TEXT NOT NULL, user TEXT NOT NULL, PRIMARY KEY (digest, entry)) WITHOUT ROWID;
CREATE INDEX cached_blob_by_entry ON cached_blob (entry);
";

pub(super) fn find(db: &Transaction<'_>, scope: &Scope, keys: &[Digest], now: Timestamp) -> Done<Vec<Option<Hit>>> {
    let mut rows = db.prepare_cached(
        "SELECT produced, source FROM cached WHERE tenant = ? AND user = ? AND key = ? AND expires > ?",
    )?;
    let mut one = |key: &Digest| {
        let found = rows.query_row(params![scope.tenant, scope.user, key.to_string(), now.0], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        });
        let hit = |(produced, from): (String, String)| Ok(Hit { produced: read(&produced)?, from: read(&from)? });
        found.optional()?.map(hit).transpose()
    };
    keys.iter().map(&mut one).collect()
}

pub(super) fn put(db: &Transaction<'_>, cached: &Cached, now: Timestamp) -> Done<()> {
    let Cached { scope, key, produced, from, keep_ms } = cached;
    let known: Option<i64> = db
        .prepare_cached("SELECT id FROM cached WHERE tenant = ? AND user = ? AND key = ?")?
        .query_row(params![scope.tenant, scope.user, key.to_string()], |row| row.get(0))
        .optional()?;
    if let Some(entry) = known {
        leave(db, entry)?;
    }
    db.prepare_cached("INSERT INTO cached (tenant, user, key, expires, produced, source) VALUES (?, ?, ?, ?, ?, ?)")?
        .execute(params![
        scope.tenant,
        scope.user,
        key.to_string(),
        now.plus_ms(*keep_ms).0,
        text(produced)?,
        text(from)?
    ])?;
    let entry = db.last_insert_rowid();
    let mut own =
        db.prepare_cached("INSERT OR REPLACE INTO cached_blob (digest, entry, tenant, user) VALUES (?, ?, ?, ?)")?;
    for blob in cached.blobs() {
        own.execute(params![blob.to_string(), entry, scope.tenant, scope.user])?;
    }
    Ok(())
}

/// Removes an entry; its blobs stay noted until they are removed.
fn leave(db: &Transaction<'_>, entry: i64) -> Done<()> {
    db.prepare_cached("UPDATE OR REPLACE cached_blob SET entry = 0 WHERE entry = ?")?.execute([entry])?;
    db.prepare_cached("DELETE FROM cached WHERE id = ?")?.execute([entry])?;
    Ok(())
}

pub(super) fn expire(db: &Transaction<'_>, limit: u32, now: Timestamp) -> Done<Expired> {
    let mut rows = db.prepare_cached("SELECT id FROM cached WHERE expires <= ? ORDER BY expires LIMIT ?")?;
    let over = rows.query_map(params![now.0, limit], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    for entry in &over {
        leave(db, *entry)?;
    }
    db.prepare_cached(
        "DELETE FROM cached_blob WHERE entry = 0
         AND EXISTS (SELECT 1 FROM cached_blob AS other WHERE other.digest = cached_blob.digest AND other.entry > 0)",
    )?
    .execute([])?;
    let mut rows = db.prepare_cached("SELECT digest FROM cached_blob WHERE entry = 0 LIMIT ?")?;
    let blobs = rows.query_map([limit], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(Expired { entries: over.len() as u32, blobs: blobs.iter().filter_map(|blob| blob.parse().ok()).collect() })
}

pub(super) fn forget(db: &Transaction<'_>, blobs: &[Digest]) -> Done<()> {
    let mut gone = db.prepare_cached("DELETE FROM cached_blob WHERE entry = 0 AND digest = ?")?;
    for blob in blobs {
        gone.execute([blob.to_string()])?;
    }
    Ok(())
}

//! Outputs that are kept for reuse, and the blobs that they own, row by row.

use std::collections::BTreeMap;

use deadpool_postgres::Object;
use qflow_model::ids::Digest;
use tokio_postgres::Row;

use super::{
    super::cache::{Cached, Expired, Hit, Scope},
    rows::{query, read, text},
    transaction::{Done, Stop, Tx, digest},
};

pub(super) const FIND: &str = "
SELECT key, produced, source FROM cached WHERE tenant = $1 AND username = $2 AND key = ANY($3::bytea[]) AND expires > now()";
const KNOWN: &str = "SELECT id FROM cached WHERE tenant = $1 AND username = $2 AND key = $3 FOR UPDATE";
/// For ever is what the largest number of milliseconds says.
const PUT: &str = "
INSERT INTO cached (tenant, username, key, expires, produced, source)
VALUES ($1, $2, $3, CASE WHEN $4::bigint = 9223372036854775807 THEN 'infinity' ELSE now() + $4 * interval '1 ms' END, $5, $6)
RETURNING id";
const OWN: &str = "
INSERT INTO cached_blob (digest, entry, tenant, username) SELECT digest, $2::bigint, $3::text, $4::text
FROM unnest($1::bytea[]) AS own (digest) ON CONFLICT DO NOTHING";
/// Blobs of entries that go stay noted until they are removed.
const NOTE: &str = "
INSERT INTO cached_blob (digest, entry, tenant, username) SELECT digest, 0, tenant, username
FROM cached_blob WHERE entry = ANY($1::bigint[]) ON CONFLICT DO NOTHING";
const DISOWN: &str = "DELETE FROM cached_blob WHERE entry = ANY($1::bigint[])";
const LEAVE: &str = "DELETE FROM cached WHERE id = ANY($1::bigint[])";
pub(super) const OVER: &str =
    "SELECT id FROM cached WHERE expires <= now() ORDER BY expires LIMIT $1 FOR UPDATE SKIP LOCKED";
const OWNED_AGAIN: &str = "
DELETE FROM cached_blob WHERE entry = 0
AND EXISTS (SELECT FROM cached_blob AS other WHERE other.digest = cached_blob.digest AND other.entry > 0)";
const NOBODYS: &str = "SELECT digest FROM cached_blob WHERE entry = 0 LIMIT $1";
const FORGET: &str = "DELETE FROM cached_blob WHERE entry = 0 AND digest = ANY($1::bytea[])";

/// More than a thousand years, in milliseconds: the database's calendar has an end.
const FOR_EVER: u64 = 32_000_000_000_000;

fn bytes(digests: &[Digest]) -> Vec<Vec<u8>> {
    digests.iter().map(|digest| digest.0.to_vec()).collect()
}

pub(super) async fn find(client: &Object, scope: &Scope, keys: &[Digest]) -> Done<Vec<Option<Hit>>> {
    let rows = query(client, FIND, &[&scope.tenant, &scope.user, &bytes(keys)]).await?;
    let hit = |row: &Row| Ok((digest(row.try_get(0)?)?, Hit { produced: read(row, 1)?, from: read(row, 2)? }));
    let found: BTreeMap<Digest, Hit> = rows.iter().map(hit).collect::<Done<_>>()?;
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}

pub(super) async fn put(tx: &Tx, cached: &[Cached]) -> Done<()> {
    // In one order for all, so that no two replicas wait for each other's entries; of one key the last stays.
    let by_key: BTreeMap<_, _> = cached.iter().map(|cached| ((&cached.scope, cached.key), cached)).collect();
    for ((scope, key), cached) in by_key {
        let key = &key.0[..];
        let known = query(tx, KNOWN, &[&scope.tenant, &scope.user, &key]).await?;
        leave(tx, &ids(&known)?).await?;
        let keep = if cached.keep_ms > FOR_EVER { i64::MAX } else { cached.keep_ms as i64 };
        let (produced, from) = (text(&cached.produced)?, text(&cached.from)?);
        let rows = query(tx, PUT, &[&scope.tenant, &scope.user, &key, &keep, &produced, &from]).await?;
        let entry: i64 = rows.first().ok_or_else(|| Stop::Database("no entry was kept".into()))?.try_get(0)?;
        query(tx, OWN, &[&bytes(&cached.blobs()), &entry, &scope.tenant, &scope.user]).await?;
    }
    Ok(())
}

fn ids(rows: &[Row]) -> Done<Vec<i64>> {
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Removes entries.
async fn leave(tx: &Tx, entries: &[i64]) -> Done<()> {
    if !entries.is_empty() {
        for sql in [NOTE, DISOWN, LEAVE] {
            query(tx, sql, &[&entries]).await?;
        }
    }
    Ok(())
}

/// Removes what is over, within a transaction that begins here.
pub(super) async fn expire(tx: &Tx, limit: u32) -> Done<Expired> {
    tx.begin().answers().await?;
    let limit = i64::from(limit);
    let over = ids(&query(tx, OVER, &[&limit]).await?)?;
    leave(tx, &over).await?;
    query(tx, OWNED_AGAIN, &[]).await?;
    let blobs = query(tx, NOBODYS, &[&limit]).await?;
    let blobs = blobs.iter().map(|row| digest(row.try_get(0)?)).collect::<Done<_>>()?;
    Ok(Expired { entries: over.len() as u32, blobs })
}

pub(super) async fn forget(client: &Object, blobs: &[Digest]) -> Done<()> {
    query(client, FORGET, &[&bytes(blobs)]).await?;
    Ok(())
}

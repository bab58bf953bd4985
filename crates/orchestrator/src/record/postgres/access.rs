//! Tokens and the audit, row by row.

use async_trait::async_trait;
use tokio_postgres::Row;

use super::{
    super::{
        Result,
        access::{Access, AuditFilter, Audited, Entry, Token},
    },
    Postgres, each,
    transaction::{At, Done, Param, Stop, digest},
};

pub(super) const NOTE: &str = "
INSERT INTO audit (at, tenant, username, by, action, target, refused, trace_id) VALUES (now(), $1, $2, $3, $4, $5, $6, $7)";
/// The same within a statement that does what was asked for.
const KEEP: &str = "
WITH kept AS (
  INSERT INTO token (id, tenant, username, role, name, digest, created_at, created_by, expires_at)
  VALUES ($8, $9, $10, $11, $12, $13, now(), $14, $15))
INSERT INTO audit (at, tenant, username, by, action, target, refused, trace_id) VALUES (now(), $1, $2, $3, $4, $5, $6, $7)";
const REVOKE: &str = "
WITH revoked AS (
  UPDATE token SET revoked_at = coalesce(revoked_at, now()) WHERE tenant = $8 AND id = $9 RETURNING 1)
INSERT INTO audit (at, tenant, username, by, action, target, refused, trace_id)
SELECT now(), $1, $2, $3, $4, $5, $6, $7 FROM revoked RETURNING id";
const LIVE: &str = "
SELECT id, tenant, username, role, name, digest, created_at, created_by, expires_at, revoked_at FROM token
WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())";
const TOKENS: &str = "
SELECT id, tenant, username, role, name, digest, created_at, created_by, expires_at, revoked_at FROM token
WHERE tenant = $1 ORDER BY created_at DESC, id DESC";
const AUDIT: &str = "
SELECT id, at, tenant, username, by, action, target, refused, trace_id FROM audit
WHERE tenant = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
/// A command, and that somebody asked for it; neither where the run is gone.
pub(super) const ASK: &str = "
WITH put AS (
  INSERT INTO inbox (shard, run, tenant, username, input)
  SELECT shard, id, tenant, username, $9::text FROM run WHERE id = $8 FOR KEY SHARE RETURNING id),
noted AS (
  INSERT INTO audit (at, tenant, username, by, action, target, refused, trace_id)
  SELECT now(), $1, $2, $3, $4, $5, $6, $7 FROM put)
SELECT id FROM put";

/// The first seven parameters of each of these.
pub(super) fn params(asked: &Entry) -> [Param<'_>; 7] {
    let Entry { tenant, user, by, action, target, refused, trace_id } = asked;
    [tenant, user, by, action, target, refused, trace_id]
}

fn token(row: &Row) -> Done<Token> {
    let role: &str = row.try_get(3)?;
    Ok(Token {
        id: row.try_get(0)?,
        tenant: row.try_get(1)?,
        user: row.try_get(2)?,
        role: role.parse().map_err(|error| Stop::Database(Box::new(error)))?,
        name: row.try_get(4)?,
        digest: digest(row.try_get(5)?)?,
        created_at: row.try_get::<_, At>(6)?.0,
        created_by: row.try_get(7)?,
        expires_at: row.try_get::<_, Option<At>>(8)?.map(|at| at.0),
        revoked_at: row.try_get::<_, Option<At>>(9)?.map(|at| at.0),
    })
}

fn audited(row: &Row) -> Done<Audited> {
    let entry = Entry {
        tenant: row.try_get(2)?,
        user: row.try_get(3)?,
        by: row.try_get(4)?,
        action: row.try_get(5)?,
        target: row.try_get(6)?,
        refused: row.try_get(7)?,
        trace_id: row.try_get(8)?,
    };
    Ok(Audited { id: row.try_get(0)?, at: row.try_get::<_, At>(1)?.0, entry })
}

#[async_trait]
impl Access for Postgres {
    async fn keep_token(&self, kept: Token, asked: Entry) -> Result<()> {
        let Token { id, tenant, user, role, name, digest, created_by, expires_at, .. } = &kept;
        let (role, digest, expires_at) = (role.as_str(), &digest.0[..], expires_at.map(At));
        let rest: [Param<'_>; 8] = [id, tenant, user, &role, name, &digest, created_by, &expires_at];
        self.rows("keep a token", KEEP, &[&params(&asked)[..], &rest].concat()).await.map(drop)
    }

    async fn live_token(&self, id: &str) -> Result<Option<Token>> {
        let doing = "look up a token";
        Ok(each(doing, &self.rows(doing, LIVE, &[&id]).await?, token)?.pop())
    }

    async fn tokens(&self, tenant: String) -> Result<Vec<Token>> {
        let doing = "list tokens";
        each(doing, &self.rows(doing, TOKENS, &[&tenant]).await?, token)
    }

    async fn revoke_token(&self, tenant: String, id: String, asked: Entry) -> Result<bool> {
        let rest: [Param<'_>; 2] = [&tenant, &id];
        let rows = self.rows("revoke a token", REVOKE, &[&params(&asked)[..], &rest].concat()).await?;
        Ok(!rows.is_empty())
    }

    async fn note(&self, asked: Entry) -> Result<()> {
        self.rows("write to the audit", NOTE, &params(&asked)).await.map(drop)
    }

    async fn audit(&self, filter: AuditFilter) -> Result<Vec<Audited>> {
        let doing = "read the audit";
        let (before, limit) = (filter.before.unwrap_or(i64::MAX), i64::from(filter.limit));
        each(doing, &self.rows(doing, AUDIT, &[&filter.tenant, &before, &limit]).await?, audited)
    }
}

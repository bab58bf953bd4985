//! Tokens and the audit, row by row.

use async_trait::async_trait;
use qflow_model::ids::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{
    super::{
        Result,
        access::{Access, AuditFilter, Audited, Entry, Token},
    },
    Done, Sqlite,
};

pub(super) const TABLES: &str = "
CREATE TABLE token (
  id TEXT PRIMARY KEY, tenant TEXT NOT NULL, user TEXT NOT NULL, role TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL,
  created_at INTEGER NOT NULL, created_by TEXT NOT NULL, expires_at INTEGER, revoked_at INTEGER);
CREATE INDEX token_by_tenant ON token (tenant, created_at);
CREATE TABLE audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, tenant TEXT NOT NULL, user TEXT NOT NULL, by TEXT NOT NULL,
  action TEXT NOT NULL, target TEXT NOT NULL, refused TEXT NOT NULL, trace_id TEXT NOT NULL);
CREATE INDEX audit_by_tenant ON audit (tenant, id);
";

pub(super) fn note(db: &Transaction<'_>, entry: &Entry, now: Timestamp) -> Done<()> {
    let Entry { tenant, user, by, action, target, refused, trace_id } = entry;
    let mut put = db.prepare_cached(
        "INSERT INTO audit (at, tenant, user, by, action, target, refused, trace_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    put.execute(params![now.0, tenant, user, by, action, target, refused, trace_id])?;
    Ok(())
}

fn token(row: &Row<'_>) -> rusqlite::Result<Token> {
    let unreadable = |column: usize, error: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error)
    };
    Ok(Token {
        id: row.get("id")?,
        tenant: row.get("tenant")?,
        user: row.get("user")?,
        role: row.get::<_, String>("role")?.parse().map_err(|error| unreadable(3, Box::new(error)))?,
        name: row.get("name")?,
        digest: row.get::<_, String>("digest")?.parse().map_err(|error| unreadable(5, Box::new(error)))?,
        created_at: Timestamp(row.get("created_at")?),
        created_by: row.get("created_by")?,
        expires_at: row.get::<_, Option<i64>>("expires_at")?.map(Timestamp),
        revoked_at: row.get::<_, Option<i64>>("revoked_at")?.map(Timestamp),
    })
}

fn audited(row: &Row<'_>) -> rusqlite::Result<Audited> {
    let entry = Entry {
        tenant: row.get("tenant")?,
        user: row.get("user")?,
        by: row.get("by")?,
        action: row.get("action")?,
        target: row.get("target")?,
        refused: row.get("refused")?,
        trace_id: row.get("trace_id")?,
    };
    Ok(Audited { id: row.get("id")?, at: Timestamp(row.get("at")?), entry })
}

#[async_trait]
impl Access for Sqlite {
    async fn keep_token(&self, token: Token, asked: Entry) -> Result<()> {
        let now = self.clock.now();
        self.within("keep a token", move |db| {
            let Token { id, tenant, user, role, name, digest, created_by, expires_at, .. } = token;
            db.execute(
                "INSERT INTO token VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
                params![
                    id,
                    tenant,
                    user,
                    role.as_str(),
                    name,
                    digest.to_string(),
                    now.0,
                    created_by,
                    expires_at.map(|at| at.0)
                ],
            )?;
            note(db, &asked, now)
        })
        .await
    }

    async fn live_token(&self, id: &str) -> Result<Option<Token>> {
        let (id, now) = (id.to_owned(), self.clock.now());
        self.within("look up a token", move |db| {
            let live =
                "SELECT * FROM token WHERE id = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)";
            Ok(db.prepare_cached(live)?.query_row(params![id, now.0], token).optional()?)
        })
        .await
    }

    async fn tokens(&self, tenant: String) -> Result<Vec<Token>> {
        self.within("list tokens", move |db| {
            let mut rows = db.prepare("SELECT * FROM token WHERE tenant = ? ORDER BY created_at DESC, id DESC")?;
            Ok(rows.query_map([tenant], token)?.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn revoke_token(&self, tenant: String, id: String, asked: Entry) -> Result<bool> {
        let now = self.clock.now();
        self.within("revoke a token", move |db| {
            let revoke = "UPDATE token SET revoked_at = coalesce(revoked_at, ?) WHERE tenant = ? AND id = ?";
            let is_there = db.execute(revoke, params![now.0, tenant, id])? > 0;
            if is_there {
                note(db, &asked, now)?;
            }
            Ok(is_there)
        })
        .await
    }

    async fn note(&self, asked: Entry) -> Result<()> {
        let now = self.clock.now();
        self.within("write to the audit", move |db| note(db, &asked, now)).await
    }

    async fn audit(&self, filter: AuditFilter) -> Result<Vec<Audited>> {
        self.within("read the audit", move |db| {
            let AuditFilter { tenant, before, limit } = filter;
            let sql = "SELECT * FROM audit WHERE tenant = ? AND id < ? ORDER BY id DESC LIMIT ?";
            let mut rows = db.prepare_cached(sql)?;
            let found = rows.query_map(params![tenant, before.unwrap_or(i64::MAX), limit], audited)?;
            Ok(found.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

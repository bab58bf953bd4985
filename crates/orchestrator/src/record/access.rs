//! Tokens, and the audit: who is let in by what, and who asked for what. A token's text is kept nowhere: its digest is.

use async_trait::async_trait;
use qflow_model::{
    access::{Caller, Role},
    ids::{Digest, Timestamp},
};

use super::Result;

/// Letters of what something was asked of.
const TARGET: usize = 200;

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// By which it is listed and revoked; its text names it.
    pub id: String,
    /// Whose it lets in, and as whom.
    pub tenant: String,
    /// The user.
    pub user: String,
    /// What they may.
    pub role: Role,
    /// What it is for, in its maker's words.
    pub name: String,
    /// Of its text, which has more randomness than anybody can guess.
    pub digest: Digest,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// From when on it lets nobody in.
    pub expires_at: Option<Timestamp>,
    /// Since when it lets nobody in.
    pub revoked_at: Option<Timestamp>,
}

/// What somebody asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Of which tenant they are.
    pub tenant: String,
    /// Who.
    pub user: String,
    /// By what they were known: `local`, `token:ID`, `oidc:ISSUER`.
    pub by: String,
    /// What, e.g. `run.start`.
    pub action: String,
    /// Of what: a run, a token, a pool, a workflow.
    pub target: String,
    /// Why it was refused; empty where they were let.
    pub refused: String,
    /// The trace of the call.
    pub trace_id: String,
}

impl Entry {
    /// What a caller asks for.
    pub fn of(caller: &Caller, action: &str, target: impl Into<String>) -> Self {
        Self {
            tenant: caller.tenant.clone(),
            user: caller.user.clone(),
            by: caller.by.clone(),
            action: action.to_owned(),
            target: printable(&target.into()),
            refused: String::new(),
            trace_id: qflow_telemetry::traces::current().map_or_else(String::new, |trace| trace.trace_id),
        }
    }
}

/// What a caller named, as far as a line of the audit takes it: whoever is refused may have named anything.
fn printable(target: &str) -> String {
    target.chars().filter(|c| !c.is_control()).take(TARGET).collect()
}

/// A line of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    /// Its place: later lines have higher ones.
    pub id: i64,
    /// When, by the store's clock.
    pub at: Timestamp,
    /// What.
    pub entry: Entry,
}

/// Which lines of the audit to read; newest first.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Whose.
    pub tenant: String,
    /// Older than this line only.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// Where tokens and the audit are kept: beside the runs, so that what is asked of a run and that it was asked are one write.
#[async_trait]
pub trait Access: Send + Sync + 'static {
    /// Keeps a new token, and that somebody made it.
    async fn keep_token(&self, token: Token, asked: Entry) -> Result<()>;
    /// A token that lets somebody in now, by the store's clock.
    async fn live_token(&self, id: &str) -> Result<Option<Token>>;
    /// A tenant's tokens, newest first.
    async fn tokens(&self, tenant: String) -> Result<Vec<Token>>;
    /// Has a tenant's token let nobody in from now on, and keeps that somebody wanted it; whether there is such a token. One that is
    /// revoked may be revoked again.
    async fn revoke_token(&self, tenant: String, id: String, asked: Entry) -> Result<bool>;
    /// Appends a line to the audit.
    async fn note(&self, asked: Entry) -> Result<()>;
    /// Lines of the audit by a filter, newest first.
    async fn audit(&self, filter: AuditFilter) -> Result<Vec<Audited>>;
}

//! Who the caller is, tokens and the audit, as answers have them.

use qflow_proto::v1;
use serde::Serialize;
use utoipa::ToSchema;

use super::time;

/// Who the caller is.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct Who {
    pub(in super::super) tenant: String,
    pub(in super::super) user: String,
    /// viewer, operator, author, admin
    pub(in super::super) role: String,
    /// By what the caller is known: `local`, `token:ID`, `oidc:ISSUER`
    pub(in super::super) by: String,
}

/// A token as it is kept: not its text.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct Token {
    id: String,
    tenant: String,
    user: String,
    role: String,
    name: String,
    created_at: Option<String>,
    created_by: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
}

/// A token that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct Made {
    pub(in super::super) token: Token,
    /// What is shown as `Authorization: Bearer …`: it is told here and nowhere else.
    pub(in super::super) secret: String,
}

/// Tokens, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct Tokens {
    pub(in super::super) tokens: Vec<Token>,
}

/// What somebody asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct Entry {
    id: String,
    at: Option<String>,
    tenant: String,
    user: String,
    by: String,
    /// run.start, run.cancel, token.create, …; of what was refused at the door the route.
    action: String,
    target: String,
    /// Why it was refused; empty where it was not.
    refused: String,
    trace_id: String,
}

/// A page of the audit, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct Audit {
    pub(in super::super) entries: Vec<Entry>,
    pub(in super::super) next: Option<String>,
}

impl From<v1::Token> for Token {
    fn from(token: v1::Token) -> Self {
        Self {
            id: token.id,
            tenant: token.tenant,
            user: token.user,
            role: token.role,
            name: token.name,
            created_at: time(token.created_at),
            created_by: token.created_by,
            expires_at: time(token.expires_at),
            revoked_at: time(token.revoked_at),
        }
    }
}

impl From<v1::AuditEntry> for Entry {
    fn from(entry: v1::AuditEntry) -> Self {
        Self {
            id: entry.id,
            at: time(entry.at),
            tenant: entry.tenant,
            user: entry.user,
            by: entry.by,
            action: entry.action,
            target: entry.target,
            refused: entry.refused,
            trace_id: entry.trace_id,
        }
    }
}

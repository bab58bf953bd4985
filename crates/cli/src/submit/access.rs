//! Calls about who may call: tokens, and the audit.

use qflow_proto::v1::{self, access_service_client::AccessServiceClient};
use serde::Serialize;
use tonic::{service::interceptor::InterceptedService, transport::Channel};

use super::{Bearer, Client, fail, time};
use crate::exit::{Exit, Fail};

pub(super) type Service = AccessServiceClient<InterceptedService<Channel, Bearer>>;

pub(super) fn client(channel: Channel, bearer: Bearer) -> Service {
    AccessServiceClient::with_interceptor(channel, bearer)
}

/// Who the server takes a caller for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Who {
    /// Whose.
    pub tenant: String,
    /// Who.
    pub user: String,
    /// What they may.
    pub role: String,
    /// By what they are known.
    pub by: String,
}

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Token {
    /// By which it is revoked.
    pub id: String,
    /// Whose it lets in.
    pub tenant: String,
    /// As whom.
    pub user: String,
    /// What they may.
    pub role: String,
    /// What it is for.
    pub name: String,
    /// When it was made, RFC 3339.
    pub created_at: Option<String>,
    /// By whom.
    pub created_by: String,
    /// From when on it lets nobody in.
    pub expires_at: Option<String>,
    /// Since when it lets nobody in.
    pub revoked_at: Option<String>,
}

/// A token to be made.
#[derive(Clone, Debug)]
pub struct Create {
    /// As whom it lets in.
    pub user: String,
    /// What they may.
    pub role: String,
    /// What it is for.
    pub name: String,
    /// Whose; empty: the caller's.
    pub tenant: String,
    /// 0: without end.
    pub lifetime_seconds: u64,
}

/// What somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Audited {
    /// Its place.
    pub id: String,
    /// When, RFC 3339.
    pub at: Option<String>,
    /// Of which tenant they are.
    pub tenant: String,
    /// Who.
    pub user: String,
    /// By what they were known.
    pub by: String,
    /// What.
    pub action: String,
    /// Of what.
    pub target: String,
    /// Why it was refused; empty where it was not.
    pub refused: String,
    /// The call's trace.
    pub trace_id: String,
}

impl Client {
    /// Who the caller is.
    pub async fn who_am_i(&self) -> Result<Who, Fail> {
        let answer = self.2.clone().who_am_i(v1::WhoAmIRequest {}).await.map_err(|e| fail(&e))?;
        let v1::WhoAmIResponse { tenant, user, role, by } = answer.into_inner();
        Ok(Who { tenant, user, role, by })
    }

    /// Makes a token; it, and its text.
    pub async fn create_token(&self, create: Create) -> Result<(Token, String), Fail> {
        let Create { user, role, name, tenant, lifetime_seconds } = create;
        let request = v1::CreateTokenRequest { user, role, name, tenant, lifetime_seconds };
        let v1::CreateTokenResponse { token: made, secret } =
            self.2.clone().create_token(request).await.map_err(|e| fail(&e))?.into_inner();
        let made = made.ok_or_else(|| Fail::new(Exit::Failed, "the server answered without a token"))?;
        Ok((token(made), secret))
    }

    /// A tenant's tokens; the caller's where it is empty.
    pub async fn tokens(&self, tenant: &str) -> Result<Vec<Token>, Fail> {
        let request = v1::ListTokensRequest { tenant: tenant.to_owned() };
        let answer = self.2.clone().list_tokens(request).await.map_err(|e| fail(&e))?;
        Ok(answer.into_inner().tokens.into_iter().map(token).collect())
    }

    /// Has a token let nobody in.
    pub async fn revoke_token(&self, id: &str, tenant: &str) -> Result<(), Fail> {
        let request = v1::RevokeTokenRequest { id: id.to_owned(), tenant: tenant.to_owned() };
        self.2.clone().revoke_token(request).await.map_err(|e| fail(&e)).map(drop)
    }

    /// What was asked for, newest first, at most so many.
    pub async fn audit(&self, tenant: &str, limit: u32) -> Result<Vec<Audited>, Fail> {
        let request = v1::ListAuditRequest { page_size: limit, page_token: String::new(), tenant: tenant.to_owned() };
        let answer = self.2.clone().list_audit(request).await.map_err(|e| fail(&e))?;
        let one = |entry: v1::AuditEntry| Audited {
            id: entry.id,
            at: entry.at.map(time),
            tenant: entry.tenant,
            user: entry.user,
            by: entry.by,
            action: entry.action,
            target: entry.target,
            refused: entry.refused,
            trace_id: entry.trace_id,
        };
        Ok(answer.into_inner().entries.into_iter().map(one).collect())
    }
}

fn token(token: v1::Token) -> Token {
    Token {
        id: token.id,
        tenant: token.tenant,
        user: token.user,
        role: token.role,
        name: token.name,
        created_at: token.created_at.map(time),
        created_by: token.created_by,
        expires_at: token.expires_at.map(time),
        revoked_at: token.revoked_at.map(time),
    }
}

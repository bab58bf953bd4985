//! Tokens and the audit, as clients ask for them.

use qflow_model::{
    access::{self, Caller, Role},
    ids::{Digest, Timestamp},
};
use qflow_proto::v1::{self, access_service_server::AccessService};
use rand::Rng as _;
use tonic::{Request, Response, Status};

use super::{
    Server, caller,
    door::{ID_BYTES, PREFIX, SECRET_BYTES},
    show, unavailable,
};
use crate::record::access::{AuditFilter, Audited, Entry, Token};

/// Characters of what a token is for.
const NAME: usize = 200;
/// For how long a token may be made: past it, it is one for ever, which is said by leaving it out.
const LIFETIME_SECONDS: u64 = 10 * 366 * 24 * 3600;
/// Lines of a page where the caller does not say, and at most.
const PAGE: (u32, u32) = (50, 500);

#[tonic::async_trait]
impl AccessService for Server {
    async fn who_am_i(&self, request: Request<v1::WhoAmIRequest>) -> Result<Response<v1::WhoAmIResponse>, Status> {
        let Caller { tenant, user, role, by } = caller(&request)?;
        Ok(Response::new(v1::WhoAmIResponse { tenant, user, role: role.to_string(), by }))
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let (caller, wanted) = (caller(&request)?, request.into_inner());
        let (token, secret) = self.made(&caller, wanted).await?;
        let asked = Entry::of(&caller, "token.create", token.id.as_str());
        self.store.keep_token(token.clone(), asked).await.map_err(|e| unavailable(&e))?;
        Ok(Response::new(v1::CreateTokenResponse { token: Some(shown(&token)), secret }))
    }

    async fn list_tokens(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        let caller = caller(&request)?;
        let tenant = self.tenant(&caller, request.into_inner().tenant).await?;
        let tokens = self.store.tokens(tenant).await.map_err(|e| unavailable(&e))?;
        Ok(Response::new(v1::ListTokensResponse { tokens: tokens.iter().map(shown).collect() }))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let (caller, v1::RevokeTokenRequest { id, tenant }) = (caller(&request)?, request.into_inner());
        let tenant = self.tenant(&caller, tenant).await?;
        let asked = Entry::of(&caller, "token.revoke", id.as_str());
        let is_there = self.store.revoke_token(tenant, id.clone(), asked).await.map_err(|e| unavailable(&e))?;
        if !is_there {
            return Err(Status::not_found(format!("no token `{id}`: qflow token list names them")));
        }
        Ok(Response::new(v1::RevokeTokenResponse {}))
    }

    async fn list_audit(
        &self,
        request: Request<v1::ListAuditRequest>,
    ) -> Result<Response<v1::ListAuditResponse>, Status> {
        let (caller, v1::ListAuditRequest { page_size, page_token, tenant }) =
            (caller(&request)?, request.into_inner());
        let tenant = self.tenant(&caller, tenant).await?;
        let before = Some(&page_token).filter(|token| !token.is_empty()).map(|token| token.parse::<i64>()).transpose();
        let before = before.map_err(|_| Status::invalid_argument("page_token is not one that a list gave"))?;
        let limit = if page_size == 0 { PAGE.0 } else { page_size.min(PAGE.1) };
        let lines = self.store.audit(AuditFilter { tenant, before, limit }).await.map_err(|e| unavailable(&e))?;
        let full = lines.len() == limit as usize;
        let next_page_token = lines.last().filter(|_| full).map_or_else(String::new, |last| last.id.to_string());
        Ok(Response::new(v1::ListAuditResponse { entries: lines.into_iter().map(entry).collect(), next_page_token }))
    }
}

impl Server {
    /// The tenant that is meant: the caller's own, or any where the caller has the server's own token.
    async fn tenant(&self, caller: &Caller, named: String) -> Result<String, Status> {
        if named.is_empty() || named == caller.tenant {
            return Ok(caller.tenant.clone());
        }
        if caller.is_own() {
            return access::tenant(&named).map(str::to_owned).map_err(|e| Status::invalid_argument(e.to_string()));
        }
        access::tenant(&named).map_err(|e| Status::invalid_argument(e.to_string()))?;
        let refused = "only the server's own token reaches other tenants".to_owned();
        self.refuse(Entry { refused: refused.clone(), ..Entry::of(caller, "tenant.reach", named) }).await;
        Err(Status::permission_denied(refused))
    }

    /// A new token, and its text, which nobody is told again.
    async fn made(&self, caller: &Caller, wanted: v1::CreateTokenRequest) -> Result<(Token, String), Status> {
        let v1::CreateTokenRequest { user, role, name, tenant, lifetime_seconds } = wanted;
        let wrong = |error: &dyn std::fmt::Display| Status::invalid_argument(error.to_string());
        let tenant = self.tenant(caller, tenant).await?;
        let role: Role = role.parse().map_err(|e| wrong(&e))?;
        let user = access::user(&user).map_err(|e| wrong(&e))?.to_owned();
        if name.chars().count() > NAME || name.chars().any(char::is_control) {
            return Err(wrong(&format!(
                "what a token is for has at most {NAME} letters, none of them a control character"
            )));
        }
        if lifetime_seconds > LIFETIME_SECONDS {
            return Err(wrong(&"a token lives for at most ten years; leave its lifetime out for one without end"));
        }
        let now = self.store.now().await.map_err(|e| unavailable(&e))?;
        let (id, secret) = (random::<ID_BYTES>(), random::<SECRET_BYTES>());
        let secret = format!("{PREFIX}{id}_{secret}");
        let token = Token {
            id,
            tenant,
            user,
            role,
            name,
            digest: Digest::of(secret.as_bytes()),
            created_at: now,
            created_by: caller.user.clone(),
            expires_at: (lifetime_seconds > 0).then(|| now.plus_ms(lifetime_seconds * 1000)),
            revoked_at: None,
        };
        Ok((token, secret))
    }
}

/// Bytes that nobody can guess, in hexadecimal.
fn random<const BYTES: usize>() -> String {
    let mut bytes = [0_u8; BYTES];
    rand::rng().fill_bytes(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn shown(token: &Token) -> v1::Token {
    let time = |at: Option<Timestamp>| at.map(show::time);
    v1::Token {
        id: token.id.clone(),
        tenant: token.tenant.clone(),
        user: token.user.clone(),
        role: token.role.to_string(),
        name: token.name.clone(),
        created_at: Some(show::time(token.created_at)),
        created_by: token.created_by.clone(),
        expires_at: time(token.expires_at),
        revoked_at: time(token.revoked_at),
    }
}

fn entry(Audited { id, at, entry }: Audited) -> v1::AuditEntry {
    let Entry { tenant, user, by, action, target, refused, trace_id } = entry;
    v1::AuditEntry { id: id.to_string(), at: Some(show::time(at)), tenant, user, by, action, target, refused, trace_id }
}

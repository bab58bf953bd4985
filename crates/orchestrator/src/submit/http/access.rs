//! Who may call: the caller, tokens, and the audit.

use axum::{Json, extract::State, http::StatusCode};
use qflow_proto::v1::{self, access_service_server::AccessService as _};
use serde::Deserialize;
use tonic::Status;
use utoipa::{IntoParams, ToSchema};

use super::{
    Answer, Shared, asked,
    extract::{Body, By, Named, Query},
    problem::Problem,
    runs::page_of,
    shapes::{self, Audit, Entry, Made, Token, Tokens, Who},
};

/// Tells who the caller is.
#[utoipa::path(
    get, path = "/whoami", tag = "access",
    responses(
        (status = 200, body = Who),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn who_am_i(State(server): Shared, By(caller): By) -> Answer<Json<Who>> {
    let v1::WhoAmIResponse { tenant, user, role, by } =
        server.who_am_i(asked(caller, v1::WhoAmIRequest {})).await?.into_inner();
    Ok(Json(Who { tenant, user, role, by }))
}

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    /// As whom it lets in.
    user: String,
    /// viewer, operator, author, admin
    role: String,
    /// What it is for.
    #[serde(default)]
    name: String,
    /// Left out: the caller's. Only the server's own token reaches others.
    #[serde(default)]
    tenant: String,
    /// Left out: without end.
    #[serde(default)]
    lifetime_seconds: u64,
}

/// Makes a token. Its text is in the answer and nowhere else.
#[utoipa::path(
    post, path = "/tokens", tag = "access", request_body = Create,
    responses(
        (status = 201, body = Made),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create_token(
    State(server): Shared,
    By(caller): By,
    Body(Create { user, role, name, tenant, lifetime_seconds }): Body<Create>,
) -> Answer<(StatusCode, Json<Made>)> {
    let request = v1::CreateTokenRequest { user, role, name, tenant, lifetime_seconds };
    let v1::CreateTokenResponse { token, secret } = server.create_token(asked(caller, request)).await?.into_inner();
    let token = Token::from(token.ok_or_else(|| Status::internal("an answer without its token"))?);
    Ok((StatusCode::CREATED, Json(Made { token, secret })))
}

/// Whose.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Whose {
    /// Left out: the caller's. Only the server's own token reaches others.
    tenant: Option<String>,
}

/// Lists tokens, newest first, also those that let nobody in any more.
#[utoipa::path(
    get, path = "/tokens", tag = "access", params(Whose),
    responses(
        (status = 200, body = Tokens),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list_tokens(
    State(server): Shared,
    By(caller): By,
    Query(Whose { tenant }): Query<Whose>,
) -> Answer<Json<Tokens>> {
    let request = v1::ListTokensRequest { tenant: tenant.unwrap_or_default() };
    let tokens = server.list_tokens(asked(caller, request)).await?.into_inner().tokens;
    Ok(Json(Tokens { tokens: tokens.into_iter().map(Token::from).collect() }))
}

/// Has a token let nobody in, within 5 s. One that is revoked may be revoked again.
#[utoipa::path(
    delete, path = "/tokens/{id}", tag = "access", params(("id" = String, Path), Whose),
    responses(
        (status = 204, description = "It lets nobody in."),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn revoke_token(
    State(server): Shared,
    By(caller): By,
    Named(id): Named<String>,
    Query(Whose { tenant }): Query<Whose>,
) -> Answer<StatusCode> {
    let request = v1::RevokeTokenRequest { id, tenant: tenant.unwrap_or_default() };
    server.revoke_token(asked(caller, request)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which lines.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// At most so many; 50 where it is left out.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Left out: the caller's. Only the server's own token reaches others.
    tenant: Option<String>,
}

/// Tells what was asked for, newest first.
#[utoipa::path(
    get, path = "/audit", tag = "access", params(Which),
    responses(
        (status = 200, body = Audit),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn audit(
    State(server): Shared,
    By(caller): By,
    Query(Which { limit, cursor, tenant }): Query<Which>,
) -> Answer<Json<Audit>> {
    let request = v1::ListAuditRequest {
        page_size: page_of(limit)?,
        page_token: cursor.unwrap_or_default(),
        tenant: tenant.unwrap_or_default(),
    };
    let v1::ListAuditResponse { entries, next_page_token } =
        server.list_audit(asked(caller, request)).await?.into_inner();
    Ok(Json(Audit { entries: entries.into_iter().map(Entry::from).collect(), next: shapes::said(next_page_token) }))
}

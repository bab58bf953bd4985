//! Pools: listed, set and removed.

use axum::{Json, extract::State, http::StatusCode};
use qflow_proto::v1::{self, orchestrator_service_server::OrchestratorService as _};
use serde::Deserialize;
use tonic::Status;
use utoipa::ToSchema;

use super::{
    Answer, Shared, asked,
    extract::{Body, By, Named},
    problem::Problem,
    shapes::{Pool, Pools},
};

/// Lists pools as they stand now, each with who holds its slots.
#[utoipa::path(
    get, path = "/pools", tag = "pools",
    responses(
        (status = 200, body = Pools),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(State(server): Shared, By(caller): By) -> Answer<Json<Pools>> {
    let known = server.list_pools(asked(caller, v1::ListPoolsRequest { name: String::new() })).await?;
    Ok(Json(Pools { pools: known.into_inner().pools.into_iter().map(Pool::from).collect() }))
}

/// Shows a pool.
#[utoipa::path(
    get, path = "/pools/{name}", tag = "pools", params(("name" = String, Path)),
    responses(
        (status = 200, body = Pool),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get(State(server): Shared, By(caller): By, Named(name): Named<String>) -> Answer<Json<Pool>> {
    let known = server.list_pools(asked(caller, v1::ListPoolsRequest { name })).await?;
    one(known.into_inner().pools.pop())
}

fn one(pool: Option<v1::Pool>) -> Answer<Json<Pool>> {
    let pool = pool.ok_or_else(|| Status::internal("an answer without its pool"))?;
    Ok(Json(pool.into()))
}

/// How large a pool is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Size {
    /// Attempts that hold it at once, at most.
    slots: u32,
    /// Attempts that begin within a minute, at most; left out: any number.
    per_minute: Option<u32>,
}

/// Makes a pool, or changes it.
#[utoipa::path(
    put, path = "/pools/{name}", tag = "pools", params(("name" = String, Path)), request_body = Size,
    responses(
        (status = 200, body = Pool),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn set(
    State(server): Shared,
    By(caller): By,
    Named(name): Named<String>,
    Body(Size { slots, per_minute }): Body<Size>,
) -> Answer<Json<Pool>> {
    let request = v1::SetPoolRequest { name, slots, per_minute: per_minute.unwrap_or_default() };
    one(server.set_pool(asked(caller, request)).await?.into_inner().pool)
}

/// Removes a pool that nobody holds.
#[utoipa::path(
    delete, path = "/pools/{name}", tag = "pools", params(("name" = String, Path)),
    responses(
        (status = 204, description = "It is gone."),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn remove(State(server): Shared, By(caller): By, Named(name): Named<String>) -> Answer<StatusCode> {
    server.remove_pool(asked(caller, v1::RemovePoolRequest { name })).await?;
    Ok(StatusCode::NO_CONTENT)
}

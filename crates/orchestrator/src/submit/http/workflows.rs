//! Workflows: registered, and listed.

use axum::{Json, extract::State};
use qflow_model::definition;
use qflow_proto::v1::{self, orchestrator_service_server::OrchestratorService as _};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    Answer, Shared, asked,
    extract::{Body, By},
    problem::Problem,
    runs::Source,
    shapes::{self, Registered, Workflow, Workflows},
};

/// A source to be kept.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Register {
    source: Source,
}

/// Reads and checks a source without running any of it, and keeps it under its digest.
#[utoipa::path(
    post, path = "/workflows", tag = "workflows", request_body = Register,
    responses(
        (status = 200, body = Registered),
        (status = 422, description = "It has errors; nothing is kept.", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn register(
    State(server): Shared,
    By(caller): By,
    Body(Register { source }): Body<Register>,
) -> Answer<Json<Registered>> {
    let request = v1::RegisterWorkflowRequest { source: Some(source.into()) };
    let answer = server.register_workflow(asked(caller, request)).await?.into_inner();
    let problems: Vec<definition::Problem> = shapes::read(&answer.problems_json).unwrap_or_default();
    if problems.iter().any(|problem| !problem.warning) {
        return Err(Problem::unsound(problems));
    }
    let definition: Value = shapes::read(&answer.definition_json).unwrap_or_default();
    Ok(Json(Registered { digest: answer.digest, definition, warnings: problems }))
}

/// Lists workflows by name, each under its newest source.
#[utoipa::path(
    get, path = "/workflows", tag = "workflows",
    responses(
        (status = 200, body = Workflows),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(State(server): Shared, By(caller): By) -> Answer<Json<Workflows>> {
    let known = server.list_workflows(asked(caller, v1::ListWorkflowsRequest {})).await?.into_inner().workflows;
    let workflow = |one: v1::Workflow| Workflow {
        name: one.name,
        digest: one.digest,
        registered_at: shapes::time(one.registered_at),
    };
    Ok(Json(Workflows { workflows: known.into_iter().map(workflow).collect() }))
}

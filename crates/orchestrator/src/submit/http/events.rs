//! A run's changes as server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, StreamExt as _};
use qflow_proto::v1::{self, orchestrator_service_server::OrchestratorService as _};

use super::{
    Answer, Shared, asked,
    extract::{By, Named},
    problem::Problem,
    runs::shown,
};

/// Between two signs of life where nothing changes: proxies end what is silent for a minute.
pub(super) const ALIVE: Duration = Duration::from_secs(15);

/// The run as it is, then every change, until it has ended. Of an event that is no first one, `nodes` has those that changed. Who comes
/// back after a break is told the whole again, so that nothing is missed: `Last-Event-ID` is not needed.
#[utoipa::path(
    get, path = "/runs/{run_id}/events", tag = "runs",
    params(("run_id" = String, Path), ("Last-Event-ID" = Option<String>, Header)),
    responses(
        (status = 200, description = "Events `run`, whose data is a run; `end` once it has ended; `problem` where it breaks off.",
         body = String, content_type = "text/event-stream"),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn watch(
    State(server): Shared,
    By(caller): By,
    Named(run_id): Named<String>,
) -> Answer<Sse<impl Stream<Item = Result<Event, Infallible>>>> {
    let changes = server.watch_run(asked(caller, v1::WatchRunRequest { run_id })).await?.into_inner();
    let events = changes.enumerate().map(|(position, change)| {
        let told = change.map_err(Problem::from).and_then(|change| shown(change.run));
        Ok(match told {
            Ok(run) => {
                let name = if run.is_over() { "end" } else { "run" };
                event(name, &run).id(position.to_string())
            }
            Err(problem) => event("problem", &problem),
        })
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)))
}

/// An event with its data in JSON.
pub(super) fn event(name: &str, data: &impl serde::Serialize) -> Event {
    let event = Event::default().event(name);
    // What this house shapes can be written.
    event.clone().json_data(data).unwrap_or(event)
}

//! Lines of user code: those so far in one answer, or all as they come.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, header},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt as _, stream};
use qflow_proto::v1::{self, orchestrator_service_server::OrchestratorService as _};
use serde::Deserialize;
use std::convert::Infallible;
use tonic::Status;
use utoipa::IntoParams;

use super::{
    Answer, Shared, asked,
    events::{ALIVE, event},
    extract::{By, Named, Query},
    problem::Problem,
    shapes::{Line, Lines},
};

/// Which lines.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Of this node only.
    node: Option<String>,
    /// As events, and every further one until the run has ended; left out: those so far, in one answer.
    #[serde(default)]
    follow: bool,
}

/// Lines so far, or with `follow` a stream of events `line`. An event's id is `NODE@ATTEMPT:SEQUENCE`; who comes back with it as
/// `Last-Event-ID` is not told again what that attempt had written up to there. Lines of other attempts are told again: each line says
/// which it is. Lines that were missing there (a line of stream `gap` stands for them) are not told later.
#[utoipa::path(
    get, path = "/runs/{run_id}/logs", tag = "runs",
    params(("run_id" = String, Path), Which, ("Last-Event-ID" = Option<String>, Header)),
    responses(
        (status = 200, description = "The lines.", content((Lines = "application/json"), (String = "text/event-stream"))),
        (status = "default", description = "Why not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn lines(
    State(server): Shared,
    By(caller): By,
    headers: HeaderMap,
    Named(run_id): Named<String>,
    Query(Which { node, follow }): Query<Which>,
) -> Answer<Response> {
    let heard = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(Heard::read);
    let request = v1::StreamLogsRequest { run_id, node_id: node.unwrap_or_default(), follow };
    let batches = server.stream_logs(asked(caller, request)).await?.into_inner();
    if !follow {
        return Ok(whole(batches));
    }
    let events = batches.flat_map(move |batch| {
        let events: Vec<Event> = match batch {
            Ok(batch) => {
                let new = batch.lines.into_iter().filter(|line| !heard.as_ref().is_some_and(|heard| heard.has(line)));
                new.map(line).collect()
            }
            Err(status) => vec![event("problem", &Problem::from(status))],
        };
        stream::iter(events.into_iter().map(Ok::<_, Infallible>))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response())
}

/// All lines as one object, written as they are read: nobody holds those of a whole run.
fn whole(batches: impl Stream<Item = Result<v1::StreamLogsResponse, Status>> + Send + 'static) -> Response {
    let mut is_first = true;
    let lines = batches.map(move |batch| {
        let mut text = String::new();
        // Without its end nobody takes what came for the whole.
        for line in batch.map_err(|status| std::io::Error::other(status.message().to_owned()))?.lines {
            text.push_str(if std::mem::take(&mut is_first) { "" } else { "," });
            text.push_str(&serde_json::to_string(&Line::from(line))?);
        }
        Ok::<_, std::io::Error>(text)
    });
    let ends = |text: &'static str| stream::once(async move { Ok(text.to_owned()) });
    let body = Body::from_stream(ends("{\"lines\":[").chain(lines).chain(ends("]}")));
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn line(line: v1::LogLine) -> Event {
    let id = format!("{}@{}:{}", line.node_id, line.attempt, line.sequence);
    event("line", &Line::from(line)).id(id)
}

/// What somebody who comes back has heard already.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    node_id: String,
    attempt: u32,
    sequence: u64,
}

impl Heard {
    fn read(id: &str) -> Option<Self> {
        let (node_id, rest) = id.rsplit_once('@')?;
        let (attempt, sequence) = rest.split_once(':')?;
        Some(Self { node_id: node_id.to_owned(), attempt: attempt.parse().ok()?, sequence: sequence.parse().ok()? })
    }

    fn has(&self, line: &v1::LogLine) -> bool {
        line.node_id == self.node_id && line.attempt == self.attempt && line.sequence <= self.sequence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_is_not_told_again_and_nothing_else_is_left_out() {
        let heard = Heard::read("child/fetch[3]@2:41").unwrap();
        let line = |node: &str, attempt, sequence| v1::LogLine {
            node_id: node.into(),
            attempt,
            sequence,
            ..v1::LogLine::default()
        };
        assert!(heard.has(&line("child/fetch[3]", 2, 0)) && heard.has(&line("child/fetch[3]", 2, 41)));
        for new in [line("child/fetch[3]", 2, 42), line("child/fetch[3]", 1, 0), line("child/fetch[4]", 2, 0)] {
            assert!(!heard.has(&new), "{new:?}");
        }
        for odd in ["", "a", "a@", "a@1", "a@x:1", "a@1:x", "@", ":"] {
            assert_eq!(Heard::read(odd), None, "{odd}");
        }
    }
}

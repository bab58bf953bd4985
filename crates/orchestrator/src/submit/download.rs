//! What a run or a node of it returned, sent in pieces.

use std::sync::Arc;

use qflow_model::{access::Caller, progress::RunState, status::NodeStatus, value::Argument};
use qflow_proto::v1::{self, download_result_response::Part};
use tokio::sync::mpsc;
use tonic::Status;

use super::{Server, lines::is_known};
use crate::result::{
    Error,
    download::{self, Download},
};

/// Pieces that are ready before a slow client takes them.
const AHEAD: usize = 2;

/// Says what comes, and has it come.
pub(super) async fn begin(
    server: &Server,
    caller: &Caller,
    request: v1::DownloadResultRequest,
) -> Result<mpsc::Receiver<Result<v1::DownloadResultResponse, Status>>, Status> {
    let v1::DownloadResultRequest { run_id, node_id, content, raw } = request;
    let state = server.run_named(caller, &run_id).await?;
    let (run, blobs) = (state.spec.id, Arc::clone(&server.blobs));
    let result = if node_id.is_empty() { of_run(&state)? } else { of_node(&state, &node_id)? };
    let what = download::look(&blobs, run, &result, content, raw).await.map_err(|e| refused(&e))?;
    let (to, from) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let form = Part::Form(form(&what));
        if to.send(Ok(answer(form))).await.is_err() {
            return;
        }
        let (pieces, mut read) = mpsc::channel(AHEAD);
        let sending = tokio::spawn(download::send(blobs, run, what, pieces));
        while let Some(piece) = read.recv().await {
            if to.send(Ok(answer(Part::Chunk(piece.into())))).await.is_err() {
                return;
            }
        }
        // Without its end the client does not take what came for the whole.
        let ended = sending.await.unwrap_or_else(|e| Err(Error::Unreadable(e.to_string())));
        if let Err(error) = ended {
            drop(to.send(Err(refused(&error))).await);
        }
    });
    Ok(from)
}

fn of_run(state: &RunState) -> Result<Argument, Status> {
    state.head.result.clone().ok_or_else(|| {
        let (id, status) = (state.spec.id, state.head.status);
        Status::failed_precondition(format!("run {id} is {status} and has no result"))
    })
}

fn of_node(state: &RunState, node_id: &str) -> Result<Argument, Status> {
    let id = state.spec.id;
    if let Err(known) = is_known(&state.plan, node_id) {
        return Err(Status::not_found(format!("run {id} has no node `{node_id}`; it has {}", known.join(", "))));
    }
    let run = state.find(node_id).and_then(|key| Some((key, state.node(key)?)));
    match run {
        Some((key, run)) if run.status == NodeStatus::Completed => Ok(state.value_of(key)),
        Some((_, run)) => Err(Status::failed_precondition(format!("`{node_id}` is {} and has no result", run.status))),
        None => Err(Status::not_found(format!("run {id} has no node `{node_id}`"))),
    }
}

fn form(what: &Download) -> v1::ResultForm {
    match what {
        Download::Plain { .. } => v1::ResultForm { kind: "json".to_owned(), name: String::new(), size: None },
        Download::Content { attachment, name } => {
            v1::ResultForm { kind: attachment.kind.clone(), name: name.clone(), size: Some(attachment.size) }
        }
    }
}

fn answer(part: Part) -> v1::DownloadResultResponse {
    v1::DownloadResultResponse { part: Some(part) }
}

fn refused(error: &Error) -> Status {
    match error {
        Error::Blob(source) => Status::unavailable(format!("{error}: {source}")),
        Error::NoContent { .. } => Status::not_found(error.to_string()),
        Error::TooLarge(_) => Status::failed_precondition(error.to_string()),
        Error::Unreadable(_) => Status::internal(error.to_string()),
    }
}

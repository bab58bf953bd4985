//! Pause and resume: what may be asked of which run, and which node runs a decision is for.

use qflow_model::{ids::NodeKey, progress::RunState, status::RunStatus};
use tonic::Status;

/// Node runs that a refusal lists: past it the rest is counted.
const LISTED: usize = 10;

/// Whether a run may be paused.
pub(super) fn may_pause(state: &RunState) -> Result<(), Status> {
    may(state, "paused")
}

/// What a resumption decides, once it is known that it may: node runs to try again, and to fail.
pub(super) fn decisions(
    state: &RunState,
    retry: &[String],
    fail: &[String],
) -> Result<(Vec<NodeKey>, Vec<NodeKey>), Status> {
    may(state, "resumed")?;
    let (retry, fail) = (all(state, retry)?, all(state, fail)?);
    if let Some(both) = retry.iter().find(|key| fail.contains(key)) {
        return Err(Status::invalid_argument(format!(
            "`{}` cannot both be tried again and fail",
            state.node_id(*both)
        )));
    }
    let undecided = state.head.status == RunStatus::Paused && state.head.reason.is_none();
    if undecided && retry.is_empty() && fail.is_empty() {
        let message = format!("run {}{}: {}", state.spec.id, asked(state), "say --retry NODE or --fail NODE of each");
        return Err(Status::failed_precondition(message));
    }
    Ok((retry, fail))
}

fn may(state: &RunState, what: &str) -> Result<(), Status> {
    let (id, status) = (state.spec.id, state.head.status);
    if status.is_terminal() {
        let message = format!("run {id} is {status}: only one that has not ended can be {what}");
        return Err(Status::failed_precondition(message));
    }
    Ok(())
}

fn all(state: &RunState, named: &[String]) -> Result<Vec<NodeKey>, Status> {
    let keys: Vec<Vec<NodeKey>> = named.iter().map(|id| chosen(state, id)).collect::<Result<_, _>>()?;
    let mut keys: Vec<NodeKey> = keys.into_iter().flatten().collect();
    keys.sort();
    keys.dedup();
    Ok(keys)
}

/// The node run of that id, or of a mapped step its elements, that needs a decision.
fn chosen(state: &RunState, id: &str) -> Result<Vec<NodeKey>, Status> {
    let run = state.spec.id;
    let Some(named) = state.find(id) else {
        return Err(Status::not_found(format!("run {run} has no node `{id}`{}", asked(state))));
    };
    let of_it: Vec<NodeKey> = state.attention().filter(|key| *key == named || key.own() == named).collect();
    if of_it.is_empty() {
        let status = state.node(named).map_or_else(String::new, |node| format!(" is {} and", node.status));
        let message = format!("`{id}` of run {run}{status} needs no decision{}", asked(state));
        return Err(Status::failed_precondition(message));
    }
    Ok(of_it)
}

/// Which node runs do need one.
fn asked(state: &RunState) -> String {
    let ids: Vec<String> = state.attention().take(LISTED).map(|key| format!("`{}`", state.node_id(key))).collect();
    match state.attention().count() {
        0 => "; no node of it needs a decision".to_owned(),
        count if count > LISTED => format!("; {} and {} more need a decision", ids.join(", "), count - LISTED),
        1 => format!("; {} needs a decision", ids.join(", ")),
        _ => format!("; {} need a decision", ids.join(", ")),
    }
}

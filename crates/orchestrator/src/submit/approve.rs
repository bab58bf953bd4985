//! Which approval an answer is for, and what was answered before.

use qflow_model::{
    definition::StepKind,
    ids::NodeKey,
    progress::{NodeRun, RunState},
    status::NodeStatus,
};
use tonic::Status;

/// Approvals that a refusal lists: past it the rest is counted.
const LISTED: usize = 10;

/// The approval of that id or name; without one the only one that waits.
pub(super) fn choose(state: &RunState, named: &str) -> Result<NodeKey, Status> {
    let name = |key: NodeKey| match &state.planned(key).kind {
        StepKind::Approval { name, .. } => Some(name.as_str()),
        _ => None,
    };
    if let Some(key) = state.find(named) {
        return match name(key) {
            Some(_) => Ok(key),
            None => Err(Status::invalid_argument(format!("`{named}` is no approval{}", waiting_list(state)))),
        };
    }
    let all: Vec<(NodeKey, &NodeRun)> =
        state.nodes().filter(|(key, _)| name(*key).is_some_and(|name| named.is_empty() || name == named)).collect();
    let waiting: Vec<NodeKey> =
        all.iter().filter(|(_, run)| run.status == NodeStatus::Running).map(|(key, _)| *key).collect();
    match (waiting[..].len(), &all[..]) {
        (1, _) => Ok(waiting[0]),
        (0, [(key, _)]) if !named.is_empty() => Ok(*key),
        (0, []) if !named.is_empty() => {
            Err(Status::not_found(format!("run {} has no approval `{named}`{}", state.spec.id, waiting_list(state))))
        }
        (0, _) => Err(Status::failed_precondition(format!(
            "run {} is {} and waits for no approval",
            state.spec.id, state.head.status
        ))),
        _ => Err(Status::invalid_argument(format!("say which{}", waiting_list(state)))),
    }
}

fn waiting_list(state: &RunState) -> String {
    let waits = |(key, run): (NodeKey, &NodeRun)| match &state.planned(key).kind {
        StepKind::Approval { name, .. } if run.status == NodeStatus::Running => {
            Some(format!("{} (`{name}`)", state.node_id(key)))
        }
        _ => None,
    };
    let mut all: Vec<String> = state.nodes().filter_map(waits).collect();
    let more = all.len().saturating_sub(LISTED);
    all.truncate(LISTED);
    match (all.is_empty(), more) {
        (true, _) => "; it waits for none".to_owned(),
        (false, 0) => format!("; it waits for {}", all.join(", ")),
        (false, more) => format!("; it waits for {} and {more} more", all.join(", ")),
    }
}

/// Whether the approval has this answer already; an error where it has another, or none can be given.
pub(super) fn is_answered(state: &RunState, key: NodeKey, approved: bool) -> Result<bool, Status> {
    let id = state.node_id(key);
    let run = state.node(key).ok_or_else(|| Status::not_found(format!("no node `{id}`")))?;
    match run.detail.as_ref().and_then(|detail| detail.answered.as_deref()) {
        Some(known) if known.approved == approved && known.by.is_some() => Ok(true),
        Some(known) => {
            let answer = if known.approved { "approved" } else { "rejected" };
            let by = known.by.as_deref().map_or_else(|| "nobody: its time was up".to_owned(), ToOwned::to_owned);
            let at = qflow_model::instant::text(known.at);
            Err(Status::failed_precondition(format!("`{id}` was already {answer} at {at} by {by}")))
        }
        None if run.status == NodeStatus::Running => Ok(false),
        None => Err(Status::failed_precondition(format!("`{id}` is {} and waits for no answer", run.status))),
    }
}

//! Runs as clients see them.

use qflow_blobs::Blobs;
use qflow_model::{
    definition::StepKind,
    ids::Timestamp,
    instant,
    plan::{Plan, PlannedStep},
    progress::{Asked, NodeRun, RunHead, RunSpec, RunState},
    status::{NodeStatus, RunStatus},
};
use qflow_proto::v1;
use serde::Serialize;

use crate::{
    bus::{Bus, Changed, Doing, Shown},
    record::Listed,
    result,
};

/// Elements of maps that an answer lists although they completed: past it only the others are, so that an answer fits a message.
const ELEMENTS: usize = 2_000;

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// A point of time on the wire.
pub(super) fn time(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.0.div_euclid(1_000_000), nanos: (at.0.rem_euclid(1_000_000) * 1000) as i32 }
}

fn head(spec: &RunSpec, workflow: &str, head: &RunHead) -> v1::Run {
    v1::Run {
        run_id: spec.id.to_string(),
        workflow: workflow.to_owned(),
        status: head.status.to_string(),
        reason: paused(spec, head)
            .or_else(|| head.asked.as_ref().map(|asked| waits_for(spec, asked)))
            .unwrap_or_default(),
        result_json: Vec::new(),
        error_json: head.error.as_ref().map(json).unwrap_or_default(),
        trace_id: spec.trace.trace_id.clone(),
        created_at: Some(time(spec.created_at)),
        started_at: head.started_at.map(time),
        ended_at: head.ended_at.map(time),
        nodes: Vec::new(),
        user: spec.user.clone(),
        tenant: spec.tenant.clone(),
        nodes_completed: 0,
        nodes_total: 0,
        paused_at: head.paused_at.map(time),
    }
}

/// A run in a list: without nodes and result.
pub(super) fn listed(one: &Listed) -> v1::Run {
    head(&one.spec, &one.workflow, &one.head)
}

/// A run with its nodes, and its result where it has one.
pub(super) async fn whole(state: &RunState, bus: &dyn Bus, blobs: &Blobs) -> v1::Run {
    let mut run = head(&state.spec, &state.plan.workflow, &state.head);
    (run.nodes_completed, run.nodes_total) = state.counts();
    let mut left = ELEMENTS;
    let shown = state.nodes().filter(|(key, node)| {
        let is_part = key.index.is_some() || !key.frame.is_root();
        let counts = is_part && matches!(node.status, NodeStatus::Completed | NodeStatus::Skipped);
        left = left.saturating_sub(usize::from(counts));
        !counts || left > 0
    });
    let shown = shown.map(|(key, node)| Shown::of(state, key, node.clone()));
    run.nodes = shown.map(|node| one_node(&state.plan, bus, &state.spec, &node)).collect();
    if let Some(result) = &state.head.result {
        match result::plain(blobs, state.spec.id, result).await {
            Ok(value) => run.result_json = json(&value),
            Err(error) => {
                let source = std::error::Error::source(&error).map_or_else(String::new, |source| format!(": {source}"));
                run.reason = format!("{error}{source}");
            }
        }
    }
    run
}

/// What changed of a run.
pub(super) fn changed(changed: &Changed, bus: &dyn Bus) -> v1::Run {
    let Changed { spec, plan, head: row, counts, nodes } = changed;
    let mut run = head(spec, &plan.workflow, row);
    (run.nodes_completed, run.nodes_total) = *counts;
    run.nodes = nodes.iter().map(|node| one_node(plan, bus, spec, node)).collect();
    run
}

/// Why a run is paused, or was cancelled, and what to do about it.
fn paused(spec: &RunSpec, head: &RunHead) -> Option<String> {
    let id = spec.id;
    let attention = head.needs_attention.as_ref().map(|attention| {
        let node = &attention.node_id;
        format!("{attention}; look what it did, then: qflow runs resume {id} --retry {node}, or --fail {node}")
    });
    let reason = head.reason.clone().map(|reason| match head.status {
        RunStatus::Paused if attention.is_none() => format!("{reason}; it goes on with: qflow runs resume {id}"),
        _ => reason,
    });
    let all: Vec<String> = reason.into_iter().chain(attention).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// What a run waits for people to answer, and how it is answered.
fn waits_for(spec: &RunSpec, asked: &Asked) -> String {
    let Asked { node_id, name, count } = asked;
    let others = if *count > 1 { format!(" and {} more", count - 1) } else { String::new() };
    format!("waits for approval `{name}`{others}: qflow approve {} {node_id}", spec.id)
}

fn one_node(plan: &Plan, bus: &dyn Bus, spec: &RunSpec, shown: &Shown) -> v1::Node {
    let Shown { key, node_id, workflow, run: node } = shown;
    let step = plan.step(*workflow, key.step);
    let above = node_id.rfind('/').map_or("", |end| &node_id[..=end]);
    let detail = node.detail.as_deref();
    let doing = (!node.status.is_terminal()).then(|| bus.what(spec.id, *key).or_else(|| waits(step, node))).flatten();
    let (doing, progress) = doing.unwrap_or((String::new(), -1.0));
    v1::Node {
        node_id: node_id.clone(),
        status: node.status.to_string(),
        attempts: node.attempt,
        phases_json: detail.filter(|_| node.attempt > 0).map(|d| json(&d.phases)).unwrap_or_default(),
        error_json: detail.and_then(|d| d.failure.as_ref()).map(json).unwrap_or_default(),
        container_id: detail.map(|d| d.container_id.clone()).unwrap_or_default(),
        length: node.map.map_or(0, |map| map.length),
        completed: node.map.map_or(0, |map| map.completed),
        needs: step.needs.iter().map(|need| format!("{above}{}", plan.step(*workflow, *need).id)).collect(),
        doing,
        progress,
        warnings: detail.map(|d| d.warnings.clone()).unwrap_or_default(),
        python_version: step
            .environment
            .map_or_else(String::new, |environment| plan.environments[environment as usize].python.to_string()),
        node_type: Plan::node_type(step).to_owned(),
        failed: node.map.map_or(0, |map| map.failed),
        settled: step.settled,
        approval: match (&step.kind, node.status) {
            (StepKind::Approval { name, .. }, NodeStatus::Running) => name.clone(),
            _ => String::new(),
        },
        answered_json: detail.and_then(|d| d.answered.as_ref()).map(json).unwrap_or_default(),
        reused_from_json: detail.and_then(|d| d.reused.as_ref()).map(json).unwrap_or_default(),
    }
}

/// What a wait says that it does.
fn waits(step: &PlannedStep, node: &NodeRun) -> Option<Doing> {
    let until = node.detail.as_ref().and_then(|detail| detail.until).map(instant::text);
    let text = match (&step.kind, node.status, until) {
        (StepKind::Node { .. }, NodeStatus::Retrying, _) if node.ready_at.is_none() => {
            "needs attention: it may have done its work".to_owned()
        }
        (StepKind::Sleep, NodeStatus::Running, Some(until)) => format!("sleeping until {until}"),
        (StepKind::Approval { name, .. }, NodeStatus::Running, None) => format!("waits for approval `{name}`"),
        (StepKind::Approval { name, .. }, NodeStatus::Running, Some(until)) => {
            format!("waits for approval `{name}` until {until}")
        }
        _ => return None,
    };
    Some((text, -1.0))
}

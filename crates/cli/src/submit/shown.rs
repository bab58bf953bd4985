//! Runs, nodes, lines and pools as answers have them, in plain structures.

use qflow_model::{
    outcome::{Failure, Phases},
    progress::{Answered, ReusedFrom, RunError},
    status::{NodeStatus, RunStatus},
};
use qflow_proto::v1;
use serde_json::Value;

use super::refusal::read;
use crate::exit::{Exit, Fail};

/// A run as shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its id.
    pub run_id: String,
    /// Its workflow.
    pub workflow: String,
    /// Where it stands.
    pub status: RunStatus,
    /// Why it is paused.
    pub reason: String,
    /// What it returned, in the plain form.
    pub result: Option<Value>,
    /// Why it did not complete.
    pub error: Option<RunError>,
    /// Its trace.
    pub trace_id: String,
    /// When it was accepted, RFC 3339.
    pub created_at: Option<String>,
    /// When its first node was ready.
    pub started_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// Since when it is paused, where it is.
    pub paused_at: Option<String>,
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// How many completed.
    pub nodes_completed: u32,
    /// How many there are.
    pub nodes_total: u32,
}

/// A node run as shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// `fetch`, `fetch-2`, `fetch[3]`.
    pub node_id: String,
    /// Where it stands.
    pub status: NodeStatus,
    /// How often it was begun.
    pub attempts: u32,
    /// Where its time went.
    pub phases: Option<Phases>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// Elements, where it is mapped.
    pub length: u32,
    /// Elements completed.
    pub completed: u32,
    /// Steps whose results it needs.
    pub needs: Vec<String>,
    /// What it is doing.
    pub doing: String,
    /// 0 to 1 where known.
    pub progress: Option<f64>,
    /// Things to know although it completed.
    pub warnings: Vec<String>,
    /// `python`, `workflow`, `wait`, `approval`.
    pub node_type: String,
    /// Elements that ended otherwise than well.
    pub failed: u32,
    /// The name of an approval that waits for an answer.
    pub approval: Option<String>,
    /// What was answered to it.
    pub answered: Option<Answered>,
    /// Where its value was made, where no attempt of this run made it.
    pub reused_from: Option<ReusedFrom>,
}

/// A line that a node's code wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// By whom.
    pub node_id: String,
    /// `stdout`, `stderr`, `log`; `gap` where lines are missing.
    pub stream: String,
    /// The line.
    pub text: String,
    /// What `qflow.log` was given by name; the text has it too.
    pub fields: serde_json::Map<String, Value>,
    /// Which attempt.
    pub attempt: u32,
    /// Its place among the attempt's lines, from 0.
    pub sequence: u64,
    /// When, RFC 3339.
    pub at: Option<String>,
}

/// A pool as shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Attempts that hold it at once, at most.
    pub slots: u32,
    /// Attempts that begin within a minute, at most.
    pub per_minute: Option<u32>,
    /// Attempts that began within the last minute, where that is limited.
    pub started: u32,
    /// Longest first.
    pub holders: Vec<Holder>,
}

/// Who holds a slot of a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Holder {
    /// The run.
    pub run_id: String,
    /// The node run's id.
    pub node_id: String,
    /// The attempt's number.
    pub attempt: u32,
    /// Since when, RFC 3339.
    pub since: Option<String>,
}

/// A workflow as listed.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Workflow {
    /// Its name.
    pub name: String,
    /// Its source's digest.
    pub digest: String,
    /// When it was registered.
    pub registered_at: Option<String>,
}

pub(super) fn pool(sent: v1::Pool) -> Pool {
    let holder = |h: v1::PoolHolder| Holder {
        run_id: h.run_id,
        node_id: h.node_id,
        attempt: h.attempt,
        since: h.since.map(time),
    };
    Pool {
        name: sent.name,
        slots: sent.slots,
        per_minute: Some(sent.per_minute).filter(|most| *most > 0),
        started: sent.started,
        holders: sent.holders.into_iter().map(holder).collect(),
    }
}

pub(super) fn run(run: Option<v1::Run>) -> Result<Run, Fail> {
    let run = run.ok_or_else(|| Fail::new(Exit::Failed, "the server answered without a run"))?;
    let status = run.status.parse().map_err(|e| Fail::new(Exit::Failed, format!("the run's status: {e}")))?;
    Ok(Run {
        run_id: run.run_id,
        workflow: run.workflow,
        status,
        reason: run.reason,
        result: read(&run.result_json)?,
        error: read(&run.error_json)?,
        trace_id: run.trace_id,
        created_at: run.created_at.map(time),
        started_at: run.started_at.map(time),
        ended_at: run.ended_at.map(time),
        paused_at: run.paused_at.map(time),
        nodes: run.nodes.into_iter().map(node).collect::<Result<_, _>>()?,
        nodes_completed: run.nodes_completed,
        nodes_total: run.nodes_total,
    })
}

fn node(node: v1::Node) -> Result<Node, Fail> {
    let status = node.status.parse().map_err(|e| Fail::new(Exit::Failed, format!("the node's status: {e}")))?;
    Ok(Node {
        node_id: node.node_id,
        status,
        attempts: node.attempts,
        phases: read(&node.phases_json)?,
        error: read(&node.error_json)?,
        length: node.length,
        completed: node.completed,
        needs: node.needs,
        doing: node.doing,
        progress: (node.progress >= 0.0).then_some(node.progress),
        warnings: node.warnings,
        node_type: node.node_type,
        failed: node.failed,
        approval: Some(node.approval).filter(|name| !name.is_empty()),
        answered: read(&node.answered_json)?,
        reused_from: read(&node.reused_from_json)?,
    })
}

pub(super) fn time(at: impl Into<WireTime>) -> String {
    let WireTime(seconds, nanos) = at.into();
    jiff::Timestamp::new(seconds, nanos).map(|at| at.to_string()).unwrap_or_default()
}

pub(super) struct WireTime(i64, i32);

impl From<prost_types::Timestamp> for WireTime {
    fn from(at: prost_types::Timestamp) -> Self {
        Self(at.seconds, at.nanos)
    }
}

//! What answers look like, named as `qflow … -o json` names it.

mod access;

use qflow_model::{definition::Problem as Wrong, instant, progress, status::RunStatus};
use qflow_proto::v1;
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use utoipa::ToSchema;

pub(super) use access::{Audit, Entry, Made, Token, Tokens, Who};

/// A run.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Run {
    run_id: String,
    workflow: String,
    /// pending, running, paused, completed, failed, cancelled, timed_out
    status: String,
    /// What it returned, in the plain form; null until it completed.
    #[schema(value_type = Option<Value>)]
    result: Option<Box<RawValue>>,
    /// Why it did not complete.
    #[schema(value_type = Option<Object>)]
    error: Option<Value>,
    trace_id: String,
    /// RFC 3339, as all times here.
    created_at: Option<String>,
    started_at: Option<String>,
    ended_at: Option<String>,
    /// Since when it is paused.
    paused_at: Option<String>,
    /// Why it is paused and what to do about it, or what it waits for people to answer.
    reason: Option<String>,
    user: String,
    tenant: String,
    nodes_completed: u32,
    nodes_total: u32,
    /// Its nodes; none in lists.
    nodes: Vec<Node>,
}

/// A node run.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Node {
    /// `fetch`, `fetch-2`, `fetch[3]`, `child/fetch`
    node_id: String,
    /// waiting, ready, leased, running, retrying, completed, failed, cancelled, timed_out, skipped, upstream_failed
    status: String,
    attempts: u32,
    /// Where the last attempt's time went, in milliseconds.
    #[schema(value_type = Option<Object>)]
    phases: Option<Value>,
    /// Why it failed.
    #[schema(value_type = Option<Object>)]
    error: Option<Value>,
    /// python, workflow, wait, approval
    #[serde(rename = "type")]
    node_type: String,
    /// Steps whose results it needs.
    needs: Vec<String>,
    /// Of a mapped step: elements, and how many completed and failed; 0 else.
    length: u32,
    completed: u32,
    failed: u32,
    /// What it is doing in words.
    doing: Option<String>,
    /// 0 to 1 where its code told its progress.
    progress: Option<f64>,
    warnings: Vec<String>,
    python_version: Option<String>,
    container_id: Option<String>,
    /// The approval that waits for an answer.
    waits_for: Option<String>,
    /// What was answered.
    answered: Option<Answered>,
    /// Where its value was made, where no attempt of this run made it.
    #[schema(value_type = Option<Object>)]
    reused_from: Option<Value>,
}

/// An answer to an approval.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Answered {
    approved: bool,
    /// Who answered; null where its time was up.
    by: Option<String>,
    comment: String,
    at: String,
}

/// A page of runs, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Runs {
    pub(super) runs: Vec<Run>,
    /// `cursor` of the page after this one; null where this is the last.
    pub(super) next: Option<String>,
}

/// A run that was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Started {
    pub(super) run_id: String,
    /// False where the `Idempotency-Key` named a run that was there.
    pub(super) created: bool,
    pub(super) trace_id: String,
    /// What is to be said of the source although it is accepted.
    #[schema(value_type = Vec<Object>)]
    pub(super) warnings: Vec<Wrong>,
}

/// A workflow that was registered or run.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Workflow {
    pub(super) name: String,
    /// Of its newest source.
    pub(super) digest: String,
    pub(super) registered_at: Option<String>,
}

/// All of them, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Workflows {
    pub(super) workflows: Vec<Workflow>,
}

/// A source that was read, checked and kept.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Registered {
    /// Of the source: `POST /runs` takes it.
    pub(super) digest: String,
    /// Its workflows and nodes, as `qflow validate -o json` prints them.
    #[schema(value_type = Object)]
    pub(super) definition: Value,
    #[schema(value_type = Vec<Object>)]
    pub(super) warnings: Vec<Wrong>,
}

/// Slots that node runs of any number of runs share.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Pool {
    name: String,
    slots: u32,
    /// Attempts that begin within a minute, at most; null for any number.
    per_minute: Option<u32>,
    started: u32,
    holders: Vec<Holder>,
}

/// Who holds a slot.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Holder {
    run_id: String,
    node_id: String,
    attempt: u32,
    since: Option<String>,
}

/// Pools as they stand now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Pools {
    pub(super) pools: Vec<Pool>,
}

/// A line that user code wrote.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Line {
    node_id: String,
    attempt: u32,
    /// Grows by one per line of an attempt, from 0.
    sequence: u64,
    at: Option<String>,
    /// stdout, stderr, log; gap where lines are missing.
    stream: String,
    text: String,
    /// What `qflow.log` was given by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    fields: Option<Value>,
}

/// Lines of a run so far.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Lines {
    pub(super) lines: Vec<Line>,
}

/// Content that was taken in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Uploaded {
    /// SHA-256, in hexadecimal: `uploads` of `POST /runs` takes it.
    pub(super) digest: String,
    /// Bytes.
    pub(super) size: u64,
}

/// A text that says something, or nothing.
pub(super) fn said(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

pub(super) fn time(at: Option<prost_types::Timestamp>) -> Option<String> {
    at.and_then(|at| jiff::Timestamp::new(at.seconds, at.nanos).ok()).map(|at| at.to_string())
}

/// JSON of the wire; nothing where there is none.
pub(super) fn read<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    // What this house wrote can be read.
    serde_json::from_slice(bytes).ok()
}

impl Run {
    /// Whether it has ended.
    pub(super) fn is_over(&self) -> bool {
        self.status.parse().is_ok_and(RunStatus::is_terminal)
    }
}

impl From<v1::Run> for Run {
    fn from(run: v1::Run) -> Self {
        Self {
            result: String::from_utf8(run.result_json).ok().and_then(|text| RawValue::from_string(text).ok()),
            error: read(&run.error_json),
            run_id: run.run_id,
            workflow: run.workflow,
            status: run.status,
            trace_id: run.trace_id,
            created_at: time(run.created_at),
            started_at: time(run.started_at),
            ended_at: time(run.ended_at),
            paused_at: time(run.paused_at),
            reason: said(run.reason),
            user: run.user,
            tenant: run.tenant,
            nodes_completed: run.nodes_completed,
            nodes_total: run.nodes_total,
            nodes: run.nodes.into_iter().map(Node::from).collect(),
        }
    }
}

impl From<v1::Node> for Node {
    fn from(node: v1::Node) -> Self {
        Self {
            phases: read(&node.phases_json),
            error: read(&node.error_json),
            answered: read::<progress::Answered>(&node.answered_json).map(Answered::from),
            reused_from: read(&node.reused_from_json),
            node_id: node.node_id,
            status: node.status,
            attempts: node.attempts,
            node_type: node.node_type,
            needs: node.needs,
            length: node.length,
            completed: node.completed,
            failed: node.failed,
            doing: said(node.doing),
            progress: Some(node.progress).filter(|progress| *progress >= 0.0),
            warnings: node.warnings,
            python_version: said(node.python_version),
            container_id: said(node.container_id),
            waits_for: said(node.approval),
        }
    }
}

impl From<progress::Answered> for Answered {
    fn from(given: progress::Answered) -> Self {
        Self { approved: given.approved, by: given.by, comment: given.comment, at: instant::text(given.at) }
    }
}

impl From<v1::Pool> for Pool {
    fn from(pool: v1::Pool) -> Self {
        let holder = |held: v1::PoolHolder| Holder {
            run_id: held.run_id,
            node_id: held.node_id,
            attempt: held.attempt,
            since: time(held.since),
        };
        Self {
            name: pool.name,
            slots: pool.slots,
            per_minute: Some(pool.per_minute).filter(|most| *most > 0),
            started: pool.started,
            holders: pool.holders.into_iter().map(holder).collect(),
        }
    }
}

impl From<v1::LogLine> for Line {
    fn from(line: v1::LogLine) -> Self {
        Self {
            fields: read(&line.fields_json),
            node_id: line.node_id,
            attempt: line.attempt,
            sequence: line.sequence,
            at: time(line.at),
            stream: line.stream,
            text: line.text,
        }
    }
}

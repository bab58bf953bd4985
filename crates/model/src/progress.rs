//! The life of a run: a pure state machine over its plan. The shell feeds inputs, commits what is dirty, then performs effects.

mod answer;
mod attempt;
mod call;
mod event;
mod follow;
mod index;
mod pause;
mod ready;
mod resolve;
mod restored;
mod rows;
mod step;
#[cfg(test)]
mod tests;
mod wait;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

pub use event::{Effect, Happening, Input, KillReason, Refused};
pub use pause::QUARANTINED;
pub use restored::Ahead;
use rows::Rows;
use serde::{Deserialize, Serialize};

use crate::{
    environment::EnvLock,
    ids::{Digest, FrameIx, NodeKey, RunId, Timestamp},
    outcome::{Failure, Phases},
    plan::{Plan, WorkflowIx},
    status::{NodeStatus, RunStatus},
    value::{Argument, Produced},
};

/// The identity of a run's root span, kept with the run so that it survives a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceContext {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// The root span, 16 hexadecimal digits.
    pub span_id: String,
    /// The caller's span, where the run was started under one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<String>,
    /// W3C flags; 1 is sampled.
    pub flags: u8,
    /// W3C `tracestate`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
}

/// What never changes of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The run.
    pub id: RunId,
    /// Whose it is.
    pub tenant: String,
    /// Who started it.
    pub user: String,
    /// Its plan's digest.
    pub plan: Digest,
    /// Its parameters.
    pub params: BTreeMap<String, Box<Produced>>,
    /// Its trace.
    pub trace: TraceContext,
    /// When its submission was committed.
    pub created_at: Timestamp,
    /// Its nodes run although their outputs are kept; what they make is kept anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_cache: bool,
}

/// What changes of a run as a whole: one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunHead {
    /// Where it stands.
    pub status: RunStatus,
    /// Why it is paused, or was cancelled; none where only a decision about a node run holds it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when it is paused, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Timestamp>,
    /// When its first node became ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Which way each branch went, by position; `None` while undecided.
    pub branches: Vec<Option<bool>>,
    /// The lock of each environment of the plan, by position; `None` while not locked.
    pub locks: Vec<Option<Arc<EnvLock>>>,
    /// Why an environment could not be locked, by position: its nodes fail with this once they are ready.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lock_errors: BTreeMap<u32, Failure>,
    /// What it returned: to be assembled by whoever reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Argument>,
    /// Why it failed, and at which node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RunError>,
    /// What it waits for people to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// Node runs that somebody is to decide about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs_attention: Option<Attention>,
    /// How often it was restarted from its failed nodes.
    #[serde(default)]
    pub restarts: u32,
    /// How often its processing crashed the orchestrator, since it was last resumed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub crashes: u32,
    /// Numbers of attempts up to this one are left to the system that the run was restored from.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts_before: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks for it")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Why a run did not complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunError {
    /// The deciding node's id (`fetch[3]`), or none where the run itself was at fault.
    pub node_id: Option<String>,
    /// What happened there.
    pub failure: Failure,
    /// Whether its time was up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timed_out: bool,
}

/// One node run: one row. Kept small: a run may have 100,000.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeRun {
    /// Where it stands.
    pub status: NodeStatus,
    /// The newest attempt's number; 0 before the first.
    pub attempt: u32,
    /// Retries the user's policy gave.
    pub user_retries: u32,
    /// Retries that faults of the platform took.
    pub infra_retries: u32,
    /// Since when it was ready, or when it will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<Timestamp>,
    /// The current attempt, or what the last one left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Box<NodeDetail>>,
    /// A mapped step's extent, once its lists are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<MapExtent>,
    /// The frame of a workflow's call, once it is opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Box<Call>>,
}

/// A call of a workflow: what a run's row has of the run's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Where its steps are.
    pub frame: FrameIx,
    /// Which way each branch went, by position; `None` while undecided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<Option<bool>>,
    /// What made it fail, and at which node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Box<RunError>>,
}

/// What was answered to an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// Yes or no.
    pub approved: bool,
    /// Who answered; nobody, where its time was up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What they said to it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// When.
    pub at: Timestamp,
}

/// What a run waits for people to answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The id of the first approval that waits.
    pub node_id: String,
    /// Its name.
    pub name: String,
    /// How many wait.
    pub count: u32,
}

/// Node runs that are not idempotent, may have done their work, and are gone: somebody has to decide about each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attention {
    /// The id of the first of them.
    pub node_id: String,
    /// How many there are.
    pub count: u32,
}

/// How far a mapped step is: its elements become node runs when they are leased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapExtent {
    /// Elements in all.
    pub length: u32,
    /// Elements leased so far: the next to be leased has this index.
    pub cursor: u32,
    /// Elements completed.
    pub completed: u32,
    /// Elements that ended otherwise, those whose failure is a value too.
    pub failed: u32,
}

/// What is known of a node run once it was leased.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeDetail {
    /// Who holds or held it.
    pub runner: String,
    /// When it was leased.
    pub leased_at: Timestamp,
    /// When the runner began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Where it ran.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub container_id: String,
    /// Where the time went.
    #[serde(default)]
    pub phases: Phases,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub produced: Option<Box<Produced>>,
    /// Its error, of the newest attempt that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Box<Failure>>,
    /// Things the user should know, though it completed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// When a wait ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What was answered to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<Box<Answered>>,
    /// Where its value was made, where no attempt of this run made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused: Option<Box<ReusedFrom>>,
    /// Attempts before the newest whose outcomes were taken: each was followed by another, by the user's policy or since the run was run
    /// again. As few as a policy and people ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<u32>,
}

/// The attempt that made a value which is reused: it may have left with its run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReusedFrom {
    /// Its run.
    pub run_id: RunId,
    /// The node run's id there.
    pub node_id: String,
    /// Its number.
    pub attempt: u32,
}

/// A run in memory: what its one writer knows of it.
#[derive(Clone, Debug)]
pub struct RunState {
    /// What never changes.
    pub spec: Arc<RunSpec>,
    /// What it does.
    pub plan: Arc<Plan>,
    /// The run's row.
    pub head: RunHead,
    /// Instances of workflows: the run's own, then one for each call that was opened.
    frames: Vec<Frame>,
    /// Node runs that may be leased; a mapped step stands here under its own key while elements are left to lease.
    ready: BTreeSet<NodeKey>,
    /// When to look again at which node run: a retry's time, a time-out, the end of a wait.
    timers: BTreeSet<(Timestamp, NodeKey)>,
    /// Approvals that nobody has answered.
    asked: BTreeSet<NodeKey>,
    /// Node runs that somebody is to decide about: `retrying`, and without a time.
    attention: BTreeSet<NodeKey>,
    /// Mapped calls of workflows with elements left to open, and room for them.
    opening: BTreeSet<NodeKey>,
    /// Steps that nothing is left to wait for, to be looked at before the input is done; empty between inputs.
    unblocked: VecDeque<NodeKey>,
    /// Frames to be looked at whether they have ended; empty between inputs.
    closing: VecDeque<FrameIx>,
    /// Node runs that are there or that opened maps will bring.
    node_runs: u32,
    /// Attempts held by runners, by function.
    held_by_function: BTreeMap<String, u32>,
}

/// An instance of a workflow: its steps.
#[derive(Clone, Debug)]
struct Frame {
    workflow: WorkflowIx,
    /// Who called it: a node run of a frame before it.
    caller: Option<NodeKey>,
    /// Rows of node runs by step, and the elements of mapped ones.
    steps: Rows,
    /// How many needs of each step have not ended.
    open: Vec<u32>,
    /// Steps that have not ended.
    left: u32,
    /// Attempts held by runners, those in frames below it too.
    held: u32,
}

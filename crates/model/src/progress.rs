//! The life of a run: a pure state machine over its plan. The shell feeds inputs, commits what is dirty, then performs effects.

mod machine;
mod resolve;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    environment::EnvLock,
    ids::{AttemptKey, Digest, NodeKey, RunId, Timestamp},
    outcome::{Failure, Outcome, Phases},
    plan::Plan,
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
    pub params: BTreeMap<String, Produced>,
    /// Its trace.
    pub trace: TraceContext,
    /// When its submission was committed.
    pub created_at: Timestamp,
}

/// What changes of a run as a whole: one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunHead {
    /// Where it stands.
    pub status: RunStatus,
    /// Why it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
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
    /// How often it was restarted from its failed nodes.
    #[serde(default)]
    pub restarts: u32,
}

/// Why a run did not complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunError {
    /// The deciding node's id (`fetch[3]`), or none where the run itself was at fault.
    pub node_id: Option<String>,
    /// What happened there.
    pub failure: Failure,
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
    /// Elements that ended otherwise.
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
}

/// Why an attempt is to be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KillReason {
    /// The run was cancelled, or stops because another node failed.
    Cancelled,
    /// Its time, or the run's, is up.
    TimedOut,
    /// A newer attempt took its place.
    Superseded,
}

/// What may happen to a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The run's submission was committed; a known lock for each environment, by position.
    Start {
        /// Locks to reuse.
        locks: Vec<Option<Arc<EnvLock>>>,
    },
    /// A runner answered what an environment resolves to.
    Locked {
        /// Position in the plan's environments.
        environment: u32,
        /// The lock, or why there is none (class `user` for an unsatisfiable requirement, `platform` for an index that cannot be reached).
        result: Result<Arc<EnvLock>, Box<Failure>>,
    },
    /// The dispatcher gives a ready node run to a runner.
    Lease {
        /// The node run, one of [`RunState::ready`].
        node: NodeKey,
        /// The runner's session.
        runner: String,
    },
    /// The runner began the attempt.
    Started {
        /// The attempt.
        key: AttemptKey,
        /// Where.
        container_id: String,
    },
    /// The runner says how the attempt ended.
    Ended {
        /// The attempt.
        key: AttemptKey,
        /// How.
        outcome: Box<Outcome>,
    },
    /// The runner was not heard of for a lease, or its stream said that it does not have the attempt.
    Lost {
        /// The attempt.
        key: AttemptKey,
        /// Why.
        reason: String,
    },
    /// Time has passed: a retry's or a time-out's may have come.
    Tick,
    /// Stop the run.
    Cancel {
        /// Who asked.
        by: String,
    },
    /// Lease nothing new.
    Pause {
        /// Why.
        reason: String,
    },
    /// Go on.
    Resume,
    /// Run a run that ended badly again from its failed nodes, the rest reused.
    RetryFailed {
        /// Who asked.
        by: String,
    },
}

/// What the shell must do after the commit of the state that came with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Write the run's row, in the transaction.
    SaveRun,
    /// Write a node run's row, in the transaction.
    SaveNode(NodeKey),
    /// Append to the run's history, in the transaction; afterwards tell watchers and telemetry.
    Record(Happening),
    /// Send the attempt to the runner that it was leased to.
    Dispatch(AttemptKey),
    /// Have the runner that holds it kill the attempt.
    Kill {
        /// The attempt.
        key: AttemptKey,
        /// Who holds it.
        runner: String,
        /// Why.
        reason: KillReason,
    },
    /// Have some runner lock an environment of the plan.
    Lock {
        /// Position in the plan's environments.
        environment: u32,
    },
    /// Call `step` with [`Input::Tick`] at that time or soon after; the earliest of several counts.
    Wake {
        /// When.
        at: Timestamp,
    },
    /// There may be something in [`RunState::ready`] that was not before.
    Ready,
}

/// A line of a run's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Happening {
    /// The run has begun.
    RunStarted,
    /// The run has ended, or was paused or resumed.
    RunStatus {
        /// Where it stands now.
        status: RunStatus,
        /// Why, where there is a why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// An attempt was leased.
    NodeLeased {
        /// Which.
        node: NodeKey,
        /// Its number.
        attempt: u32,
        /// To whom.
        runner: String,
        /// Milliseconds since it was ready.
        queued_ms: u64,
    },
    /// An attempt was begun by its runner.
    NodeStarted {
        /// Which.
        node: NodeKey,
        /// Its number.
        attempt: u32,
    },
    /// An attempt failed and another will follow.
    NodeRetry {
        /// Which.
        node: NodeKey,
        /// The number of the one that failed.
        attempt: u32,
        /// When the next is ready.
        at: Timestamp,
        /// `user` or `infrastructure`.
        kind: String,
        /// Why.
        failure: Box<Failure>,
    },
    /// A node run has ended.
    NodeEnded {
        /// Which.
        node: NodeKey,
        /// The attempt that decided; 0 where none ran.
        attempt: u32,
        /// How.
        status: NodeStatus,
        /// Why, where it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Box<Failure>>,
        /// Where its time went.
        phases: Phases,
    },
    /// A mapped step's length is known.
    MapOpened {
        /// Which.
        node: NodeKey,
        /// Elements.
        length: u32,
    },
    /// A branch was decided.
    BranchTaken {
        /// Its position.
        branch: u32,
        /// Whether its condition held.
        holds: bool,
    },
    /// An outcome came too late and changed nothing.
    Superseded {
        /// Which.
        node: NodeKey,
        /// Its number.
        attempt: u32,
    },
    /// The run was restarted from its failed nodes.
    Restarted {
        /// Who asked.
        by: String,
    },
}

/// Why an input changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The run has ended.
    #[error("the run is {0}")]
    Terminal(RunStatus),
    /// The input does not fit the run's state.
    #[error("not while the run is {0}")]
    Run(RunStatus),
    /// The input does not fit the node's state.
    #[error("not while the node is {0}")]
    Node(NodeStatus),
    /// The attempt is not the node's current one.
    #[error("attempt {given} is not the current attempt {current}")]
    Stale {
        /// The attempt's number that was given.
        given: u32,
        /// The current one.
        current: u32,
    },
    /// There is no such node run.
    #[error("no such node run")]
    Unknown,
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
    /// Rows of node runs by step, and the elements of mapped ones.
    steps: Vec<StepRuns>,
    /// How many needs of each step have not ended.
    open: Vec<u32>,
    /// Node runs that may be leased; a mapped step stands here under its own key while elements are left to lease.
    ready: BTreeSet<NodeKey>,
    /// When to look again at which node run: a retry's time or an attempt's time-out.
    timers: BTreeSet<(Timestamp, NodeKey)>,
    /// Attempts held by runners, in all and by function.
    held: u32,
    held_by_function: BTreeMap<String, u32>,
}

/// A step's node run, and its elements' where it is mapped.
#[derive(Clone, Debug)]
struct StepRuns {
    own: NodeRun,
    elements: Vec<NodeRun>,
}

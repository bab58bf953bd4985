//! What may happen to a run, what the shell must then do, and what its history keeps.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ReusedFrom;
#[cfg(doc)]
use super::RunState;
use crate::{
    environment::EnvLock,
    ids::{AttemptKey, FrameIx, NodeKey, Timestamp},
    outcome::{Failure, Outcome, Phases},
    progress::Answered,
    status::{NodeStatus, RunStatus},
    value::Produced,
};

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
    /// Its runner has not heard from the run's orchestrator for too long, and the node must not run twice.
    Fenced,
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
    /// What a ready node run would give is known: it completes without an attempt.
    Reuse {
        /// The node run, one of [`RunState::reusable`].
        node: NodeKey,
        /// Its value; the blobs of it are this run's.
        produced: Box<Produced>,
        /// Where it was made.
        from: ReusedFrom,
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
    /// Somebody answers an approval.
    Approve {
        /// Which.
        node: NodeKey,
        /// Yes or no.
        approved: bool,
        /// Who.
        by: String,
        /// What they say to it.
        comment: String,
    },
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
    /// Go on; node runs of [`RunState::attention`] are tried again, or fail.
    Resume {
        /// Those to try again.
        retry: Vec<NodeKey>,
        /// Those that fail.
        fail: Vec<NodeKey>,
        /// Who asked.
        by: String,
    },
    /// The orchestrator crashed in this run's processing.
    Crashed,
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
    /// A node run took its value from an earlier run; its end follows.
    NodeReused {
        /// Which.
        node: NodeKey,
        /// Where the value was made.
        from: ReusedFrom,
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
    /// An attempt is gone that may have done its work and must not be made twice.
    NeedsAttention {
        /// Which.
        node: NodeKey,
        /// Its number.
        attempt: u32,
        /// What became of it, as far as is known.
        failure: Box<Failure>,
    },
    /// Somebody decided about such an attempt.
    Decided {
        /// Which.
        node: NodeKey,
        /// Its number.
        attempt: u32,
        /// Whether the node is tried again, or fails.
        retry: bool,
        /// Who decided.
        by: String,
    },
    /// The orchestrator crashed in the run's processing.
    Crashed {
        /// So many times since it was last resumed.
        count: u32,
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
    /// A call of a workflow was opened.
    FrameOpened {
        /// The call.
        node: NodeKey,
        /// Where its steps are.
        frame: FrameIx,
        /// What is called.
        workflow: String,
    },
    /// A wait has begun: a sleep, or an approval that somebody is to answer.
    Waits {
        /// Which.
        node: NodeKey,
        /// When it ends by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// An approval was answered.
    Approved {
        /// Which.
        node: NodeKey,
        /// What, by whom.
        answered: Box<Answered>,
    },
    /// A branch was decided.
    BranchTaken {
        /// In which frame.
        #[serde(default, skip_serializing_if = "FrameIx::is_root")]
        frame: FrameIx,
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
    /// The approval was answered.
    #[error("already {}", if *approved { "approved" } else { "rejected" })]
    Answered {
        /// How.
        approved: bool,
    },
    /// A node run needs a decision that was not given.
    #[error("a node needs a decision: whether it is tried again or fails")]
    Undecided,
    /// There is no such node run.
    #[error("no such node run")]
    Unknown,
}

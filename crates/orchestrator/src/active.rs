//! Which runs are under way, as told to whoever watches the whole. Words may be lost, doubled or late: the greatest version counts.

use std::sync::Arc;

use qflow_model::{
    ids::{Epoch, RunId, Shard, Timestamp},
    progress::RunState,
    status::RunStatus,
};
use serde::{Deserialize, Serialize};

/// Words that go together.
pub type Words = Arc<Vec<Word>>;

/// A run that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    /// Its id.
    pub run: RunId,
    /// Its workflow's name.
    pub workflow: String,
    /// Whose it is.
    pub user: String,
    /// Where it stands.
    pub status: RunStatus,
    /// Its trace.
    pub trace_id: String,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its first node was ready.
    pub started_at: Option<Timestamp>,
    /// Node runs that completed, and all that are known.
    pub counts: (u32, u32),
    /// Node runs that wait for a runner: ready ones, and those of a run whose environment no runner has taken on.
    pub queued: u32,
    /// Since when one of them waits without being served.
    pub queued_since: Option<Timestamp>,
}

impl Active {
    /// A run as it stands, with how many of its node runs wait for a runner and since when; nothing where it has ended.
    pub fn of(state: &RunState, (queued, queued_since): (u32, Option<Timestamp>)) -> Option<Self> {
        (!state.head.status.is_terminal()).then(|| Self {
            run: state.spec.id,
            workflow: state.plan.workflow.clone(),
            user: state.spec.user.clone(),
            status: state.head.status,
            trace_id: state.spec.trace.trace_id.clone(),
            created_at: state.spec.created_at,
            started_at: state.head.started_at,
            counts: state.counts(),
            queued,
            queued_since,
        })
    }
}

/// Which of two words about the same is newer: a shard's next owner has a greater epoch, and each owner counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// Under which its shard is written.
    pub epoch: Epoch,
    /// Grows with each telling of an owner.
    pub sequence: u64,
}

/// What is said of a shard or a run, since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// Since when it holds.
    pub version: Version,
    /// What.
    pub what: What,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// These are all active runs of the shard.
    Shard(Shard, Vec<Active>),
    /// The run stands so.
    Run(Active),
    /// The run has ended.
    Ended(RunId),
}

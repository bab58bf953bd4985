//! Live fan-out: who watches a run hears of its changes. Never truth; a loss is mended from the store, and costs time only.

#[cfg(test)]
mod conformance;
mod local;
mod redis;

use std::sync::Arc;

pub use self::{local::Local, redis::Redis};

use qflow_model::{
    ids::{NodeKey, RunId},
    plan::{Plan, WorkflowIx},
    progress::{NodeRun, RunHead, RunSpec, RunState},
};
use tokio::sync::broadcast;

use crate::active::Words;

/// What a watcher hears.
#[derive(Clone, Debug)]
pub enum Note {
    /// The run changed.
    Changed(Arc<Changed>),
    /// The run changed by another replica's hand: the store has how.
    Moved,
    /// A node run says what it is doing.
    Doing(NodeKey),
    /// Lines of the run were kept.
    Lines,
}

/// A run after a commit.
#[derive(Debug)]
pub struct Changed {
    /// What never changes.
    pub spec: Arc<RunSpec>,
    /// What it does.
    pub plan: Arc<Plan>,
    /// Its row.
    pub head: RunHead,
    /// Node runs that completed, and all.
    pub counts: (u32, u32),
    /// Node runs that changed.
    pub nodes: Vec<Shown>,
}

/// A node run with what its run's frames say of it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Which.
    pub key: NodeKey,
    /// Its id.
    pub node_id: String,
    /// The workflow whose step it is.
    pub workflow: WorkflowIx,
    /// Its row.
    pub run: NodeRun,
}

impl Shown {
    /// A node run of a state.
    pub fn of(state: &RunState, key: NodeKey, run: NodeRun) -> Self {
        Self { key, node_id: state.node_id(key), workflow: state.workflow_of(key.frame), run }
    }
}

/// What a node run is doing, in words and as a fraction (negative where unknown).
pub type Doing = (String, f64);

/// The fan-out, within one process or among all replicas.
pub trait Bus: Send + Sync + 'static {
    /// `memory` or `redis`.
    fn kind(&self) -> &'static str;
    /// Whether it answers; without it live views look into the store.
    fn is_up(&self) -> bool {
        true
    }
    /// Hears a run's notes from now on.
    fn watch(&self, run: RunId) -> broadcast::Receiver<Note>;
    /// Tells that a run changed; how is put together only where somebody listens here.
    fn changed(&self, run: RunId, how: &dyn Fn() -> Changed);
    /// Tells that lines of a run were kept.
    fn lines(&self, run: RunId);
    /// Says what a node run is doing; nothing where the text is empty.
    fn doing(&self, run: RunId, node: NodeKey, doing: Doing);
    /// What a node run is doing, as far as it was heard here.
    fn what(&self, run: RunId, node: NodeKey) -> Option<Doing>;
    /// Hears from now on which runs are under way, of every replica.
    fn watch_active(&self) -> broadcast::Receiver<Words>;
    /// Tells which of ours are.
    fn active(&self, words: Words);
    /// Whether anybody may hear that.
    fn is_heard(&self) -> bool;
    /// Forgets what node runs were doing: they have ended, or their run has (no nodes given).
    fn rest(&self, run: RunId, nodes: Option<&[NodeKey]>);
}

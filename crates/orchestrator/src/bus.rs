//! Live fan-out within the process: who watches a run hears of its changes. Never truth; a loss is mended from the store.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use qflow_model::{
    ids::{NodeKey, RunId},
    plan::{Plan, WorkflowIx},
    progress::{NodeRun, RunHead, RunSpec, RunState},
};
use tokio::sync::broadcast;

/// Notes a slow watcher may be behind before it reads the store again.
const BEHIND: usize = 256;

/// What a watcher hears.
#[derive(Clone, Debug)]
pub enum Note {
    /// The run changed.
    Changed(Arc<Changed>),
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

/// The fan-out.
#[derive(Debug, Default)]
pub struct Bus {
    topics: Mutex<HashMap<RunId, broadcast::Sender<Note>>>,
    doing: Mutex<HashMap<RunId, HashMap<NodeKey, Doing>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bus {
    /// Hears a run's notes from now on.
    pub fn watch(&self, run: RunId) -> broadcast::Receiver<Note> {
        lock(&self.topics).entry(run).or_insert_with(|| broadcast::channel(BEHIND).0).subscribe()
    }

    /// Whether anybody watches a run.
    pub fn is_watched(&self, run: RunId) -> bool {
        lock(&self.topics).get(&run).is_some_and(|topic| topic.receiver_count() > 0)
    }

    /// Tells those who watch a run.
    pub fn tell(&self, run: RunId, note: Note) {
        let mut topics = lock(&self.topics);
        if topics.get(&run).is_some_and(|topic| topic.send(note).is_err()) {
            topics.remove(&run);
        }
    }

    /// Says what a node run is doing; nothing where the text is empty.
    pub fn doing(&self, run: RunId, node: NodeKey, doing: Doing) {
        {
            let mut all = lock(&self.doing);
            if doing.0.is_empty() && doing.1 < 0.0 {
                all.get_mut(&run).map(|nodes| nodes.remove(&node));
            } else {
                all.entry(run).or_default().insert(node, doing);
            }
        }
        self.tell(run, Note::Doing(node));
    }

    /// What a node run is doing.
    pub fn what(&self, run: RunId, node: NodeKey) -> Option<Doing> {
        lock(&self.doing).get(&run)?.get(&node).cloned()
    }

    /// Forgets what node runs were doing: they have ended, or their run has (no nodes given).
    pub fn rest(&self, run: RunId, nodes: Option<&[NodeKey]>) {
        let mut all = lock(&self.doing);
        match nodes {
            None => drop(all.remove(&run)),
            Some(nodes) => {
                if let Some(doing) = all.get_mut(&run) {
                    nodes.iter().for_each(|node| drop(doing.remove(node)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qflow_model::ids::StepIx;

    #[tokio::test]
    async fn a_watcher_hears_its_own_run_only() {
        let (bus, node) = (Bus::default(), NodeKey::root(StepIx(0), None));
        let (one, two) = (RunId(uuid::Uuid::from_u128(1)), RunId(uuid::Uuid::from_u128(2)));
        let mut heard = bus.watch(one);
        bus.tell(two, Note::Lines);
        bus.doing(one, node, ("importing".into(), -1.0));
        assert!(matches!(heard.recv().await, Ok(Note::Doing(n)) if n == node));
        assert!(heard.try_recv().is_err());
        assert_eq!(bus.what(one, node).unwrap().0, "importing");
        drop(heard);
        assert!(!bus.is_watched(one));
        bus.rest(one, None);
        assert_eq!(bus.what(one, node), None);
    }
}

//! The fan-out within the process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use qflow_model::ids::{NodeKey, RunId};
use tokio::sync::broadcast;

use super::{Bus, Changed, Doing, Note};
use crate::active::Words;

/// Notes a slow watcher may be behind before it reads the store again.
const BEHIND: usize = 256;

/// Topics and what is being done, in memory.
#[derive(Debug)]
pub struct Local {
    topics: Mutex<HashMap<RunId, broadcast::Sender<Note>>>,
    doing: Mutex<HashMap<RunId, HashMap<NodeKey, Doing>>>,
    active: broadcast::Sender<Words>,
}

impl Default for Local {
    fn default() -> Self {
        Self { topics: Mutex::default(), doing: Mutex::default(), active: broadcast::channel(BEHIND).0 }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Local {
    /// Whether anybody watches a run.
    pub(super) fn is_watched(&self, run: RunId) -> bool {
        lock(&self.topics).get(&run).is_some_and(|topic| topic.receiver_count() > 0)
    }

    /// Tells those who watch a run.
    pub(super) fn tell(&self, run: RunId, note: Note) {
        let mut topics = lock(&self.topics);
        if topics.get(&run).is_some_and(|topic| topic.send(note).is_err()) {
            topics.remove(&run);
        }
    }

    /// Runs that somebody watches; those that nobody watches any more are forgotten.
    pub(super) fn watched(&self) -> Vec<RunId> {
        let mut topics = lock(&self.topics);
        topics.retain(|_, topic| topic.receiver_count() > 0);
        topics.keys().copied().collect()
    }

    /// Keeps what a node run is doing, without a word to anybody.
    pub(super) fn keep(&self, run: RunId, node: NodeKey, doing: Doing) {
        let mut all = lock(&self.doing);
        if doing.0.is_empty() && doing.1 < 0.0 {
            all.get_mut(&run).map(|nodes| nodes.remove(&node));
        } else {
            all.entry(run).or_default().insert(node, doing);
        }
    }

    /// [`Bus::rest`]; whether there was anything to forget.
    pub(super) fn forget(&self, run: RunId, nodes: Option<&[NodeKey]>) -> bool {
        let mut all = lock(&self.doing);
        match nodes {
            None => all.remove(&run).is_some_and(|nodes| !nodes.is_empty()),
            Some(nodes) => {
                let Some(doing) = all.get_mut(&run) else { return false };
                nodes.iter().filter(|node| doing.remove(node).is_some()).count() > 0
            }
        }
    }
}

impl Bus for Local {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn watch(&self, run: RunId) -> broadcast::Receiver<Note> {
        lock(&self.topics).entry(run).or_insert_with(|| broadcast::channel(BEHIND).0).subscribe()
    }

    fn changed(&self, run: RunId, how: &dyn Fn() -> Changed) {
        if self.is_watched(run) {
            self.tell(run, Note::Changed(Arc::new(how())));
        }
    }

    fn lines(&self, run: RunId) {
        self.tell(run, Note::Lines);
    }

    fn doing(&self, run: RunId, node: NodeKey, doing: Doing) {
        self.keep(run, node, doing);
        self.tell(run, Note::Doing(node));
    }

    fn what(&self, run: RunId, node: NodeKey) -> Option<Doing> {
        lock(&self.doing).get(&run)?.get(&node).cloned()
    }

    fn watch_active(&self) -> broadcast::Receiver<Words> {
        self.active.subscribe()
    }

    fn active(&self, words: Words) {
        // Nobody may listen.
        self.active.send(words).ok();
    }

    fn is_heard(&self) -> bool {
        self.active.receiver_count() > 0
    }

    fn rest(&self, run: RunId, nodes: Option<&[NodeKey]>) {
        self.forget(run, nodes);
    }
}

//! Attempts that this runner holds, each with the way to end it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use qflow_model::{ids::AttemptKey, progress::KillReason};
use tokio::sync::watch;

/// Attempts at work.
#[derive(Debug, Default)]
pub struct Held(Mutex<BTreeMap<AttemptKey, watch::Sender<Option<KillReason>>>>);

impl Held {
    fn inside(&self) -> MutexGuard<'_, BTreeMap<AttemptKey, watch::Sender<Option<KillReason>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to hold an attempt; `None` where it is held already.
    pub fn enter(&self, key: AttemptKey) -> Option<watch::Receiver<Option<KillReason>>> {
        let mut inside = self.inside();
        if inside.contains_key(&key) {
            return None;
        }
        let (kill, killed) = watch::channel(None);
        inside.insert(key, kill);
        Some(killed)
    }

    /// Holds it no more.
    pub fn leave(&self, key: AttemptKey) {
        self.inside().remove(&key);
    }

    /// Ends an attempt, where it is held.
    pub fn kill(&self, key: AttemptKey, reason: KillReason) -> bool {
        self.inside().get(&key).is_some_and(|kill| {
            kill.send_replace(Some(reason));
            true
        })
    }

    /// All that are held.
    pub fn keys(&self) -> Vec<AttemptKey> {
        self.inside().keys().copied().collect()
    }
}

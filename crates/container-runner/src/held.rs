//! Attempts that this runner holds, each with the way to end it; of those that must not be made twice, also whether they may begin and
//! when the run's orchestrator was last known to hear of them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use qflow_model::{ids::AttemptKey, progress::KillReason};
use tokio::{sync::watch, time::Instant};

/// Attempts at work.
#[derive(Debug, Default)]
pub struct Held(Mutex<BTreeMap<AttemptKey, One>>);

#[derive(Debug)]
struct One {
    kill: watch::Sender<Option<KillReason>>,
    /// Nothing where an attempt may be made twice.
    once: Option<Once>,
}

#[derive(Debug)]
struct Once {
    begin: watch::Sender<bool>,
    /// Since when it is held: a word that was sent before did not speak of it.
    since: Instant,
    /// When the last word was sent that spoke of it and that the run's orchestrator is known to have heard.
    heard: Instant,
}

/// How one who waits to begin hears that it may, or must not.
pub(crate) struct Permission {
    pub(crate) begin: watch::Receiver<bool>,
    pub(crate) kill: watch::Receiver<Option<KillReason>>,
}

impl Held {
    fn inside(&self) -> MutexGuard<'_, BTreeMap<AttemptKey, One>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to hold an attempt, one that must not be made twice or one that may; `None` where it is held already.
    pub fn enter(&self, key: AttemptKey, once: bool) -> Option<watch::Receiver<Option<KillReason>>> {
        let mut inside = self.inside();
        if inside.contains_key(&key) {
            return None;
        }
        let (kill, killed) = watch::channel(None);
        let now = Instant::now();
        let once = once.then(|| Once { begin: watch::channel(false).0, since: now, heard: now });
        inside.insert(key, One { kill, once });
        Some(killed)
    }

    /// Holds it no more.
    pub fn leave(&self, key: AttemptKey) {
        self.inside().remove(&key);
    }

    /// Ends an attempt, where it is held.
    pub fn kill(&self, key: AttemptKey, reason: KillReason) -> bool {
        self.inside().get(&key).is_some_and(|one| {
            one.kill.send_replace(Some(reason));
            true
        })
    }

    /// How an attempt hears that it must end; nothing where it is not held.
    pub(crate) fn killed(&self, key: AttemptKey) -> Option<watch::Receiver<Option<KillReason>>> {
        self.inside().get(&key).map(|one| one.kill.subscribe())
    }

    /// What an attempt has to wait for before its code begins; nothing where it may be made twice.
    pub(crate) fn permission(&self, key: AttemptKey) -> Option<Permission> {
        let inside = self.inside();
        let one = inside.get(&key)?;
        let once = one.once.as_ref()?;
        Some(Permission { begin: once.begin.subscribe(), kill: one.kill.subscribe() })
    }

    /// Lets the code of an attempt begin.
    pub fn begin(&self, key: AttemptKey) {
        if let Some(once) = self.inside().get(&key).and_then(|one| one.once.as_ref()) {
            once.begin.send_replace(true);
        }
    }

    /// Ends those that must not be made twice and of which the run's orchestrator has heard nothing for so long: `heard` tells when
    /// the last word to it was sent that it is known to have heard.
    pub(crate) fn fence(&self, most: Duration, heard: impl Fn(AttemptKey) -> Option<Instant>) -> Vec<AttemptKey> {
        let mut fenced = Vec::new();
        for (key, one) in self.inside().iter_mut() {
            let Some(once) = &mut one.once else { continue };
            if let Some(at) = heard(*key).filter(|at| *at >= once.since) {
                once.heard = once.heard.max(at);
            }
            if once.heard.elapsed() >= most && one.kill.borrow().is_none() {
                one.kill.send_replace(Some(KillReason::Fenced));
                fenced.push(*key);
            }
        }
        fenced
    }

    /// All that are held.
    pub fn keys(&self) -> Vec<AttemptKey> {
        self.inside().keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qflow_model::ids::{NodeKey, RunId, StepIx};

    fn key(step: u32) -> AttemptKey {
        AttemptKey { run: RunId(uuid::Uuid::from_u128(1)), node: NodeKey::root(StepIx(step), None), attempt: 1 }
    }

    const MOST: Duration = Duration::from_secs(25);

    #[tokio::test(start_paused = true)]
    async fn what_must_not_be_made_twice_is_killed_once_nobody_has_heard_of_it_for_long() {
        let held = Held::default();
        let mut once = held.enter(key(0), true).unwrap();
        let twice = held.enter(key(1), false).unwrap();
        tokio::time::advance(Duration::from_secs(20)).await;
        let spoke = Instant::now();
        assert_eq!(held.fence(MOST, |_| Some(spoke)), []);
        tokio::time::advance(Duration::from_secs(24)).await;
        assert_eq!(held.fence(MOST, |_| Some(spoke)), []);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(held.fence(MOST, |_| Some(spoke)), [key(0)]);
        assert_eq!(*once.borrow_and_update(), Some(KillReason::Fenced));
        assert_eq!(*twice.borrow(), None, "what may be made twice goes on");
        assert_eq!(held.fence(MOST, |_| None), [], "it is killed once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_word_from_before_an_attempt_was_held_does_not_speak_of_it() {
        let held = Held::default();
        let before = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        let _kill = held.enter(key(0), true);
        tokio::time::advance(MOST).await;
        assert_eq!(held.fence(MOST, |_| Some(before)), [key(0)]);
    }
}

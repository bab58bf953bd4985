//! What steps of a run amount to between two commits: rows to write, history to tell, effects to perform. Pure.

use std::collections::BTreeSet;

use qflow_model::{
    ids::{AttemptKey, NodeKey, Timestamp},
    progress::{Effect, Happening, KillReason, RunState},
};

use crate::record::{Change, pool::Slot};

/// What a run's steps since the last commit amount to.
#[derive(Debug, Default)]
pub struct Progress {
    head: bool,
    nodes: BTreeSet<NodeKey>,
    /// What happened, in order.
    pub history: Vec<Happening>,
    /// What is to be done once it is committed.
    pub after: Vec<After>,
}

/// What is done only once the state that asks for it is committed.
#[derive(Clone, Debug, PartialEq)]
pub enum After {
    /// Send the attempt to its runner.
    Dispatch(AttemptKey),
    /// Have a runner kill an attempt.
    Kill {
        /// Which.
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
    /// Let the code of an attempt begin whose runner waits for that.
    Begin(AttemptKey),
}

/// What the shell keeps in mind at once: it follows from state, and is worked out anew where that is read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// There may be something to lease.
    pub ready: bool,
    /// When to look again.
    pub wake: Option<Timestamp>,
}

impl Progress {
    /// Takes in the effects of one step.
    pub fn absorb(&mut self, effects: Vec<Effect>) -> Now {
        let mut now = Now::default();
        for effect in effects {
            match effect {
                Effect::SaveRun => self.head = true,
                Effect::SaveNode(key) => drop(self.nodes.insert(key)),
                Effect::Record(happening) => {
                    // The run's row tells its state too, which a list of runs is filtered by.
                    self.head |= matches!(happening, Happening::RunStatus { .. } | Happening::Restarted { .. });
                    self.history.push(happening);
                }
                Effect::Dispatch(key) => self.after.push(After::Dispatch(key)),
                Effect::Kill { key, runner, reason } => self.after.push(After::Kill { key, runner, reason }),
                Effect::Lock { environment } => self.after.push(After::Lock { environment }),
                Effect::Wake { at } => now.wake = Some(now.wake.map_or(at, |known| known.min(at))),
                Effect::Ready => now.ready = true,
            }
        }
        now
    }

    /// A line of history that no step gave.
    pub fn record(&mut self, happening: Happening) {
        self.history.push(happening);
    }

    /// The rows to write, as the state has them now.
    pub fn change(&self, state: &RunState) -> Change {
        let row = |key: &NodeKey| Some((*key, state.node(*key)?.clone()));
        Change {
            run: state.spec.id,
            head: self.head.then(|| state.head.clone()),
            nodes: self.nodes.iter().filter_map(row).collect(),
            history: self.history.clone(),
            slots: self.nodes.iter().filter_map(|key| slot(state, *key)).collect(),
        }
    }
}

/// The slot that a node run holds by its row, or holds no more; nothing where no pool limits it.
fn slot(state: &RunState, key: NodeKey) -> Option<Slot> {
    let pool = state.definition(key)?.pool.clone()?;
    let run = state.node(key).filter(|run| run.attempt > 0 && run.map.is_none())?;
    Some(Slot {
        attempt: AttemptKey { run: state.spec.id, node: key, attempt: run.attempt },
        node_id: state.node_id(key),
        pool: (state.spec.tenant.clone(), pool),
        user: state.spec.user.clone(),
        held: state.holder(key).is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_must_follow_a_commit_waits_for_it() {
        let mut progress = Progress::default();
        let wake = |at| Effect::Wake { at: Timestamp(at) };
        let now = progress.absorb(vec![Effect::Ready, wake(9), wake(3), Effect::Lock { environment: 1 }]);
        assert_eq!(now, Now { ready: true, wake: Some(Timestamp(3)) });
        assert_eq!(progress.after, [After::Lock { environment: 1 }]);
    }
}

//! A run that stands still: because somebody asked, because its processing broke, or because a node run needs a decision.

use super::{Attention, Effect, Happening, KillReason, Refused, RunHead, RunState};
use crate::{
    ids::{AttemptKey, NodeKey, Timestamp},
    limits,
    outcome::Failure,
    status::{NodeStatus, RunStatus},
};

/// How the reason of a run begins that was paused because it would harm the others.
pub const QUARANTINED: &str = "quarantined";

impl RunState {
    /// Starts nothing more. What runs goes on, and its outcomes count; a pause of a pause changes nothing.
    pub(super) fn pause(&mut self, reason: String, effects: &mut Vec<Effect>) {
        if self.head.reason.is_some() {
            return;
        }
        self.head.reason = Some(reason);
        self.head.status = RunStatus::Paused;
        self.record_status(effects);
    }

    /// Counts a crash of the orchestrator that came about in this run's processing; one that crashes it again and again is paused.
    pub(super) fn crashed(&mut self, effects: &mut Vec<Effect>) {
        self.head.crashes += 1;
        let count = self.head.crashes;
        effects.extend([Effect::SaveRun, Effect::Record(Happening::Crashed { count })]);
        if count >= limits::CRASHES {
            self.pause(format!("{QUARANTINED}: its processing crashed the orchestrator {count} times"), effects);
        }
    }

    /// An attempt that may have done its work and must not be made twice is gone: somebody has to say what becomes of it.
    pub(super) fn needs_attention(&mut self, key: AttemptKey, failure: Failure, effects: &mut Vec<Effect>) {
        let failure = Box::new(failure);
        let run = self.run_mut(key.node);
        (run.status, run.ready_at) = (NodeStatus::Retrying, None);
        run.detail().failure = Some(failure.clone());
        self.attention.insert(key.node);
        let record = Happening::NeedsAttention { node: key.node, attempt: key.attempt, failure };
        effects.extend([Effect::SaveNode(key.node), Effect::Record(record)]);
        self.tell_attention(effects);
        if self.head.status == RunStatus::Running {
            self.head.status = RunStatus::Paused;
            self.record_status(effects);
        }
    }

    /// Whether an attempt is the one that somebody is to decide about: its outcome decides as well.
    pub fn is_awaited(&self, key: AttemptKey) -> bool {
        self.attention.contains(&key.node) && self.node(key.node).is_some_and(|run| run.attempt == key.attempt)
    }

    /// Node runs that somebody is to decide about.
    pub fn attention(&self) -> impl Iterator<Item = NodeKey> + '_ {
        self.attention.iter().copied()
    }

    /// Keeps in the run's row which node runs somebody is to decide about.
    pub(super) fn tell_attention(&mut self, effects: &mut Vec<Effect>) {
        let first = self.attention.first().copied();
        self.head.needs_attention =
            first.map(|key| Attention { node_id: self.node_id(key), count: self.attention.len() as u32 });
        effects.push(Effect::SaveRun);
    }

    /// Goes on where the run stood: node runs that need a decision are tried again, or fail.
    pub(super) fn resume(
        &mut self,
        (retry, fail): (&[NodeKey], &[NodeKey]),
        by: &str,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        if let Some(key) = retry.iter().chain(fail).find(|key| !self.attention.contains(key)) {
            return Err(self.node(*key).map_or(Refused::Unknown, |run| Refused::Node(run.status)));
        }
        let decides = !(retry.is_empty() && fail.is_empty());
        if self.head.reason.is_none() && !decides && !self.attention.is_empty() {
            return Err(Refused::Undecided);
        }
        self.head.reason = None;
        self.head.crashes = 0;
        effects.push(Effect::SaveRun);
        for key in retry {
            self.decided(*key, true, by, effects);
            self.forget(*key, effects);
            let run = self.run_mut(*key);
            (run.status, run.ready_at) = (NodeStatus::Ready, Some(now));
            self.ready.insert(*key);
            effects.push(Effect::SaveNode(*key));
        }
        for key in fail {
            self.decided(*key, false, by, effects);
            let failure = self.run(*key).detail.as_ref().and_then(|detail| detail.failure.as_deref().cloned());
            self.end(*key, NodeStatus::Failed, failure, now, effects);
        }
        self.go_on(effects);
        self.finish(now, effects);
        self.wake(effects);
        Ok(())
    }

    /// Notes a decision: whoever holds the attempt after all, come back since, is to end it.
    fn decided(&self, key: NodeKey, retry: bool, by: &str, effects: &mut Vec<Effect>) {
        let attempt = self.run(key).attempt;
        let runner = self.run(key).detail.as_ref().map(|detail| detail.runner.clone()).unwrap_or_default();
        let of = AttemptKey { run: self.spec.id, node: key, attempt };
        effects.push(Effect::Kill { key: of, runner, reason: KillReason::Superseded });
        effects.push(Effect::Record(Happening::Decided { node: key, attempt, retry, by: by.to_owned() }));
    }

    /// A run that nothing holds up any more is under way again.
    pub(super) fn go_on(&mut self, effects: &mut Vec<Effect>) {
        let held_up = self.head.reason.is_some() || !self.attention.is_empty();
        if self.head.status != RunStatus::Paused || held_up {
            return;
        }
        let begun = self.head.started_at.is_some();
        self.head.status = if begun { RunStatus::Running } else { RunStatus::Pending };
        self.record_status(effects);
        effects.push(Effect::Ready);
    }

    /// Why the run stands where it does, as its history keeps it.
    pub(super) fn why(&self) -> Option<String> {
        let attention = self.head.needs_attention.as_ref().filter(|_| self.head.status == RunStatus::Paused);
        self.head.reason.clone().or_else(|| attention.map(Attention::to_string))
    }
}

impl RunHead {
    /// Notes since when it is paused, and no more once it is not: the row is saved with its status.
    pub(super) fn note_pause(&mut self, now: Timestamp) {
        let paused = self.status == RunStatus::Paused;
        self.paused_at = if paused { self.paused_at.or(Some(now)) } else { None };
    }

    /// Why it is paused: `asked`, `quarantined` or `needs_attention`; nothing where it is not.
    pub fn paused_for(&self) -> Option<&'static str> {
        let paused = self.status == RunStatus::Paused;
        paused.then_some(match &self.reason {
            Some(reason) if reason.starts_with(QUARANTINED) => QUARANTINED,
            Some(_) => "asked",
            None => "needs_attention",
        })
    }
}

impl std::fmt::Display for Attention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { node_id, count } = self;
        write!(f, "needs_attention: `{node_id}`")?;
        if *count > 1 {
            write!(f, " and {} more", count - 1)?;
        }
        write!(f, " may have done its work, is not idempotent, and its outcome is not known")
    }
}

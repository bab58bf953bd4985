//! The inputs, and a run as a whole: how it starts, is locked, stops, ends and is restarted.

use std::sync::Arc;

use super::{Effect, Happening, Input, KillReason, Refused, RunError, RunState, follow::of_user};
use crate::{
    definition::OnFailure,
    environment::EnvLock,
    ids::{AttemptKey, NodeKey, StepIx, Timestamp},
    outcome::{Ending, Failure, Outcome},
    status::{NodeStatus, RunStatus},
};

impl RunState {
    /// Moves the run on one input, and says what the shell must now perform. A refused input gives the state back as it was.
    #[expect(clippy::result_large_err, reason = "the state is given back by value")]
    pub fn step(mut self, input: Input, now: Timestamp) -> Result<(Self, Vec<Effect>), (Self, Refused)> {
        let mut effects = Vec::new();
        match self.apply(input, now, &mut effects) {
            Ok(()) => Ok((self, effects)),
            Err(refused) => Err((self, refused)),
        }
    }

    fn apply(&mut self, input: Input, now: Timestamp, effects: &mut Vec<Effect>) -> Result<(), Refused> {
        let status = self.head.status;
        if status.is_terminal() && !matches!(input, Input::RetryFailed { .. }) {
            return Err(Refused::Terminal(status));
        }
        match (status, input) {
            (RunStatus::Pending, Input::Start { locks }) => self.start(locks, now, effects),
            (RunStatus::Pending | RunStatus::Running | RunStatus::Paused, Input::Cancel { by }) => {
                self.stop(RunStatus::Cancelled, Some(format!("cancelled by {by}")), now, effects);
            }
            (RunStatus::Running | RunStatus::Paused, Input::Locked { environment, result }) => {
                self.locked(environment, result, now, effects)?;
            }
            (RunStatus::Running, Input::Lease { node, runner }) => self.lease(node, runner, now, effects)?,
            (RunStatus::Running | RunStatus::Paused, Input::Started { key, container_id }) => {
                self.started(key, container_id, now, effects)?;
            }
            (RunStatus::Running | RunStatus::Paused, Input::Ended { key, outcome }) => {
                self.ended(key, *outcome, now, effects)?;
            }
            (RunStatus::Running | RunStatus::Paused, Input::Lost { key, reason }) => {
                self.current(key)?;
                let message = format!("attempt {} was lost: {reason}", key.attempt);
                let ending = Ending::Lost { reason, message };
                self.ended(key, blank(ending), now, effects)?;
            }
            (RunStatus::Running | RunStatus::Paused, Input::Tick) => self.tick(now, effects),
            (RunStatus::Running | RunStatus::Pending, Input::Pause { reason }) => {
                self.head.status = RunStatus::Paused;
                self.head.reason = Some(reason);
                self.record_status(effects);
            }
            (RunStatus::Paused, Input::Resume) => {
                let begun = self.head.started_at.is_some();
                self.head.status = if begun { RunStatus::Running } else { RunStatus::Pending };
                self.head.reason = None;
                self.record_status(effects);
                effects.push(Effect::Ready);
            }
            (RunStatus::Failed | RunStatus::TimedOut | RunStatus::Cancelled, Input::RetryFailed { by }) => {
                self.restart(by, now, effects);
            }
            (status, _) => return Err(Refused::Run(status)),
        }
        Ok(())
    }

    fn start(&mut self, locks: Vec<Option<Arc<EnvLock>>>, now: Timestamp, effects: &mut Vec<Effect>) {
        self.head.status = RunStatus::Running;
        self.head.started_at = Some(now);
        for (environment, lock) in locks.into_iter().enumerate().take(self.head.locks.len()) {
            self.head.locks[environment] = lock;
        }
        effects.extend([Effect::SaveRun, Effect::Record(Happening::RunStarted)]);
        self.ask_for_locks(effects);
        self.unblock_all();
        self.finish(now, effects);
        self.wake(effects);
    }

    /// Has [`Self::finish`] look at every step that nothing is left to wait for.
    fn unblock_all(&mut self) {
        let free = (0..).zip(&self.open).filter(|(_, open)| **open == 0);
        self.unblocked.extend(free.map(|(ix, _)| StepIx(ix)));
    }

    fn ask_for_locks(&self, effects: &mut Vec<Effect>) {
        let open = (0..).zip(&self.head.locks).filter(|(_, lock)| lock.is_none());
        effects.extend(open.map(|(environment, _)| Effect::Lock { environment }));
    }

    fn locked(
        &mut self,
        environment: u32,
        result: Result<Arc<EnvLock>, Box<Failure>>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        let slot = self.head.locks.get_mut(environment as usize).ok_or(Refused::Unknown)?;
        if slot.is_some() {
            // The first lock stays: attempts that began under it must not be followed by others under another, or by none.
            return Ok(());
        }
        effects.push(Effect::SaveRun);
        match result {
            Ok(lock) => {
                *slot = Some(lock);
                self.head.lock_errors.remove(&environment);
                effects.push(Effect::Ready);
            }
            Err(failure) => {
                let of_it = |key: &NodeKey| self.plan.step(key.step).environment == environment;
                let waiting: Vec<NodeKey> = self.ready.iter().copied().filter(of_it).collect();
                for key in waiting {
                    self.end(
                        NodeKey { index: None, ..key },
                        NodeStatus::Failed,
                        Some((*failure).clone()),
                        now,
                        effects,
                    );
                }
                self.head.lock_errors.insert(environment, *failure);
                self.finish(now, effects);
                effects.push(Effect::Ready);
            }
        }
        Ok(())
    }

    /// Whether a failure stops what is independent of it too.
    fn stops(&self) -> bool {
        self.plan.on_failure == OnFailure::Stop && self.head.error.is_some()
    }

    /// Has what became possible happen; ends the run where all its steps have ended, or where a failure stops the rest.
    pub(super) fn finish(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.head.status.is_terminal() {
            return;
        }
        let mut stops = self.stops();
        // A queue and no recursion: a thousand steps may follow one from another.
        while !stops && let Some(step) = self.unblocked.pop_front() {
            if self.steps[step.0 as usize].own.status == NodeStatus::Waiting {
                self.enable(step, now, effects);
            }
            stops = self.stops();
        }
        self.unblocked.clear();
        if !stops && self.steps.iter().any(|runs| !runs.own.status.is_terminal()) {
            return;
        }
        let timed_out = self.nodes().any(|(key, run)| {
            run.status == NodeStatus::TimedOut
                && self.head.error.as_ref().is_some_and(|e| e.node_id.as_deref() == Some(&self.node_id(key)))
        });
        match (&self.head.error, timed_out) {
            (Some(_), true) => self.stop(RunStatus::TimedOut, None, now, effects),
            (Some(_), false) => self.stop(RunStatus::Failed, None, now, effects),
            (None, _) => self.complete(now, effects),
        }
    }

    fn complete(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let plan = self.plan.clone();
        if let Err(undecided) = self.settle(std::iter::once(&plan.result), effects) {
            self.head.error = Some(RunError { node_id: None, failure: of_user(undecided) });
            return self.stop(RunStatus::Failed, None, now, effects);
        }
        self.head.result = Some(self.argument(&plan.result));
        self.head.status = RunStatus::Completed;
        self.head.ended_at = Some(now);
        self.record_status(effects);
    }

    /// Ends the run as `status`: what runs is killed, what waits is cancelled.
    pub(super) fn stop(
        &mut self,
        status: RunStatus,
        reason: Option<String>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let why = if status == RunStatus::TimedOut { KillReason::TimedOut } else { KillReason::Cancelled };
        self.head.status = status;
        self.head.reason = reason;
        self.head.ended_at = Some(now);
        let open: Vec<NodeKey> = self.nodes().filter(|(_, r)| !r.status.is_terminal()).map(|(key, _)| key).collect();
        for key in open {
            let run = self.run_mut(key);
            if run.status.is_held() && run.map.is_none() {
                let (attempt, runner) = (run.attempt, run.detail().runner.clone());
                let key = AttemptKey { run: self.spec.id, node: key, attempt };
                effects.push(Effect::Kill { key, runner, reason: why });
            }
            let run = self.run_mut(key);
            run.status = NodeStatus::Cancelled;
            run.detail().ended_at = Some(now);
            let (attempt, phases) = (run.attempt, run.detail().phases);
            let record =
                Happening::NodeEnded { node: key, attempt, status: NodeStatus::Cancelled, failure: None, phases };
            effects.extend([Effect::SaveNode(key), Effect::Record(record)]);
        }
        self.index();
        self.record_status(effects);
    }

    /// Everything that did not complete is to run again.
    fn restart(&mut self, by: String, now: Timestamp, effects: &mut Vec<Effect>) {
        self.head.status = RunStatus::Running;
        self.head.reason = None;
        self.head.error = None;
        self.head.ended_at = None;
        self.head.started_at = Some(now);
        self.head.restarts += 1;
        self.head.lock_errors.clear();
        let keys: Vec<NodeKey> = self.nodes().map(|(key, _)| key).collect();
        for key in keys {
            let run = self.run_mut(key);
            if matches!(run.status, NodeStatus::Completed | NodeStatus::Skipped) {
                continue;
            }
            run.user_retries = 0;
            run.infra_retries = 0;
            run.ready_at = Some(now);
            run.status = match (key.index, &mut run.map) {
                (Some(_), _) => NodeStatus::Ready,
                (None, Some(map)) => {
                    map.failed = 0;
                    NodeStatus::Running
                }
                (None, None) => NodeStatus::Waiting,
            };
            effects.push(Effect::SaveNode(key));
        }
        self.index();
        effects.extend([Effect::Record(Happening::Restarted { by }), Effect::Ready]);
        self.record_status(effects);
        self.ask_for_locks(effects);
        self.unblock_all();
        self.finish(now, effects);
        self.wake(effects);
    }

    fn record_status(&self, effects: &mut Vec<Effect>) {
        let record = Happening::RunStatus { status: self.head.status, reason: self.head.reason.clone() };
        effects.extend([Effect::SaveRun, Effect::Record(record)]);
    }

    pub(super) fn wake(&self, effects: &mut Vec<Effect>) {
        effects.extend(self.next_wake().map(|at| Effect::Wake { at }));
    }
}

fn blank(ending: Ending) -> Outcome {
    Outcome {
        ending,
        phases: crate::outcome::Phases::default(),
        container_id: String::new(),
        peak_memory_bytes: 0,
        cpu_seconds: 0.0,
        log_lines: 0,
        log_lines_dropped: 0,
        log: None,
        warnings: Vec::new(),
    }
}

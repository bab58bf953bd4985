//! The inputs, and a run as a whole: how it starts, is locked, stops, ends and is restarted.

use std::sync::Arc;

use super::{
    Answered, Effect, Happening, Input, KillReason, Refused, RunError, RunState, follow::of_user, ready::is_settled,
};
use crate::{
    definition::OnFailure,
    environment::EnvLock,
    ids::{FrameIx, NodeKey, Timestamp},
    outcome::{Ending, Failure, Outcome},
    status::{NodeStatus, RunStatus},
};

impl RunState {
    /// Moves the run on one input, and says what the shell must now perform. A refused input gives the state back as it was.
    #[expect(clippy::result_large_err, reason = "the state is given back by value")]
    pub fn step(mut self, input: Input, now: Timestamp) -> Result<(Self, Vec<Effect>), (Self, Refused)> {
        let mut effects = Vec::new();
        match self.apply(input, now, &mut effects) {
            Ok(()) => {
                self.head.note_pause(now);
                Ok((self, effects))
            }
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
            (RunStatus::Running, Input::Reuse { node, produced, from }) => {
                self.reuse(node, produced, from, now, effects)?;
            }
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
            (RunStatus::Running | RunStatus::Paused, Input::Approve { node, approved, by, comment }) => {
                self.approve(node, Answered { approved, by: Some(by), comment, at: now }, now, effects)?;
            }
            (RunStatus::Running | RunStatus::Pending | RunStatus::Paused, Input::Pause { reason }) => {
                self.pause(reason, effects);
            }
            (RunStatus::Running | RunStatus::Pending | RunStatus::Paused, Input::Resume { retry, fail, by }) => {
                self.resume((&retry, &fail), &by, now, effects)?;
            }
            (RunStatus::Running | RunStatus::Pending | RunStatus::Paused, Input::Crashed) => self.crashed(effects),
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
        self.unblock(FrameIx::ROOT);
        self.finish(now, effects);
        self.wake(effects);
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
                let of_it = |key: &NodeKey| self.planned(*key).environment == Some(environment);
                let waiting: Vec<NodeKey> = self.ready.iter().copied().filter(of_it).collect();
                for key in waiting {
                    self.end(key.own(), NodeStatus::Failed, Some((*failure).clone()), now, effects);
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
        self.plan.root().on_failure == OnFailure::Stop && self.head.error.is_some()
    }

    /// Has what became possible happen; ends the run where all its steps have ended, or where a failure stops the rest.
    pub(super) fn finish(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.head.status.is_terminal() {
            return;
        }
        // Queues and no recursion: a thousand steps may follow one from another, and calls stand in calls.
        while !self.stops() {
            if let Some(key) = self.unblocked.pop_front() {
                if self.run(key).status == NodeStatus::Waiting {
                    self.enable(key, now, effects);
                }
            } else if let Some(frame) = self.closing.pop_front() {
                self.close(frame, now, effects);
            } else if !self.open_next(now, effects) {
                break;
            }
        }
        self.unblocked.clear();
        self.closing.clear();
        if !self.stops() && self.frames[0].left > 0 {
            return;
        }
        match &self.head.error {
            Some(error) if error.timed_out => self.stop(RunStatus::TimedOut, None, now, effects),
            Some(_) => self.stop(RunStatus::Failed, None, now, effects),
            None => self.complete(now, effects),
        }
    }

    fn complete(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let plan = self.plan.clone();
        if let Err(undecided) = self.settle(FrameIx::ROOT, std::iter::once(&plan.root().result), effects) {
            self.head.error = Some(RunError { node_id: None, failure: of_user(undecided), timed_out: false });
            return self.stop(RunStatus::Failed, None, now, effects);
        }
        self.head.result = Some(self.argument(FrameIx::ROOT, &plan.root().result, &[]));
        self.head.status = RunStatus::Completed;
        self.head.reason = None;
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
        self.cancel_frame(FrameIx::ROOT, why, now, effects);
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
        let mut anew = vec![FrameIx::ROOT];
        let mut looked = 0;
        while let Some(frame) = anew.get(looked).copied() {
            let keys: Vec<NodeKey> = self.nodes_of(frame).map(|(key, _)| key).collect();
            for key in keys {
                anew.extend(self.again(key, now, effects));
            }
            looked += 1;
        }
        self.index();
        effects.extend([Effect::Record(Happening::Restarted { by }), Effect::Ready]);
        self.record_status(effects);
        self.ask_for_locks(effects);
        anew.into_iter().for_each(|frame| self.unblock(frame));
        self.finish(now, effects);
        self.wake(effects);
    }

    /// Has a node run that did not end well run again; the frame that is to be looked into for it.
    fn again(&mut self, key: NodeKey, now: Timestamp, effects: &mut Vec<Effect>) -> Option<FrameIx> {
        let settled = |status| matches!(status, NodeStatus::Failed | NodeStatus::TimedOut);
        let planned = self.planned(key);
        let (is_value, is_call, values) = (is_settled(planned, key), planned.calls.is_some(), planned.settled);
        let reused = |status| matches!(status, NodeStatus::Completed | NodeStatus::Skipped);
        if reused(self.run(key).status) || (is_value && settled(self.run(key).status)) {
            return None;
        }
        let elements = self.frames[key.frame.0 as usize].steps.elements(key.step);
        let failed = elements.iter().filter(|run| values && settled(run.status)).count() as u32;
        let run = self.run_mut(key);
        let last = run.attempt;
        if !is_call && last > 0 && run.has_taken(last) && !run.detail().taken.contains(&last) {
            run.detail().taken.push(last);
        }
        run.user_retries = 0;
        run.infra_retries = 0;
        run.ready_at = Some(now);
        let frame = run.call.as_mut().map(|call| {
            call.error = None;
            call.frame
        });
        run.status = match (key.index, &mut run.map, frame) {
            (None, Some(map), _) => {
                map.failed = failed;
                NodeStatus::Running
            }
            (_, None, Some(_)) => NodeStatus::Running,
            (Some(_), None, None) if !is_call => NodeStatus::Ready,
            _ => NodeStatus::Waiting,
        };
        if frame.is_some() {
            run.attempt += 1;
            (run.detail().started_at, run.detail().leased_at) = (Some(now), now);
        }
        effects.push(Effect::SaveNode(key));
        frame
    }

    pub(super) fn record_status(&self, effects: &mut Vec<Effect>) {
        let record = Happening::RunStatus { status: self.head.status, reason: self.why() };
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

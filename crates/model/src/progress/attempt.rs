//! The life of an attempt: leased, started, ended, lost, timed out, tried again.

use super::{
    Effect, Happening, KillReason, MapExtent, NodeDetail, NodeRun, Refused, ReusedFrom, RunError, RunState,
    follow::user,
};
use crate::{
    definition::{Retry, StepKind},
    ids::{AttemptKey, Digest, NodeKey, Timestamp},
    limits,
    outcome::{Ending, Failure, Outcome},
    status::{FailureClass, NodeStatus, RunStatus},
    value::Produced,
};

impl RunState {
    pub(super) fn lease(
        &mut self,
        key: NodeKey,
        runner: String,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        if !self.is_ready(key) {
            return Err(self.node(key).map_or(Refused::Unknown, |run| Refused::Node(run.status)));
        }
        self.take(key, now, effects);
        let before = self.head.attempts_before;
        let run = self.run_mut(key);
        run.status = NodeStatus::Leased;
        run.attempt = run.attempt.max(before) + 1;
        let queued_ms = now.ms_since(run.ready_at.unwrap_or(now));
        let before = run.detail.take().map(|detail| *detail).unwrap_or_default();
        let (failure, taken) = (before.failure, before.taken);
        let detail = NodeDetail { runner: runner.clone(), leased_at: now, failure, taken, ..NodeDetail::default() };
        run.detail = Some(Box::new(detail));
        run.detail().phases.queued_ms = queued_ms as f64;
        let attempt = run.attempt;
        self.hold(key);
        effects.extend([
            Effect::SaveNode(key),
            Effect::Record(Happening::NodeLeased { node: key, attempt, runner, queued_ms }),
            Effect::Dispatch(AttemptKey { run: self.spec.id, node: key, attempt }),
        ]);
        self.wake(effects);
        Ok(())
    }

    /// Takes a node run out of what is ready; an element comes to be here.
    fn take(&mut self, key: NodeKey, now: Timestamp, effects: &mut Vec<Effect>) {
        let own = key.own();
        let opening = self.run(own).map.filter(|map| key.index == Some(map.cursor));
        let Some(map) = opening else {
            self.ready.remove(&key);
            return;
        };
        let ready_at = self.run(own).ready_at;
        let element = NodeRun { ready_at, ..NodeRun::new(NodeStatus::Ready) };
        self.frames[key.frame.0 as usize].steps.put(key.step, key.index, element);
        let run = self.run_mut(own);
        run.map = Some(MapExtent { cursor: map.cursor + 1, ..map });
        run.status = NodeStatus::Running;
        run.detail().started_at.get_or_insert(now);
        if map.cursor + 1 == map.length {
            self.ready.remove(&own);
        }
        effects.push(Effect::SaveNode(own));
    }

    /// Completes a node run with a value that was made before: no attempt, and no room, is needed.
    pub(super) fn reuse(
        &mut self,
        key: NodeKey,
        produced: Box<Produced>,
        from: ReusedFrom,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        if !self.is_reusable(key) {
            return Err(self.node(key).map_or(Refused::Unknown, |run| Refused::Node(run.status)));
        }
        self.take(key, now, effects);
        let detail = self.run_mut(key).detail();
        (detail.produced, detail.failure) = (Some(produced), None);
        detail.reused = Some(Box::new(from.clone()));
        effects.push(Effect::Record(Happening::NodeReused { node: key, from }));
        self.end(key, NodeStatus::Completed, None, now, effects);
        self.finish(now, effects);
        effects.push(Effect::Ready);
        self.wake(effects);
        Ok(())
    }

    /// Checks that an attempt is its node's current one and held.
    pub(super) fn current(&self, key: AttemptKey) -> Result<&NodeRun, Refused> {
        let run = self.node(key.node).ok_or(Refused::Unknown)?;
        if run.attempt != key.attempt {
            return Err(Refused::Stale { given: key.attempt, current: run.attempt });
        }
        if self.holder(key.node).is_none() { Err(Refused::Node(run.status)) } else { Ok(run) }
    }

    /// Whether an attempt was given up before, and another took its place or will.
    fn is_late(&self, key: AttemptKey) -> bool {
        self.node(key.node).is_some_and(|run| {
            let again = matches!(run.status, NodeStatus::Ready | NodeStatus::Retrying);
            key.attempt > 0 && (key.attempt < run.attempt || (key.attempt == run.attempt && again))
        })
    }

    pub(super) fn started(
        &mut self,
        key: AttemptKey,
        container_id: String,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        if self.current(key)?.status == NodeStatus::Running {
            return Ok(());
        }
        let run = self.run_mut(key.node);
        run.status = NodeStatus::Running;
        run.detail().started_at = Some(now);
        run.detail().container_id = container_id;
        self.timers.extend(self.times_out(key.node).map(|at| (at, key.node)));
        let record = Happening::NodeStarted { node: key.node, attempt: key.attempt };
        effects.extend([Effect::SaveNode(key.node), Effect::Record(record)]);
        self.wake(effects);
        Ok(())
    }

    pub(super) fn ended(
        &mut self,
        key: AttemptKey,
        outcome: Outcome,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        // What was taken is neither taken again nor late.
        if let Some(run) = self.node(key.node).filter(|run| run.has_taken(key.attempt)) {
            return Err(Refused::Node(run.status));
        }
        // Of one that somebody is to decide about the outcome decides, however late, where it says more than that it is gone.
        let awaited = self.is_awaited(key);
        let gone = matches!(outcome.ending, Ending::Lost { .. } | Ending::Cancelled);
        if if awaited { gone } else { self.is_late(key) } {
            effects.push(Effect::Record(Happening::Superseded { node: key.node, attempt: key.attempt }));
            return Ok(());
        }
        if !awaited {
            self.current(key)?;
            self.release(key.node);
        }
        let detail = self.run_mut(key.node).detail();
        let queued_ms = detail.phases.queued_ms;
        detail.phases = outcome.phases;
        detail.phases.queued_ms = queued_ms;
        detail.warnings = outcome.warnings;
        if !outcome.container_id.is_empty() {
            detail.container_id = outcome.container_id;
        }
        effects.push(Effect::Ready);
        match outcome.ending {
            Ending::Completed(produced) => {
                detail.produced = Some(produced);
                detail.failure = None;
                self.end(key.node, NodeStatus::Completed, None, now, effects);
            }
            Ending::Failed(failure) => self.took(key, *failure, NodeStatus::Failed, now, effects),
            Ending::TimedOut(failure) => self.took(key, *failure, NodeStatus::TimedOut, now, effects),
            // A run that was cancelled takes no outcomes: here the runner gave up unasked, as when it shuts down.
            Ending::Cancelled => {
                let message = format!("attempt {} was cancelled by its runner", key.attempt);
                self.lost(key, "runner_cancelled".to_owned(), message, now, effects);
            }
            Ending::Lost { reason, message } => self.lost(key, reason, message, now, effects),
        }
        self.go_on(effects);
        self.finish(now, effects);
        self.wake(effects);
        Ok(())
    }

    /// Takes what a runner says of a failure: whatever follows it, it was taken.
    fn took(
        &mut self,
        key: AttemptKey,
        failure: Failure,
        status: NodeStatus,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        self.failed(key, failure, status, now, effects);
        let run = self.run_mut(key.node);
        if !run.has_taken(key.attempt) {
            run.detail().taken.push(key.attempt);
        }
    }

    fn failed(
        &mut self,
        key: AttemptKey,
        failure: Failure,
        status: NodeStatus,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let used = self.run(key.node).user_retries;
        let again = self
            .definition(key.node)
            .filter(|node| used < node.retry.retries && node.idempotent && may_retry(&node.retry, &failure, status));
        if let Some(node) = again {
            let delay = failure.retry_after_ms.unwrap_or_else(|| backoff_ms(&node.retry, used, key));
            self.run_mut(key.node).user_retries += 1;
            self.retry(key, delay, "user", failure, now, effects);
        } else {
            self.end(key.node, status, Some(failure), now, effects);
        }
    }

    fn lost(&mut self, key: AttemptKey, reason: String, message: String, now: Timestamp, effects: &mut Vec<Effect>) {
        let failure =
            Failure { class: Some(FailureClass::Platform), error_type: reason, message, ..Failure::default() };
        let began = self.run(key.node).detail.as_ref().is_some_and(|detail| detail.started_at.is_some());
        let once = began && self.definition(key.node).is_some_and(|node| !node.idempotent);
        if once {
            self.needs_attention(key, failure, effects);
        } else if self.run(key.node).infra_retries < limits::INFRASTRUCTURE_RETRIES {
            let used = self.run(key.node).infra_retries;
            let delay = if is_elsewhere(&failure.error_type) { 0 } else { backoff_ms(&trouble(), used, key) };
            self.run_mut(key.node).infra_retries += 1;
            self.retry(key, delay, "infrastructure", failure, now, effects);
        } else {
            self.end(key.node, NodeStatus::Failed, Some(failure), now, effects);
        }
    }

    fn retry(
        &mut self,
        key: AttemptKey,
        delay_ms: u64,
        kind: &str,
        failure: Failure,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let at = now.plus_ms(delay_ms);
        let failure = Box::new(failure);
        let run = self.run_mut(key.node);
        run.ready_at = Some(at);
        run.detail().failure = Some(failure.clone());
        if delay_ms == 0 {
            run.status = NodeStatus::Ready;
            self.ready.insert(key.node);
        } else {
            run.status = NodeStatus::Retrying;
            self.timers.insert((at, key.node));
        }
        let record = Happening::NodeRetry { node: key.node, attempt: key.attempt, at, kind: kind.to_owned(), failure };
        effects.extend([Effect::SaveNode(key.node), Effect::Record(record)]);
        self.wake(effects);
    }

    pub(super) fn tick(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            let timeout = self.plan.root().timeout_ms.unwrap_or_default();
            let failure = user("timeout", format!("the run's time of {timeout} ms is up"));
            self.head.error = Some(RunError { node_id: None, failure, timed_out: true });
            return self.stop(RunStatus::TimedOut, None, now, effects);
        }
        while let Some(&(at, key)) = self.timers.first()
            && at <= now
        {
            self.timers.pop_first();
            let run = self.run_mut(key);
            if run.status == NodeStatus::Retrying {
                run.status = NodeStatus::Ready;
                self.ready.insert(key);
                effects.extend([Effect::SaveNode(key), Effect::Ready]);
            } else if run.status.is_held() {
                self.time_is_up(key, now, effects);
            }
        }
        self.finish(now, effects);
        self.wake(effects);
    }

    /// What runs has run for too long, or has waited for long enough.
    fn time_is_up(&mut self, key: NodeKey, now: Timestamp, effects: &mut Vec<Effect>) {
        match self.planned(key).kind {
            StepKind::Node { .. } => {
                let Some(runner) = self.holder(key).map(str::to_owned) else { return };
                let timeout = self.definition(key).and_then(|node| node.timeout_ms).unwrap_or_default();
                let key = AttemptKey { run: self.spec.id, node: key, attempt: self.run(key).attempt };
                effects.push(Effect::Kill { key, runner, reason: KillReason::TimedOut });
                self.release(key.node);
                let failure = user("timeout", format!("not ended {timeout} ms after it began"));
                self.failed(key, failure, NodeStatus::TimedOut, now, effects);
            }
            StepKind::Workflow { .. } => {
                let Some(frame) = self.run(key).call.as_ref().map(|call| call.frame) else { return };
                let workflow = self.laid_out(frame);
                let timeout = workflow.timeout_ms.unwrap_or_default();
                let failure = user("timeout", format!("the time of `{}`, {timeout} ms, is up", workflow.name));
                self.cancel_frame(frame, KillReason::TimedOut, now, effects);
                self.end(key, NodeStatus::TimedOut, Some(failure), now, effects);
            }
            StepKind::Sleep | StepKind::Approval { .. } => self.waited(key, now, effects),
        }
    }
}

/// The classes of a time-out, which no exception of the user's stands for: those of Python's own `TimeoutError`.
const TIME_OUT: [&str; 4] = ["TimeoutError", "OSError", "Exception", "BaseException"];

/// Whether the policy covers this failure: by default any `Exception` and time-outs, not what a second attempt cannot change.
fn may_retry(retry: &Retry, failure: &Failure, status: NodeStatus) -> bool {
    if failure.abort {
        return false;
    }
    let timed_out = status == NodeStatus::TimedOut;
    let named = |name: &String| {
        failure.mro.contains(name) || failure.error_type == *name || timed_out && TIME_OUT.contains(&name.as_str())
    };
    let by_default = timed_out || failure.mro.iter().any(|name| name == "Exception");
    failure.retry_after_ms.is_some() || if retry.on.is_empty() { by_default } else { retry.on.iter().any(named) }
}

/// Reasons that say no more than that the attempt's runner or container is gone: another is there at once.
const GONE: [&str; 6] = ["runner_lost", "runner_cancelled", "container_vanished", "link_lost", "fenced", "restored"];

/// Whether another attempt, elsewhere, has what this one lacked.
fn is_elsewhere(reason: &str) -> bool {
    GONE.contains(&reason)
}

/// How attempts follow one another while the platform is in trouble: all that there are must not be used up within a moment of it.
fn trouble() -> Retry {
    Retry { retries: limits::INFRASTRUCTURE_RETRIES, backoff_ms: 1000, exponential: true, on: Vec::new() }
}

/// The longest delay between attempts: a day, so that a policy cannot park a run for ever.
const LONGEST_BACKOFF_MS: u64 = 24 * 3600 * 1000;

/// The delay before the next attempt, with up to a quarter of it as jitter that follows from the attempt's name.
fn backoff_ms(retry: &Retry, used: u32, key: AttemptKey) -> u64 {
    let factor = if retry.exponential { 1_u64.checked_shl(used).unwrap_or(u64::MAX) } else { 1 };
    let delay = retry.backoff_ms.saturating_mul(factor).min(LONGEST_BACKOFF_MS);
    let jitter = u64::from(Digest::of(key.to_string().as_bytes()).0[0]);
    delay + delay / 4 * jitter / 255
}

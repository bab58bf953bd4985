//! The state machine itself: one input in, the next state and what the shell must do out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Effect, Happening, Input, KillReason, MapExtent, NodeDetail, NodeRun, Refused, RunError, RunHead, RunSpec,
    RunState, StepRuns,
};
use crate::{
    condition::Undecided,
    definition::{OnFailure, Retry, StepKind},
    environment::EnvLock,
    ids::{AttemptKey, Digest, NodeKey, StepIx, Timestamp},
    limits,
    outcome::{Ending, Failure, Outcome},
    plan::Plan,
    status::{FailureClass, NodeStatus, RunStatus},
};

impl NodeRun {
    const fn new(status: NodeStatus) -> Self {
        Self { status, attempt: 0, user_retries: 0, infra_retries: 0, ready_at: None, detail: None, map: None }
    }

    fn detail(&mut self) -> &mut NodeDetail {
        self.detail.get_or_insert_default()
    }
}

impl RunState {
    /// A run that was just submitted.
    pub fn new(spec: Arc<RunSpec>, plan: Arc<Plan>) -> Self {
        let head = RunHead {
            status: RunStatus::Pending,
            reason: None,
            started_at: None,
            ended_at: None,
            branches: vec![None; plan.branches.len()],
            locks: vec![None; plan.environments.len()],
            lock_errors: BTreeMap::new(),
            result: None,
            error: None,
            restarts: 0,
        };
        Self::restore(spec, plan, head, Vec::new())
    }

    /// A run as its rows tell it; a step without a row is waiting.
    pub fn restore(spec: Arc<RunSpec>, plan: Arc<Plan>, head: RunHead, rows: Vec<(NodeKey, NodeRun)>) -> Self {
        let waiting = || StepRuns { own: NodeRun::new(NodeStatus::Waiting), elements: Vec::new() };
        let mut steps: Vec<StepRuns> = plan.steps.iter().map(|_| waiting()).collect();
        let mut rows = rows;
        rows.sort_by_key(|(key, _)| *key);
        for (key, row) in rows {
            let runs = &mut steps[key.step.0 as usize];
            match key.index {
                None => runs.own = row,
                Some(_) => runs.elements.push(row),
            }
        }
        let mut state = Self {
            spec,
            plan,
            head,
            steps,
            open: Vec::new(),
            ready: BTreeSet::new(),
            timers: BTreeSet::new(),
            held: 0,
            held_by_function: BTreeMap::new(),
        };
        state.index();
        state
    }

    /// Works out anew what follows from the rows.
    fn index(&mut self) {
        let plan = self.plan.clone();
        let ended = |state: &Self, need: &StepIx| state.steps[need.0 as usize].own.status.is_terminal();
        self.open =
            plan.steps.iter().map(|s| s.needs.iter().filter(|need| !ended(self, need)).count() as u32).collect();
        self.ready.clear();
        self.timers.clear();
        self.held = 0;
        self.held_by_function.clear();
        let keys: Vec<NodeKey> = self.nodes().map(|(key, _)| key).collect();
        for key in keys {
            let run = self.run(key);
            let (status, mapped, at) = (run.status, run.map, run.ready_at);
            match (status, mapped) {
                (NodeStatus::Ready, None) => drop(self.ready.insert(key)),
                (NodeStatus::Ready | NodeStatus::Running, Some(map)) if map.cursor < map.length => {
                    self.ready.insert(key);
                }
                (NodeStatus::Retrying, _) => drop(self.timers.insert((at.unwrap_or_default(), key))),
                (NodeStatus::Leased | NodeStatus::Running, None) => self.hold(key),
                _ => {}
            }
        }
    }

    /// Node runs that may be leased now, in the order of steps; of a mapped step the next element.
    pub fn ready(&self) -> impl Iterator<Item = NodeKey> + '_ {
        let full = self.plan.max_parallel.is_some_and(|most| self.held >= most);
        let going = self.head.status == RunStatus::Running && !full;
        self.ready.iter().filter(move |key| going && self.may_lease(**key)).map(|key| match self.run(*key).map {
            Some(map) => NodeKey { index: Some(map.cursor), ..*key },
            None => *key,
        })
    }

    fn may_lease(&self, key: NodeKey) -> bool {
        let step = self.plan.step(key.step);
        let function = step.kind.function();
        let held = self.held_by_function.get(function).copied().unwrap_or(0);
        self.head.locks[step.environment as usize].is_some()
            && self.plan.nodes[function].max_parallel.is_none_or(|most| held < most)
    }

    /// A node run; an element that was never leased has none.
    pub fn node(&self, key: NodeKey) -> Option<&NodeRun> {
        let runs = self.steps.get(key.step.0 as usize)?;
        match key.index {
            None => Some(&runs.own),
            Some(index) => runs.elements.get(index as usize),
        }
    }

    /// Every node run, each mapped step before its elements.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeKey, &NodeRun)> + '_ {
        self.steps.iter().enumerate().flat_map(|(ix, runs)| {
            let step = StepIx(ix as u32);
            let elements = runs.elements.iter().enumerate();
            let keyed = elements.map(move |(i, run)| (NodeKey { step, index: Some(i as u32) }, run));
            std::iter::once((NodeKey { step, index: None }, &runs.own)).chain(keyed)
        })
    }

    /// `fetch`, `fetch-2`, `fetch[3]`.
    pub fn node_id(&self, key: NodeKey) -> String {
        let id = &self.plan.step(key.step).id;
        key.index.map_or_else(|| id.clone(), |index| format!("{id}[{index}]"))
    }

    /// Steps and elements that completed or were skipped, and how many there are in all as far as is known.
    pub fn counts(&self) -> (u32, u32) {
        self.steps.iter().fold((0, 0), |(done, all), runs| match runs.own.map {
            Some(map) => (done + map.completed, all + map.length),
            None => (done + u32::from(matches!(runs.own.status, NodeStatus::Completed | NodeStatus::Skipped)), all + 1),
        })
    }

    /// The lock of a node run's environment.
    pub fn lock(&self, key: NodeKey) -> Option<&Arc<EnvLock>> {
        self.head.locks[self.plan.step(key.step).environment as usize].as_ref()
    }

    /// When [`Input::Tick`] is next worth giving.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let run = self.deadline().filter(|_| !self.head.status.is_terminal());
        let timer = self.timers.first().map(|(at, _)| *at);
        [run, timer].into_iter().flatten().min()
    }

    fn deadline(&self) -> Option<Timestamp> {
        Some(self.head.started_at?.plus_ms(self.plan.timeout_ms?))
    }

    /// Moves the run on one input, and says what the shell must now perform. A refused input gives the state back as it was.
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
        for ix in 0..self.steps.len() {
            if self.open[ix] == 0 {
                self.enable(StepIx(ix as u32), now, effects);
            }
        }
        self.wake(effects);
        self.finish(now, effects);
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
        effects.push(Effect::SaveRun);
        match result {
            Ok(lock) => {
                // The first lock stays: attempts that began under it must not be followed by others under another.
                slot.get_or_insert(lock);
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
            }
        }
        Ok(())
    }

    /// All that a step needs has ended: it becomes ready, is skipped, or fails with what it needs.
    fn enable(&mut self, step: StepIx, now: Timestamp, effects: &mut Vec<Effect>) {
        let plan = self.plan.clone();
        let key = NodeKey { step, index: None };
        let planned = plan.step(step);
        let failed = planned
            .needs
            .iter()
            .any(|need| !matches!(self.steps[need.0 as usize].own.status, NodeStatus::Completed | NodeStatus::Skipped));
        // A side that is not taken is skipped also where something else that it reads has failed.
        let holds = match self.guards_hold(&planned.guards) {
            Ok((holds, decided)) => {
                for branch in decided {
                    let holds = self.head.branches[branch.0 as usize] == Some(true);
                    effects.push(Effect::SaveRun);
                    effects.push(Effect::Record(Happening::BranchTaken { branch: branch.0, holds }));
                }
                holds
            }
            Err(_) if failed => true,
            Err(undecided) => return self.end(key, NodeStatus::Failed, Some(of_user(undecided)), now, effects),
        };
        if !holds {
            return self.end(key, NodeStatus::Skipped, None, now, effects);
        }
        if failed {
            return self.end(key, NodeStatus::UpstreamFailed, None, now, effects);
        }
        if let Some(failure) = self.head.lock_errors.get(&planned.environment).cloned() {
            return self.end(key, NodeStatus::Failed, Some(failure), now, effects);
        }
        for (_, argument) in &planned.arguments {
            argument.branches(&mut |branch| {
                // Undecidable here only where a guard above would have failed already.
                drop(self.branch(branch, &mut Vec::new()));
            });
        }
        if let StepKind::Map { over, .. } = &planned.kind {
            match self.extent(step, over) {
                Ok(length) => {
                    self.run_mut(key).map = Some(MapExtent { length, ..MapExtent::default() });
                    effects.push(Effect::Record(Happening::MapOpened { node: key, length }));
                    if length == 0 {
                        return self.end(key, NodeStatus::Completed, None, now, effects);
                    }
                }
                Err(failure) => return self.end(key, NodeStatus::Failed, Some(failure), now, effects),
            }
        }
        let run = self.run_mut(key);
        run.status = NodeStatus::Ready;
        run.ready_at = Some(now);
        self.ready.insert(key);
        effects.extend([Effect::SaveNode(key), Effect::Ready]);
    }

    /// The common length of a map's lists.
    fn extent(&self, step: StepIx, over: &[String]) -> Result<u32, Failure> {
        let planned = self.plan.step(step);
        let mut known: Option<(&str, u32)> = None;
        for (name, argument) in planned.arguments.iter().filter(|(name, _)| over.contains(name)) {
            let length = self.length(argument).map_err(of_user)?;
            match known {
                Some((other, expected)) if expected != length => {
                    let message =
                        format!("map over lists of unequal length: {other} has {expected}, {name} has {length}");
                    return Err(user("ValueError", message));
                }
                _ => known = Some((name, length)),
            }
        }
        let length = known.map_or(0, |(_, length)| length);
        let (_, others) = self.counts();
        if others.saturating_add(length) > limits::NODE_RUNS {
            let most = limits::NODE_RUNS;
            return Err(user("ValueError", format!("map over {length} elements: a run has at most {most} node runs")));
        }
        Ok(length)
    }

    fn lease(
        &mut self,
        key: NodeKey,
        runner: String,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        let own = NodeKey { index: None, ..key };
        let mapped = self.node(own).ok_or(Refused::Unknown)?.map;
        if !self.ready().any(|ready| ready == key) {
            return Err(self.node(key).map_or(Refused::Unknown, |run| Refused::Node(run.status)));
        }
        let opening = mapped.filter(|map| key.index == Some(map.cursor));
        if let Some(map) = opening {
            let ready_at = self.run(own).ready_at;
            self.steps[key.step.0 as usize].elements.push(NodeRun { ready_at, ..NodeRun::new(NodeStatus::Ready) });
            let run = self.run_mut(own);
            run.map = Some(MapExtent { cursor: map.cursor + 1, ..map });
            run.status = NodeStatus::Running;
            run.detail().started_at.get_or_insert(now);
            if map.cursor + 1 == map.length {
                self.ready.remove(&own);
            }
            effects.push(Effect::SaveNode(own));
        } else {
            self.ready.remove(&key);
        }
        let run = self.run_mut(key);
        run.status = NodeStatus::Leased;
        run.attempt += 1;
        let queued_ms = now.ms_since(run.ready_at.unwrap_or(now));
        let failure = run.detail.take().and_then(|detail| detail.failure);
        run.detail =
            Some(Box::new(NodeDetail { runner: runner.clone(), leased_at: now, failure, ..NodeDetail::default() }));
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

    /// Counts an attempt as held and sets its timer.
    fn hold(&mut self, key: NodeKey) {
        let plan = self.plan.clone();
        self.held += 1;
        *self.held_by_function.entry(plan.step(key.step).kind.function().to_owned()).or_default() += 1;
        if let (Some(timeout), Some(detail)) = (plan.node(key.step).timeout_ms, &self.run(key).detail) {
            // The runner's own time-out comes first, and begins when the code does: this one is for a runner that does not.
            let begun = detail.started_at.unwrap_or(detail.leased_at);
            self.timers.insert((begun.plus_ms(timeout.saturating_add(limits::TIMEOUT_GRACE_MS)), key));
        }
    }

    fn release(&mut self, key: NodeKey) {
        self.held -= 1;
        if let Some(held) = self.held_by_function.get_mut(self.plan.step(key.step).kind.function()) {
            *held -= 1;
        }
        self.timers.retain(|(_, timed)| *timed != key);
    }

    /// Checks that an attempt is its node's current one and held.
    fn current(&self, key: AttemptKey) -> Result<&NodeRun, Refused> {
        let run = self.node(key.node).ok_or(Refused::Unknown)?;
        if run.attempt != key.attempt {
            return Err(Refused::Stale { given: key.attempt, current: run.attempt });
        }
        if !run.status.is_held() || run.map.is_some() { Err(Refused::Node(run.status)) } else { Ok(run) }
    }

    fn started(
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
        self.release(key.node);
        self.hold(key.node);
        let record = Happening::NodeStarted { node: key.node, attempt: key.attempt };
        effects.extend([Effect::SaveNode(key.node), Effect::Record(record)]);
        Ok(())
    }

    fn ended(
        &mut self,
        key: AttemptKey,
        outcome: Outcome,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        self.current(key)?;
        self.release(key.node);
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
            Ending::Failed(failure) => self.failed(key, *failure, NodeStatus::Failed, now, effects),
            Ending::TimedOut(failure) => self.failed(key, *failure, NodeStatus::TimedOut, now, effects),
            Ending::Cancelled => self.end(key.node, NodeStatus::Cancelled, None, now, effects),
            Ending::Lost { reason, message } => self.lost(key, reason, message, now, effects),
        }
        self.finish(now, effects);
        Ok(())
    }

    fn failed(
        &mut self,
        key: AttemptKey,
        failure: Failure,
        status: NodeStatus,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let plan = self.plan.clone();
        let node = plan.node(key.node.step);
        let used = self.run(key.node).user_retries;
        if used < node.retry.retries && node.idempotent && may_retry(&node.retry, &failure, status) {
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
        let idempotent = self.plan.node(key.node.step).idempotent || !began;
        if idempotent && self.run(key.node).infra_retries < limits::INFRASTRUCTURE_RETRIES {
            self.run_mut(key.node).infra_retries += 1;
            self.retry(key, 0, "infrastructure", failure, now, effects);
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

    fn tick(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            let timeout = self.plan.timeout_ms.unwrap_or_default();
            let failure = user("timeout", format!("the run's time of {timeout} ms is up"));
            self.head.error = Some(RunError { node_id: None, failure });
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
                let (attempt, runner) = (run.attempt, run.detail().runner.clone());
                let key = AttemptKey { run: self.spec.id, node: key, attempt };
                effects.push(Effect::Kill { key, runner, reason: KillReason::TimedOut });
                self.release(key.node);
                let timeout = self.plan.node(key.node.step).timeout_ms.unwrap_or_default();
                let failure = user("timeout", format!("not ended {timeout} ms after it began"));
                self.failed(key, failure, NodeStatus::TimedOut, now, effects);
            }
        }
        self.finish(now, effects);
        self.wake(effects);
    }

    /// Ends a node run, and what follows from it.
    fn end(
        &mut self,
        key: NodeKey,
        status: NodeStatus,
        failure: Option<Failure>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        self.ready.remove(&key);
        let run = self.run_mut(key);
        run.status = status;
        let attempt = run.attempt;
        let detail = run.detail();
        detail.ended_at = Some(now);
        detail.failure = failure.clone().map(Box::new).or(detail.failure.take());
        let phases = detail.phases;
        effects.push(Effect::SaveNode(key));
        let failure = failure.map(Box::new);
        if let (NodeStatus::Failed | NodeStatus::TimedOut, Some(failure), None) = (status, &failure, &self.head.error) {
            self.head.error = Some(RunError { node_id: Some(self.node_id(key)), failure: (**failure).clone() });
            effects.push(Effect::SaveRun);
        }
        effects.push(Effect::Record(Happening::NodeEnded { node: key, attempt, status, failure, phases }));
        match key.index {
            Some(_) => self.element_ended(key, status, now, effects),
            None => {
                for enabled in self.plan.clone().step(key.step).enables.iter().copied() {
                    let open = &mut self.open[enabled.0 as usize];
                    *open -= 1;
                    if *open == 0 && self.steps[enabled.0 as usize].own.status == NodeStatus::Waiting {
                        self.enable(enabled, now, effects);
                    }
                }
            }
        }
    }

    fn element_ended(&mut self, key: NodeKey, status: NodeStatus, now: Timestamp, effects: &mut Vec<Effect>) {
        let own = NodeKey { index: None, ..key };
        let Some(map) = &mut self.run_mut(own).map else { return };
        if status == NodeStatus::Completed {
            map.completed += 1;
        } else {
            map.failed += 1;
        }
        let map = *map;
        effects.push(Effect::SaveNode(own));
        if map.completed == map.length {
            self.end(own, NodeStatus::Completed, None, now, effects);
        } else if map.completed + map.failed == map.length {
            let status = if status == NodeStatus::Completed { NodeStatus::Failed } else { status };
            self.end(own, status, None, now, effects);
        }
    }

    /// Ends the run where all its steps have ended, or where a failure stops the rest.
    fn finish(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.head.status.is_terminal() {
            return;
        }
        let stops = self.plan.on_failure == OnFailure::Stop && self.head.error.is_some();
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
        let mut branches = Vec::new();
        plan.result.branches(&mut |branch| branches.push(branch));
        for branch in branches {
            if let Err(undecided) = self.branch(branch, &mut Vec::new()) {
                self.head.error = Some(RunError { node_id: None, failure: of_user(undecided) });
                return self.stop(RunStatus::Failed, None, now, effects);
            }
        }
        self.head.result = Some(self.argument(&plan.result));
        self.head.status = RunStatus::Completed;
        self.head.ended_at = Some(now);
        self.record_status(effects);
    }

    /// Ends the run as `status`: what runs is killed, what waits is cancelled.
    fn stop(&mut self, status: RunStatus, reason: Option<String>, now: Timestamp, effects: &mut Vec<Effect>) {
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
        let mut again = Vec::new();
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
            again.push(key);
        }
        self.index();
        effects.extend([Effect::Record(Happening::Restarted { by }), Effect::Ready]);
        self.record_status(effects);
        self.ask_for_locks(effects);
        for key in again.into_iter().filter(|key| key.index.is_none()) {
            if self.open[key.step.0 as usize] == 0 && self.run(key).status == NodeStatus::Waiting {
                self.enable(key.step, now, effects);
            }
        }
        self.wake(effects);
    }

    fn record_status(&self, effects: &mut Vec<Effect>) {
        let record = Happening::RunStatus { status: self.head.status, reason: self.head.reason.clone() };
        effects.extend([Effect::SaveRun, Effect::Record(record)]);
    }

    fn wake(&self, effects: &mut Vec<Effect>) {
        effects.extend(self.next_wake().map(|at| Effect::Wake { at }));
    }

    fn run(&self, key: NodeKey) -> &NodeRun {
        let runs = &self.steps[key.step.0 as usize];
        key.index.map_or(&runs.own, |index| &runs.elements[index as usize])
    }

    fn run_mut(&mut self, key: NodeKey) -> &mut NodeRun {
        let runs = &mut self.steps[key.step.0 as usize];
        match key.index {
            None => &mut runs.own,
            Some(index) => &mut runs.elements[index as usize],
        }
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

fn user(error_type: &str, message: String) -> Failure {
    Failure { class: Some(FailureClass::User), error_type: error_type.to_owned(), message, ..Failure::default() }
}

fn of_user(undecided: Undecided) -> Failure {
    user(&undecided.error_type.clone(), undecided.message)
}

/// Whether the policy covers this failure: by default any `Exception` and time-outs, not what a second attempt cannot change.
fn may_retry(retry: &Retry, failure: &Failure, status: NodeStatus) -> bool {
    if failure.abort {
        return false;
    }
    let named = |name: &String| failure.mro.contains(name) || failure.error_type == *name;
    let by_default = status == NodeStatus::TimedOut || failure.mro.iter().any(|name| name == "Exception");
    failure.retry_after_ms.is_some() || if retry.on.is_empty() { by_default } else { retry.on.iter().any(named) }
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

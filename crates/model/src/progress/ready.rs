//! What may run now: a run from its rows, the sets that follow from them, and what may be read of it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use super::{NodeDetail, NodeRun, RunHead, RunSpec, RunState, StepRuns};
use crate::{
    environment::EnvLock,
    ids::{NodeKey, StepIx, Timestamp},
    limits,
    plan::Plan,
    status::{NodeStatus, RunStatus},
};

impl NodeRun {
    pub(super) const fn new(status: NodeStatus) -> Self {
        Self { status, attempt: 0, user_retries: 0, infra_retries: 0, ready_at: None, detail: None, map: None }
    }

    pub(super) fn detail(&mut self) -> &mut NodeDetail {
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
            unblocked: VecDeque::new(),
            held: 0,
            held_by_function: BTreeMap::new(),
        };
        state.index();
        state
    }

    /// Works out anew what follows from the rows.
    pub(super) fn index(&mut self) {
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
        let going = self.has_room();
        self.ready.iter().filter(move |key| going && self.may_lease(**key)).map(|key| match self.run(*key).map {
            Some(map) => NodeKey { index: Some(map.cursor), ..*key },
            None => *key,
        })
    }

    /// How many node runs stand behind a key of [`Self::ready`]: of a mapped step all elements that are left to lease.
    pub fn waiting(&self, key: NodeKey) -> u32 {
        self.node(NodeKey { index: None, ..key }).and_then(|run| run.map).map_or(1, |map| map.length - map.cursor)
    }

    /// Whether every environment is locked, or known to be impossible: no code runs before that.
    fn is_locked(&self) -> bool {
        let errors = &self.head.lock_errors;
        (0..).zip(&self.head.locks).all(|(environment, lock)| lock.is_some() || errors.contains_key(&environment))
    }

    fn has_room(&self) -> bool {
        self.head.status == RunStatus::Running
            && self.is_locked()
            && self.plan.max_parallel.is_none_or(|most| self.held < most)
    }

    /// Whether [`Self::ready`] holds `key`, without walking it.
    pub(super) fn is_ready(&self, key: NodeKey) -> bool {
        let own = NodeKey { index: None, ..key };
        let next = self.node(own).and_then(|run| run.map).map(|map| map.cursor);
        let stands = match (next, key.index) {
            (Some(_), None) => false,
            (Some(next), Some(index)) if next == index => self.ready.contains(&own),
            _ => self.ready.contains(&key),
        };
        stands && self.has_room() && self.may_lease(key)
    }

    fn may_lease(&self, key: NodeKey) -> bool {
        let step = self.plan.step(key.step);
        let function = step.kind.callee();
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

    /// When [`super::Input::Tick`] is next worth giving.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let run = self.deadline().filter(|_| !self.head.status.is_terminal());
        let timer = self.timers.first().map(|(at, _)| *at);
        [run, timer].into_iter().flatten().min()
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        Some(self.head.started_at?.plus_ms(self.plan.timeout_ms?))
    }

    /// When we time a held attempt out ourselves, for a runner that does not: not before its code began, since making its
    /// environment does not count.
    pub(super) fn times_out(&self, key: NodeKey) -> Option<Timestamp> {
        let timeout = self.plan.node(key.step).timeout_ms?;
        let began = self.run(key).detail.as_ref()?.started_at?;
        Some(began.plus_ms(timeout.saturating_add(limits::TIMEOUT_GRACE_MS)))
    }

    /// Counts an attempt as held and sets its timer.
    pub(super) fn hold(&mut self, key: NodeKey) {
        self.held += 1;
        *self.held_by_function.entry(self.plan.step(key.step).kind.callee().to_owned()).or_default() += 1;
        self.timers.extend(self.times_out(key).map(|at| (at, key)));
    }

    pub(super) fn release(&mut self, key: NodeKey) {
        self.held -= 1;
        if let Some(held) = self.held_by_function.get_mut(self.plan.step(key.step).kind.callee()) {
            *held -= 1;
        }
        if let Some(at) = self.times_out(key) {
            self.timers.remove(&(at, key));
        }
    }

    pub(super) fn run(&self, key: NodeKey) -> &NodeRun {
        let runs = &self.steps[key.step.0 as usize];
        key.index.map_or(&runs.own, |index| &runs.elements[index as usize])
    }

    pub(super) fn run_mut(&mut self, key: NodeKey) -> &mut NodeRun {
        let runs = &mut self.steps[key.step.0 as usize];
        match key.index {
            None => &mut runs.own,
            Some(index) => &mut runs.elements[index as usize],
        }
    }
}

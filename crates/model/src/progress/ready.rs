//! What may run now, what holds it up, and what may be read of a run.

use std::sync::Arc;

use super::{NodeRun, RunState};
use crate::{
    definition::{NodeDef, StepKind},
    environment::EnvLock,
    ids::{FrameIx, NodeKey, StepIx, Timestamp},
    limits,
    plan::{LaidOut, PlannedStep, WorkflowIx},
    status::{NodeStatus, RunStatus},
};

impl RunState {
    /// Node runs that may be leased now, in the order of steps; of a mapped step the next element.
    pub fn ready(&self) -> impl Iterator<Item = NodeKey> + '_ {
        let going = self.has_room();
        self.ready.iter().filter(move |key| going && self.may_lease(**key)).map(|key| match self.run(*key).map {
            Some(map) => key.element(map.cursor),
            None => *key,
        })
    }

    /// Node runs that nothing but room keeps from being leased, as [`Self::ready`] has them: what may be reused needs no room.
    pub fn reusable(&self) -> impl Iterator<Item = NodeKey> + '_ {
        let going = self.head.status == RunStatus::Running && self.is_locked();
        self.ready.iter().filter(move |_| going).map(|key| match self.run(*key).map {
            Some(map) => key.element(map.cursor),
            None => *key,
        })
    }

    /// Node runs that would be ready once every environment is locked: of a run that goes on and only waits for that.
    pub fn awaiting_locks(&self) -> impl Iterator<Item = NodeKey> + '_ {
        let waits = self.head.status == RunStatus::Running && !self.is_locked();
        self.ready.iter().filter(move |key| waits && self.planned(**key).environment.is_some()).copied()
    }

    /// How many node runs stand behind a key of [`Self::ready`]: of a mapped step all elements that are left to lease.
    pub fn waiting(&self, key: NodeKey) -> u32 {
        self.node(key.own()).and_then(|run| run.map).map_or(1, |map| map.length - map.cursor)
    }

    /// Whether every environment is locked, or known to be impossible: no code runs before that.
    fn is_locked(&self) -> bool {
        let errors = &self.head.lock_errors;
        (0..).zip(&self.head.locks).all(|(environment, lock)| lock.is_some() || errors.contains_key(&environment))
    }

    fn has_room(&self) -> bool {
        self.head.status == RunStatus::Running && self.is_locked() && self.may_hold(FrameIx::ROOT)
    }

    /// Whether a frame may have one attempt more.
    fn may_hold(&self, frame: FrameIx) -> bool {
        let most = self.laid_out(frame).max_parallel;
        most.is_none_or(|most| self.frames[frame.0 as usize].held < most)
    }

    /// Whether [`Self::ready`] holds `key`, without walking it.
    pub(super) fn is_ready(&self, key: NodeKey) -> bool {
        self.stands(key) && self.has_room() && self.may_lease(key)
    }

    /// Whether [`Self::reusable`] holds `key`, without walking it.
    pub(super) fn is_reusable(&self, key: NodeKey) -> bool {
        self.stands(key) && self.is_locked()
    }

    /// Whether `key` is ready itself, or the next element of a mapped step that is.
    fn stands(&self, key: NodeKey) -> bool {
        let own = key.own();
        let next = self.node(own).and_then(|run| run.map).map(|map| map.cursor);
        match (next, key.index) {
            (Some(_), None) => false,
            (Some(next), Some(index)) if next == index => self.ready.contains(&own),
            _ => self.ready.contains(&key),
        }
    }

    fn may_lease(&self, key: NodeKey) -> bool {
        let step = self.planned(key);
        let function = step.kind.callee();
        let held = self.held_by_function.get(function).copied().unwrap_or(0);
        step.environment.is_some_and(|environment| self.head.locks[environment as usize].is_some())
            && self.plan.nodes[function].max_parallel.is_none_or(|most| held < most)
            && (key.frame.is_root() || self.frames_above(key.frame).all(|frame| self.may_hold(frame)))
    }

    /// A frame, and those that it was called from.
    pub(super) fn frames_above(&self, frame: FrameIx) -> impl Iterator<Item = FrameIx> + '_ {
        let caller = |frame: &FrameIx| self.frames[frame.0 as usize].caller.map(|caller| caller.frame);
        std::iter::successors(Some(frame), caller)
    }

    /// A node run; an element that was never leased has none.
    pub fn node(&self, key: NodeKey) -> Option<&NodeRun> {
        self.frames.get(key.frame.0 as usize)?.steps.get(key.step, key.index)
    }

    /// Every node run, each mapped step before its elements, and whoever called a frame before what is in it.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeKey, &NodeRun)> + '_ {
        (0..self.frames.len()).flat_map(|frame| self.nodes_of(FrameIx(frame as u32)))
    }

    /// Every node run of a frame, those that it calls not included.
    pub(super) fn nodes_of(&self, frame: FrameIx) -> impl Iterator<Item = (NodeKey, &NodeRun)> + '_ {
        self.frames[frame.0 as usize].steps.iter().flat_map(move |(step, run, elements)| {
            let own = NodeKey { frame, step, index: None };
            let elements = elements.iter().enumerate().map(move |(i, run)| (own.element(i as u32), run));
            std::iter::once((own, run)).chain(elements)
        })
    }

    /// What a node run is a run of.
    pub fn planned(&self, key: NodeKey) -> &PlannedStep {
        self.plan.step(self.workflow_of(key.frame), key.step)
    }

    /// The node that a node run calls, where it calls one.
    pub fn definition(&self, key: NodeKey) -> Option<&NodeDef> {
        self.plan.node(self.planned(key))
    }

    /// Which workflow a frame is an instance of.
    pub fn workflow_of(&self, frame: FrameIx) -> WorkflowIx {
        self.frames[frame.0 as usize].workflow
    }

    pub(super) fn laid_out(&self, frame: FrameIx) -> &LaidOut {
        self.plan.workflow(self.workflow_of(frame))
    }

    /// Who called a frame; nobody the run's own.
    pub fn caller(&self, frame: FrameIx) -> Option<NodeKey> {
        self.frames.get(frame.0 as usize)?.caller
    }

    /// `fetch`, `fetch-2`, `fetch[3]`, `child/fetch`, `one[1]/parse`.
    pub fn node_id(&self, key: NodeKey) -> String {
        let mut id = self.caller(key.frame).map_or_else(String::new, |caller| self.node_id(caller) + "/");
        id.push_str(&self.planned(key).id);
        if let Some(index) = key.index {
            use std::fmt::Write as _;
            // Writing to a String cannot fail.
            let _ = write!(id, "[{index}]");
        }
        id
    }

    /// The node run of an id.
    pub fn find(&self, node_id: &str) -> Option<NodeKey> {
        let mut frame = FrameIx::ROOT;
        let mut parts = node_id.split('/').peekable();
        while let Some(part) = parts.next() {
            let (id, index) = match part.strip_suffix(']').and_then(|part| part.split_once('[')) {
                Some((id, index)) => (id, Some(index.parse().ok()?)),
                None => (part, None),
            };
            let step = self.laid_out(frame).steps.iter().position(|step| step.id == id)?;
            let key = NodeKey { frame, step: StepIx(step as u32), index };
            let run = self.node(key)?;
            if parts.peek().is_none() {
                return Some(key);
            }
            frame = run.call.as_ref()?.frame;
        }
        None
    }

    /// Who holds the current attempt of a node run, where one is held.
    pub fn holder(&self, key: NodeKey) -> Option<&str> {
        let run = self.node(key)?;
        let held = run.status.is_held() && run.map.is_none() && self.planned(key).kind.node().is_some();
        held.then_some(())?;
        run.detail.as_deref().map(|detail| detail.runner.as_str())
    }

    /// Steps and elements that completed or were skipped, and how many there are in all as far as is known.
    pub fn counts(&self) -> (u32, u32) {
        let steps = self.frames.iter().flat_map(|frame| {
            let planned = &self.plan.workflow(frame.workflow).steps;
            frame.steps.iter().zip(planned)
        });
        steps.fold((0, 0), |(done, all), ((_, run, _), planned)| match run.map {
            Some(map) => (done + map.completed + if planned.settled { map.failed } else { 0 }, all + map.length),
            None => (done + u32::from(ended_well(planned, run)), all + 1),
        })
    }

    /// The lock of a node run's environment.
    pub fn lock(&self, key: NodeKey) -> Option<&Arc<EnvLock>> {
        self.head.locks.get(self.planned(key).environment? as usize)?.as_ref()
    }

    /// Which way the branches of a frame went.
    pub(super) fn branches(&self, frame: FrameIx) -> &[Option<bool>] {
        let Some(caller) = self.frames[frame.0 as usize].caller else { return &self.head.branches };
        self.run(caller).call.as_ref().map_or(&[], |call| &call.branches)
    }

    pub(super) fn branches_mut(&mut self, frame: FrameIx) -> &mut [Option<bool>] {
        let Some(caller) = self.frames[frame.0 as usize].caller else { return &mut self.head.branches };
        self.run_mut(caller).call.as_mut().map_or(&mut [], |call| &mut call.branches)
    }

    /// When [`super::Input::Tick`] is next worth giving.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let run = self.deadline().filter(|_| !self.head.status.is_terminal());
        let timer = self.timers.first().map(|(at, _)| *at);
        [run, timer].into_iter().flatten().min()
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        Some(self.head.started_at?.plus_ms(self.plan.root().timeout_ms?))
    }

    /// When we look again at what runs. At an attempt for a runner that does not time it out itself: not before its code began,
    /// since making its environment does not count.
    pub(super) fn times_out(&self, key: NodeKey) -> Option<Timestamp> {
        let detail = self.run(key).detail.as_ref()?;
        let planned = self.planned(key);
        match planned.kind {
            StepKind::Node { .. } => {
                let timeout = self.plan.node(planned)?.timeout_ms?;
                Some(detail.started_at?.plus_ms(timeout.saturating_add(limits::TIMEOUT_GRACE_MS)))
            }
            StepKind::Workflow { .. } => {
                let frame = self.run(key).call.as_ref()?.frame;
                Some(detail.started_at?.plus_ms(self.laid_out(frame).timeout_ms?))
            }
            StepKind::Sleep | StepKind::Approval { .. } => detail.until,
        }
    }

    /// Counts an attempt as held and sets its timer.
    pub(super) fn hold(&mut self, key: NodeKey) {
        self.count_held(key.frame, 1);
        let function = self.planned(key).kind.callee().to_owned();
        *self.held_by_function.entry(function).or_default() += 1;
        self.timers.extend(self.times_out(key).map(|at| (at, key)));
    }

    pub(super) fn release(&mut self, key: NodeKey) {
        self.count_held(key.frame, -1);
        let plan = self.plan.clone();
        let function = plan.step(self.workflow_of(key.frame), key.step).kind.callee();
        if let Some(held) = self.held_by_function.get_mut(function) {
            *held -= 1;
        }
        if let Some(at) = self.times_out(key) {
            self.timers.remove(&(at, key));
        }
    }

    /// Counts an attempt more or less in a frame and in those that it was called from.
    fn count_held(&mut self, frame: FrameIx, change: i32) {
        let mut at = Some(frame);
        while let Some(frame) = at {
            let frame = &mut self.frames[frame.0 as usize];
            frame.held = frame.held.saturating_add_signed(change);
            at = frame.caller.map(|caller| caller.frame);
        }
    }

    pub(super) fn run(&self, key: NodeKey) -> &NodeRun {
        let rows = &self.frames[key.frame.0 as usize].steps;
        key.index.map_or_else(|| rows.own(key.step), |index| &rows.elements(key.step)[index as usize])
    }

    pub(super) fn run_mut(&mut self, key: NodeKey) -> &mut NodeRun {
        self.frames[key.frame.0 as usize].steps.get_mut(key.step, key.index)
    }
}

/// Whether what needs a step may go on: it completed or was skipped, or its failure is a value.
pub(super) fn ended_well(planned: &PlannedStep, run: &NodeRun) -> bool {
    match run.status {
        NodeStatus::Completed | NodeStatus::Skipped => true,
        NodeStatus::Failed | NodeStatus::TimedOut => planned.settled && !planned.is_mapped(),
        _ => false,
    }
}

/// Whether the failure of a node run is a value: of a settled call, or of an element of a settled map.
pub(super) fn is_settled(planned: &PlannedStep, key: NodeKey) -> bool {
    planned.settled && (key.index.is_some() || !planned.is_mapped())
}

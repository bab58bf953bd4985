//! A run from its rows, and the sets that follow from them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use super::{Frame, NodeDetail, NodeRun, RunHead, RunSpec, RunState, rows::Rows};
use crate::{
    definition::StepKind,
    ids::{FrameIx, NodeKey, StepIx},
    plan::{Plan, WorkflowIx},
    status::{NodeStatus, RunStatus},
};

impl NodeRun {
    pub(super) const fn new(status: NodeStatus) -> Self {
        Self {
            status,
            attempt: 0,
            user_retries: 0,
            infra_retries: 0,
            ready_at: None,
            detail: None,
            map: None,
            call: None,
        }
    }

    /// Whether an attempt's outcome was taken: what each delivery of it is answered with. One that was given up, or cancelled, never is.
    pub fn has_taken(&self, attempt: u32) -> bool {
        let ended = self.status.is_terminal() && self.status != NodeStatus::Cancelled;
        let earlier = || self.detail.as_ref().is_some_and(|detail| detail.taken.contains(&attempt));
        (ended && self.attempt == attempt) || earlier()
    }

    pub(super) fn detail(&mut self) -> &mut NodeDetail {
        self.detail.get_or_insert_default()
    }
}

impl Frame {
    /// A frame of which nothing has begun.
    pub(super) fn new(plan: &Plan, workflow: WorkflowIx, caller: Option<NodeKey>) -> Self {
        let steps = &plan.workflow(workflow).steps;
        Self {
            workflow,
            caller,
            steps: Rows::new(steps.len()),
            open: steps.iter().map(|step| step.needs.len() as u32).collect(),
            left: steps.len() as u32,
            held: 0,
        }
    }
}

impl RunState {
    /// A run that was just submitted.
    pub fn new(spec: Arc<RunSpec>, plan: Arc<Plan>) -> Self {
        let head = RunHead {
            status: RunStatus::Pending,
            reason: None,
            paused_at: None,
            started_at: None,
            ended_at: None,
            branches: vec![None; plan.root().branches.len()],
            locks: vec![None; plan.environments.len()],
            lock_errors: BTreeMap::new(),
            result: None,
            error: None,
            asked: None,
            needs_attention: None,
            restarts: 0,
            crashes: 0,
            attempts_before: 0,
        };
        Self::restore(spec, plan, head, Vec::new())
    }

    /// A run as its rows tell it; a step without a row is waiting.
    pub fn restore(spec: Arc<RunSpec>, plan: Arc<Plan>, head: RunHead, rows: Vec<(NodeKey, NodeRun)>) -> Self {
        let mut rows = rows;
        rows.sort_by_key(|(key, _)| *key);
        let mut calls: Vec<(FrameIx, NodeKey)> =
            rows.iter().filter_map(|(key, row)| Some((row.call.as_ref()?.frame, *key))).collect();
        calls.sort_unstable();
        let mut frames = vec![Frame::new(&plan, WorkflowIx::ROOT, None)];
        for (_, caller) in calls {
            // Who calls stands in a frame before: its workflow is known.
            let calling = frames[caller.frame.0 as usize].workflow;
            let called = plan.step(calling, caller.step).calls.unwrap_or(WorkflowIx::ROOT);
            frames.push(Frame::new(&plan, called, Some(caller)));
        }
        for (key, row) in rows {
            frames[key.frame.0 as usize].steps.put(key.step, key.index, row);
        }
        let mut state = Self {
            spec,
            plan,
            head,
            frames,
            ready: BTreeSet::new(),
            timers: BTreeSet::new(),
            asked: BTreeSet::new(),
            attention: BTreeSet::new(),
            opening: BTreeSet::new(),
            unblocked: VecDeque::new(),
            closing: VecDeque::new(),
            node_runs: 0,
            held_by_function: BTreeMap::new(),
        };
        state.index();
        state
    }

    /// Works out anew what follows from the rows.
    pub(super) fn index(&mut self) {
        let plan = self.plan.clone();
        for frame in &mut self.frames {
            let laid_out = plan.workflow(frame.workflow);
            let ended = |need: &StepIx| frame.steps.own(*need).status.is_terminal();
            let open = laid_out.steps.iter().map(|step| step.needs.iter().filter(|need| !ended(need)).count() as u32);
            frame.open = open.collect();
            frame.left = frame.steps.iter().filter(|(_, own, _)| !own.status.is_terminal()).count() as u32;
            frame.held = 0;
        }
        self.ready.clear();
        self.timers.clear();
        self.asked.clear();
        self.attention.clear();
        self.opening.clear();
        self.held_by_function.clear();
        self.node_runs = plan.root().size;
        let keys: Vec<NodeKey> = self.nodes().map(|(key, _)| key).collect();
        for key in keys {
            self.index_one(&plan, key);
        }
    }

    fn index_one(&mut self, plan: &Plan, key: NodeKey) {
        let planned = plan.step(self.workflow_of(key.frame), key.step);
        let run = self.run(key);
        let (status, map, at) = (run.status, run.map, run.ready_at);
        if let Some(map) = map {
            self.node_runs = self.node_runs.saturating_add(map.length.saturating_mul(plan.takes(planned)));
        }
        match (status, &planned.kind, map) {
            (NodeStatus::Ready, StepKind::Node { .. }, None) => drop(self.ready.insert(key)),
            (NodeStatus::Ready | NodeStatus::Running, StepKind::Node { .. }, Some(map)) if map.cursor < map.length => {
                self.ready.insert(key);
            }
            (NodeStatus::Ready | NodeStatus::Running, StepKind::Workflow { .. }, Some(map)) if map.has_room() => {
                self.opening.insert(key);
            }
            (NodeStatus::Retrying, ..) => match at {
                Some(at) => drop(self.timers.insert((at, key))),
                None => drop(self.attention.insert(key)),
            },
            (NodeStatus::Leased | NodeStatus::Running, StepKind::Node { .. }, None) => self.hold(key),
            (NodeStatus::Running, kind, None) => {
                self.timers.extend(self.times_out(key).map(|at| (at, key)));
                if matches!(kind, StepKind::Approval { .. }) {
                    self.asked.insert(key);
                }
            }
            _ => {}
        }
    }
}

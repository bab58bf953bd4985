//! What follows from a node run's end: steps become ready, are skipped, or fail with what they need.

use super::{
    Effect, Happening, MapExtent, RunError, RunState,
    ready::{ended_well, is_settled},
};
use crate::{
    condition::Undecided,
    definition::StepKind,
    expression::{BranchIx, Expr},
    ids::{FrameIx, NodeKey, Timestamp},
    limits,
    outcome::Failure,
    status::{FailureClass, NodeStatus},
};

impl RunState {
    /// All that a step needs has ended: it becomes ready, is skipped, or fails with what it needs.
    pub(super) fn enable(&mut self, key: NodeKey, now: Timestamp, effects: &mut Vec<Effect>) {
        let plan = self.plan.clone();
        let planned = plan.step(self.workflow_of(key.frame), key.step);
        let failed = planned.needs.iter().any(|need| {
            let need = NodeKey { step: *need, ..key };
            !ended_well(self.planned(need), self.run(need))
        });
        // A side that is not taken is skipped also where something else that it reads has failed.
        let mut decided = Vec::new();
        let holds = self.guards_hold(key.frame, &planned.guards, &mut decided);
        self.record_branches(key.frame, decided, effects);
        let holds = match holds {
            Ok(holds) => holds,
            Err(_) if failed => true,
            Err(undecided) => return self.end(key, NodeStatus::Failed, Some(of_user(undecided)), now, effects),
        };
        if !holds {
            return self.end(key, NodeStatus::Skipped, None, now, effects);
        }
        if failed {
            return self.end(key, NodeStatus::UpstreamFailed, None, now, effects);
        }
        let lock_error = planned.environment.and_then(|environment| self.head.lock_errors.get(&environment).cloned());
        if let Some(failure) = lock_error {
            return self.end(key, NodeStatus::Failed, Some(failure), now, effects);
        }
        if let Err(undecided) = self.settle(key.frame, planned.arguments.iter().map(|(_, e)| e), effects) {
            return self.end(key, NodeStatus::Failed, Some(of_user(undecided)), now, effects);
        }
        if planned.is_mapped() {
            match self.extent(key) {
                Ok(length) => {
                    self.node_runs = self.node_runs.saturating_add(length.saturating_mul(plan.takes(planned)));
                    self.run_mut(key).map = Some(MapExtent { length, ..MapExtent::default() });
                    effects.push(Effect::Record(Happening::MapOpened { node: key, length }));
                    if length == 0 {
                        return self.end(key, NodeStatus::Completed, None, now, effects);
                    }
                }
                Err(undecided) => return self.end(key, NodeStatus::Failed, Some(of_user(undecided)), now, effects),
            }
        }
        match (&planned.kind, planned.is_mapped()) {
            (StepKind::Workflow { .. }, false) => self.open(key, now, effects),
            (StepKind::Sleep, _) => self.sleep(key, now, effects),
            (StepKind::Approval { timeout_ms, .. }, _) => self.ask(key, *timeout_ms, now, effects),
            (StepKind::Node { .. } | StepKind::Workflow { .. }, _) => {
                let run = self.run_mut(key);
                run.status = NodeStatus::Ready;
                run.ready_at = Some(now);
                effects.extend([Effect::SaveNode(key), Effect::Ready]);
                if planned.calls.is_some() {
                    self.opening.insert(key)
                } else {
                    self.ready.insert(key)
                };
            }
        }
    }

    /// Decides whatever these expressions choose by or compare, so that they can be read from now on.
    pub(super) fn settle<'a>(
        &mut self,
        frame: FrameIx,
        expressions: impl Iterator<Item = &'a Expr>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Undecided> {
        let mut decided = Vec::new();
        let mut expressions = expressions;
        let settled = expressions.try_for_each(|expr| self.choose(frame, expr, &mut decided));
        self.record_branches(frame, decided, effects);
        settled
    }

    fn record_branches(&self, frame: FrameIx, decided: Vec<BranchIx>, effects: &mut Vec<Effect>) {
        for branch in decided {
            let holds = self.branches(frame)[branch.0 as usize] == Some(true);
            effects.push(self.caller(frame).map_or(Effect::SaveRun, Effect::SaveNode));
            effects.push(Effect::Record(Happening::BranchTaken { frame, branch: branch.0, holds }));
        }
    }

    /// The common length of a map's lists.
    fn extent(&self, key: NodeKey) -> Result<u32, Undecided> {
        let planned = self.planned(key);
        let mut known: Option<(&str, u32)> = None;
        for (name, argument) in planned.arguments.iter().filter(|(name, _)| planned.over.contains(name)) {
            let length = self.length(key.frame, argument)?;
            match known {
                Some((other, expected)) if expected != length => {
                    let message =
                        format!("map over lists of unequal length: {other} has {expected}, {name} has {length}");
                    return Err(value_error(message));
                }
                _ => known = Some((name, length)),
            }
        }
        let length = known.map_or(0, |(_, length)| length);
        let each = self.plan.takes(planned);
        if self.node_runs.saturating_add(length.saturating_mul(each)) > limits::NODE_RUNS {
            let most = limits::NODE_RUNS;
            let of = if each > 1 { format!(" of {each} node runs each") } else { String::new() };
            return Err(value_error(format!("map over {length} elements{of}: a run has at most {most} node runs")));
        }
        Ok(length)
    }

    /// Ends a node run, and what follows from it.
    pub(super) fn end(
        &mut self,
        key: NodeKey,
        status: NodeStatus,
        failure: Option<Failure>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let timed_out = status == NodeStatus::TimedOut;
        let error = failure.map(|failure| RunError { node_id: Some(self.node_id(key)), failure, timed_out });
        self.conclude(key, status, error, now, effects);
    }

    /// Ends a node run whose error came about in it, or in a node below it.
    pub(super) fn conclude(
        &mut self,
        key: NodeKey,
        status: NodeStatus,
        error: Option<RunError>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        self.forget(key, effects);
        let run = self.run_mut(key);
        run.status = status;
        let attempt = run.attempt;
        let detail = run.detail();
        detail.ended_at = Some(now);
        let failure = error.as_ref().map(|error| Box::new(error.failure.clone()));
        detail.failure = failure.clone().or(detail.failure.take());
        let phases = detail.phases;
        effects.push(Effect::SaveNode(key));
        if let (NodeStatus::Failed | NodeStatus::TimedOut, Some(error)) = (status, error)
            && !is_settled(self.planned(key), key)
        {
            self.blame(key.frame, error, effects);
        }
        effects.push(Effect::Record(Happening::NodeEnded { node: key, attempt, status, failure, phases }));
        match key.index {
            Some(_) => self.element_ended(key, status, now, effects),
            None => self.step_ended(key),
        }
    }

    /// Takes a node run out of what is looked at again.
    pub(super) fn forget(&mut self, key: NodeKey, effects: &mut Vec<Effect>) {
        self.ready.remove(&key);
        self.opening.remove(&key);
        if self.asked.remove(&key) {
            self.tell_asked(effects);
        }
        if self.attention.remove(&key) {
            self.tell_attention(effects);
        }
        if self.run(key).status == NodeStatus::Running
            && let Some(at) = self.times_out(key)
        {
            self.timers.remove(&(at, key));
        }
    }

    fn step_ended(&mut self, key: NodeKey) {
        let plan = self.plan.clone();
        let frame = &mut self.frames[key.frame.0 as usize];
        frame.left -= 1;
        if frame.left == 0 {
            self.closing.push_back(key.frame);
        }
        for enabled in &plan.step(frame.workflow, key.step).enables {
            let open = &mut frame.open[enabled.0 as usize];
            *open -= 1;
            if *open == 0 {
                self.unblocked.push_back(NodeKey { step: *enabled, ..key });
            }
        }
    }

    fn element_ended(&mut self, key: NodeKey, status: NodeStatus, now: Timestamp, effects: &mut Vec<Effect>) {
        let own = key.own();
        let planned = self.planned(own);
        let (settled, calls) = (planned.settled, planned.calls.is_some());
        let Some(map) = &mut self.run_mut(own).map else { return };
        if status == NodeStatus::Completed {
            map.completed += 1;
        } else {
            map.failed += 1;
        }
        let map = *map;
        effects.push(Effect::SaveNode(own));
        if calls && map.has_room() {
            self.opening.insert(own);
        }
        if map.completed == map.length || (settled && map.completed + map.failed == map.length) {
            self.end(own, NodeStatus::Completed, None, now, effects);
        } else if map.completed + map.failed == map.length {
            let status = if status == NodeStatus::Completed { NodeStatus::Failed } else { status };
            self.end(own, status, None, now, effects);
        }
    }
}

pub(super) fn user(error_type: &str, message: String) -> Failure {
    Failure { class: Some(FailureClass::User), error_type: error_type.to_owned(), message, ..Failure::default() }
}

pub(super) fn of_user(undecided: Undecided) -> Failure {
    user(&undecided.error_type, undecided.message)
}

fn value_error(message: String) -> Undecided {
    Undecided { error_type: "ValueError".to_owned(), message }
}

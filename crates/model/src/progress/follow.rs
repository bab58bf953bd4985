//! What follows from a node run's end: steps become ready, are skipped, or fail with what they need.

use super::{Effect, Happening, MapExtent, RunError, RunState};
use crate::{
    condition::Undecided,
    expression::{BranchIx, Expr},
    ids::{NodeKey, StepIx, Timestamp},
    limits,
    outcome::Failure,
    status::{FailureClass, NodeStatus},
};

impl RunState {
    /// All that a step needs has ended: it becomes ready, is skipped, or fails with what it needs.
    pub(super) fn enable(&mut self, step: StepIx, now: Timestamp, effects: &mut Vec<Effect>) {
        let plan = self.plan.clone();
        let key = NodeKey { step, index: None };
        let planned = plan.step(step);
        let failed = planned
            .needs
            .iter()
            .any(|need| !matches!(self.steps[need.0 as usize].own.status, NodeStatus::Completed | NodeStatus::Skipped));
        // A side that is not taken is skipped also where something else that it reads has failed.
        let mut decided = Vec::new();
        let holds = self.guards_hold(&planned.guards, &mut decided);
        self.record_branches(decided, effects);
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
        if let Some(failure) = self.head.lock_errors.get(&planned.environment).cloned() {
            return self.end(key, NodeStatus::Failed, Some(failure), now, effects);
        }
        if let Err(undecided) = self.settle(planned.arguments.iter().map(|(_, e)| e), effects) {
            return self.end(key, NodeStatus::Failed, Some(of_user(undecided)), now, effects);
        }
        if !planned.over.is_empty() {
            match self.extent(step, &planned.over) {
                Ok(length) => {
                    self.run_mut(key).map = Some(MapExtent { length, ..MapExtent::default() });
                    effects.push(Effect::Record(Happening::MapOpened { node: key, length }));
                    if length == 0 {
                        return self.end(key, NodeStatus::Completed, None, now, effects);
                    }
                }
                Err(undecided) => return self.end(key, NodeStatus::Failed, Some(of_user(undecided)), now, effects),
            }
        }
        let run = self.run_mut(key);
        run.status = NodeStatus::Ready;
        run.ready_at = Some(now);
        self.ready.insert(key);
        effects.extend([Effect::SaveNode(key), Effect::Ready]);
    }

    /// Decides whatever these expressions choose by or compare, so that they can be read from now on.
    pub(super) fn settle<'a>(
        &mut self,
        expressions: impl Iterator<Item = &'a Expr>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Undecided> {
        let mut decided = Vec::new();
        let mut expressions = expressions;
        let settled = expressions.try_for_each(|expr| self.choose(expr, &mut decided));
        self.record_branches(decided, effects);
        settled
    }

    fn record_branches(&self, decided: Vec<BranchIx>, effects: &mut Vec<Effect>) {
        for branch in decided {
            let holds = self.head.branches[branch.0 as usize] == Some(true);
            effects.push(Effect::SaveRun);
            effects.push(Effect::Record(Happening::BranchTaken { branch: branch.0, holds }));
        }
    }

    /// The common length of a map's lists.
    fn extent(&self, step: StepIx, over: &[String]) -> Result<u32, Undecided> {
        let planned = self.plan.step(step);
        let mut known: Option<(&str, u32)> = None;
        for (name, argument) in planned.arguments.iter().filter(|(name, _)| over.contains(name)) {
            let length = self.length(argument)?;
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
        let (_, others) = self.counts();
        if others.saturating_add(length) > limits::NODE_RUNS {
            let most = limits::NODE_RUNS;
            return Err(value_error(format!("map over {length} elements: a run has at most {most} node runs")));
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
                    if *open == 0 {
                        self.unblocked.push_back(enabled);
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

//! Calls of workflows: a frame is opened, ends with its steps, or is stopped, and its caller ends with it.

use super::{Call, Effect, Frame, Happening, KillReason, MapExtent, NodeRun, RunError, RunState, follow::of_user};
use crate::{
    definition::OnFailure,
    ids::{AttemptKey, FrameIx, NodeKey, StepIx, Timestamp},
    limits,
    status::NodeStatus,
};

impl MapExtent {
    /// Whether a call more may be opened.
    pub(super) const fn has_room(&self) -> bool {
        self.cursor < self.length && self.cursor - self.completed - self.failed < limits::OPEN_FRAMES
    }
}

impl RunState {
    /// Opens a call's frame.
    pub(super) fn open(&mut self, key: NodeKey, now: Timestamp, effects: &mut Vec<Effect>) {
        let plan = self.plan.clone();
        let Some(called) = self.planned(key).calls else { return };
        let frame = FrameIx(self.frames.len() as u32);
        self.frames.push(Frame::new(&plan, called, Some(key)));
        let workflow = plan.workflow(called);
        let run = self.run_mut(key);
        run.status = NodeStatus::Running;
        run.attempt += 1;
        run.call = Some(Box::new(Call { frame, branches: vec![None; workflow.branches.len()], error: None }));
        let detail = run.detail();
        (detail.leased_at, detail.started_at) = (now, Some(now));
        self.timers.extend(self.times_out(key).map(|at| (at, key)));
        let record = Happening::FrameOpened { node: key, frame, workflow: workflow.name.clone() };
        effects.extend([Effect::SaveNode(key), Effect::Record(record)]);
        self.unblock(frame);
    }

    /// Has [`Self::finish`] look at a frame: at every step that nothing is left to wait for, and whether it has ended.
    pub(super) fn unblock(&mut self, frame: FrameIx) {
        let of = &self.frames[frame.0 as usize];
        let free = (0..).zip(&of.open).filter(|(_, open)| **open == 0);
        self.unblocked.extend(free.map(|(ix, _)| NodeKey { frame, step: StepIx(ix), index: None }));
        if of.left == 0 {
            self.closing.push_back(frame);
        }
    }

    /// Opens the next call of a mapped workflow that has room; whether there was one.
    pub(super) fn open_next(&mut self, now: Timestamp, effects: &mut Vec<Effect>) -> bool {
        let Some(own) = self.opening.first().copied() else { return false };
        let Some(map) = self.run(own).map else { return self.opening.remove(&own) };
        let ready_at = self.run(own).ready_at;
        let element = NodeRun { ready_at, ..NodeRun::new(NodeStatus::Ready) };
        self.frames[own.frame.0 as usize].steps.put(own.step, Some(map.cursor), element);
        let extent = MapExtent { cursor: map.cursor + 1, ..map };
        let run = self.run_mut(own);
        run.map = Some(extent);
        run.status = NodeStatus::Running;
        run.detail().started_at.get_or_insert(now);
        if !extent.has_room() {
            self.opening.remove(&own);
        }
        effects.push(Effect::SaveNode(own));
        self.open(own.element(map.cursor), now, effects);
        true
    }

    /// A failure that is no value becomes its frame's, where that has none: the first decides.
    pub(super) fn blame(&mut self, frame: FrameIx, error: RunError, effects: &mut Vec<Effect>) {
        let stops = self.laid_out(frame).on_failure == OnFailure::Stop;
        let Some(caller) = self.caller(frame) else {
            if self.head.error.is_none() {
                self.head.error = Some(error);
                effects.push(Effect::SaveRun);
            }
            return;
        };
        if let Some(call) = &mut self.run_mut(caller).call
            && call.error.is_none()
        {
            call.error = Some(Box::new(error));
            effects.push(Effect::SaveNode(caller));
            if stops {
                self.closing.push_back(frame);
            }
        }
    }

    /// Ends a frame's call where its steps have ended, or where a failure stops the rest.
    pub(super) fn close(&mut self, frame: FrameIx, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(caller) = self.caller(frame) else { return };
        let run = self.run(caller);
        if run.status.is_terminal() {
            return;
        }
        let error = run.call.as_ref().and_then(|call| call.error.clone());
        if self.frames[frame.0 as usize].left > 0 {
            if error.is_none() {
                return;
            }
            self.cancel_frame(frame, KillReason::Cancelled, now, effects);
        }
        if let Some(error) = error {
            let status = if error.timed_out { NodeStatus::TimedOut } else { NodeStatus::Failed };
            return self.conclude(caller, status, Some(*error), now, effects);
        }
        let plan = self.plan.clone();
        let result = &plan.workflow(self.workflow_of(frame)).result;
        match self.settle(frame, std::iter::once(result), effects) {
            Ok(()) => self.end(caller, NodeStatus::Completed, None, now, effects),
            Err(undecided) => self.end(caller, NodeStatus::Failed, Some(of_user(undecided)), now, effects),
        }
    }

    /// Cancels what has not ended in a frame, and in those that are called from it.
    pub(super) fn cancel_frame(&mut self, frame: FrameIx, why: KillReason, now: Timestamp, effects: &mut Vec<Effect>) {
        let mut frames = vec![frame];
        while let Some(frame) = frames.pop() {
            let open: Vec<NodeKey> =
                self.nodes_of(frame).filter(|(_, run)| !run.status.is_terminal()).map(|(key, _)| key).collect();
            for key in open {
                frames.extend(self.run(key).call.as_ref().map(|call| call.frame));
                self.cancel(key, why, now, effects);
            }
            let frame = &mut self.frames[frame.0 as usize];
            frame.left = 0;
            frame.open.fill(0);
        }
    }

    /// Cancels a node run; a runner that holds it is to kill it.
    fn cancel(&mut self, key: NodeKey, why: KillReason, now: Timestamp, effects: &mut Vec<Effect>) {
        if let Some(runner) = self.holder(key).map(str::to_owned) {
            let attempt = AttemptKey { run: self.spec.id, node: key, attempt: self.run(key).attempt };
            effects.push(Effect::Kill { key: attempt, runner, reason: why });
            self.release(key);
        }
        if let (NodeStatus::Retrying, Some(at)) = (self.run(key).status, self.run(key).ready_at) {
            self.timers.remove(&(at, key));
        }
        self.forget(key, effects);
        let run = self.run_mut(key);
        run.status = NodeStatus::Cancelled;
        run.detail().ended_at = Some(now);
        let (attempt, phases) = (run.attempt, run.detail().phases);
        let record = Happening::NodeEnded { node: key, attempt, status: NodeStatus::Cancelled, failure: None, phases };
        effects.extend([Effect::SaveNode(key), Effect::Record(record)]);
    }
}

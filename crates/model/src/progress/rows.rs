//! Node runs of a frame in memory: of each step its own and those of its elements. A step that nothing has happened to takes no room:
//! of 10,000 runs that wait most steps are such.

use super::NodeRun;
use crate::{ids::StepIx, status::NodeStatus};

/// A step that nothing has happened to.
static WAITING: NodeRun = NodeRun::new(NodeStatus::Waiting);

/// Node runs by step.
#[derive(Clone, Debug)]
pub(super) struct Rows(Box<[Option<Box<OfStep>>]>);

/// A step's node run, and its elements' where it is mapped.
#[derive(Clone, Debug)]
struct OfStep {
    own: NodeRun,
    elements: Vec<NodeRun>,
}

impl Rows {
    /// So many steps that wait.
    pub(super) fn new(steps: usize) -> Self {
        Self(vec![None; steps].into())
    }

    fn of(&self, step: StepIx) -> Option<&OfStep> {
        self.0[step.0 as usize].as_deref()
    }

    fn of_mut(&mut self, step: StepIx) -> &mut OfStep {
        let waiting = || Box::new(OfStep { own: WAITING.clone(), elements: Vec::new() });
        self.0[step.0 as usize].get_or_insert_with(waiting)
    }

    /// A step's own node run.
    pub(super) fn own(&self, step: StepIx) -> &NodeRun {
        self.of(step).map_or(&WAITING, |of| &of.own)
    }

    /// Node runs of a step's elements, as far as they are there.
    pub(super) fn elements(&self, step: StepIx) -> &[NodeRun] {
        self.of(step).map_or(&[], |of| &of.elements)
    }

    /// A step's node run or an element's; nothing where there is none.
    pub(super) fn get(&self, step: StepIx, index: Option<u32>) -> Option<&NodeRun> {
        match index {
            _ if step.0 as usize >= self.0.len() => None,
            None => Some(self.own(step)),
            Some(index) => self.elements(step).get(index as usize),
        }
    }

    /// A step's node run or an element's that is there, to be changed.
    pub(super) fn get_mut(&mut self, step: StepIx, index: Option<u32>) -> &mut NodeRun {
        let of = self.of_mut(step);
        match index {
            None => &mut of.own,
            Some(index) => &mut of.elements[index as usize],
        }
    }

    /// Puts a step's own node run in its place, or an element's behind those before it.
    pub(super) fn put(&mut self, step: StepIx, index: Option<u32>, run: NodeRun) {
        let of = self.of_mut(step);
        match index {
            None => of.own = run,
            Some(_) => of.elements.push(run),
        }
    }

    /// Each step's own node run, and its elements'.
    pub(super) fn iter(&self) -> impl Iterator<Item = (StepIx, &NodeRun, &[NodeRun])> {
        (0..self.0.len() as u32).map(|step| (StepIx(step), self.own(StepIx(step)), self.elements(StepIx(step))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_takes_room_once_something_happens_to_it() {
        let (one, other, mut rows) = (StepIx(0), StepIx(1), Rows::new(2));
        assert_eq!((rows.own(one).status, rows.elements(one).len()), (NodeStatus::Waiting, 0));
        rows.get_mut(one, None).status = NodeStatus::Ready;
        rows.put(one, Some(0), NodeRun::new(NodeStatus::Leased));
        assert!(rows.of(one).is_some() && rows.of(other).is_none());
        let all: Vec<_> = rows.iter().map(|(_, own, elements)| (own.status, elements.len())).collect();
        assert_eq!(all, [(NodeStatus::Ready, 1), (NodeStatus::Waiting, 0)]);
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let rows = Rows::new(1);
        assert!(rows.get(StepIx(0), None).is_some());
        assert!(rows.get(StepIx(0), Some(0)).is_none() && rows.get(StepIx(1), None).is_none());
    }
}

//! Branches: `if`, `elif`, `else`, what names are bound to behind them, and which paths have returned.

use qflow_model::{
    definition::{Branch, Guard},
    expression::{BranchIx, Condition, Expr as Value},
    ids::StepIx,
    limits,
};
use ruff_python_ast::{ElifElseClause, Expr, Stmt};
use ruff_text_size::{Ranged, TextRange};
use serde_json::json;

use super::{Body, Order, names::Changes, none};

/// How the paths through a block end.
#[derive(Clone)]
pub(super) enum Flow {
    /// It goes on behind the block.
    Falls,
    /// It has returned this.
    Returned(Value),
    /// As a branch decides.
    Split { branch: BranchIx, then: Box<Flow>, otherwise: Box<Flow> },
}

impl Flow {
    fn split(branch: BranchIx, then: Self, otherwise: Self) -> Self {
        match (then, otherwise) {
            (Self::Falls, Self::Falls) => Self::Falls,
            (then, otherwise) => Self::Split { branch, then: Box::new(then), otherwise: Box::new(otherwise) },
        }
    }

    /// Whether a path goes on.
    pub(super) fn falls(&self) -> bool {
        match self {
            Self::Falls => true,
            Self::Returned(_) => false,
            Self::Split { then, otherwise, .. } => then.falls() || otherwise.falls(),
        }
    }

    /// Whether a path returns.
    pub(super) fn returns(&self) -> bool {
        match self {
            Self::Falls => false,
            Self::Returned(_) => true,
            Self::Split { then, otherwise, .. } => then.returns() || otherwise.returns(),
        }
    }

    /// What is returned; `None` where a path comes to the end.
    pub(super) fn result(self) -> Value {
        self.choose(&|end| end.unwrap_or_else(none))
    }

    /// What is returned, of the paths that return; nothing where none does.
    fn returned(self) -> Option<Value> {
        match self {
            Self::Falls => None,
            Self::Returned(value) => Some(value),
            Self::Split { branch, then, otherwise } => match (then.returned(), otherwise.returned()) {
                (Some(then), Some(otherwise)) => Some(select(branch, then, otherwise)),
                (one, other) => one.or(other),
            },
        }
    }

    /// Whether it goes on, as a value that the branches choose.
    fn reached(self) -> Value {
        self.choose(&|end| Value::Literal(json!(end.is_none())))
    }

    fn choose(self, of: &impl Fn(Option<Value>) -> Value) -> Value {
        match self {
            Self::Falls => of(None),
            Self::Returned(value) => of(Some(value)),
            Self::Split { branch, then, otherwise } => select(branch, then.choose(of), otherwise.choose(of)),
        }
    }
}

/// The value of the side that is taken; where both are the same there is nothing to choose.
pub(super) fn select(branch: BranchIx, then: Value, otherwise: Value) -> Value {
    if then == otherwise {
        return then;
    }
    Value::Select { branch, then: Box::new(then), otherwise: Box::new(otherwise) }
}

impl<'a> Body<'_, 'a> {
    /// Reads an `if` with what follows of it; names are then bound as behind it.
    pub(super) fn choice(&mut self, test: &'a Expr, body: &'a [Stmt], clauses: &'a [ElifElseClause]) -> Flow {
        let condition = self.condition(test).unwrap_or(Condition::Truth(none()));
        let Some(branch) = self.branch(test.range(), condition) else { return Flow::Falls };
        let (mark, outer) = (self.names.mark(), self.order.clone());
        let first = self.workflow.steps.len();
        let then = self.side(Guard { branch, holds: true }, &outer, |reader| reader.block(body));
        let then_names = self.names.undo(mark);
        let otherwise = self.side(Guard { branch, holds: false }, &outer, |reader| match clauses.split_first() {
            None => Flow::Falls,
            Some((clause, rest)) => match &clause.test {
                None => reader.block(&clause.body),
                Some(test) => reader.choice(test, &clause.body, rest),
            },
        });
        self.order = outer;
        let inner = first..self.workflow.steps.len();
        self.order.since.extend(inner.map(|ix| StepIx(ix as u32)));
        if !otherwise.falls() {
            self.names.undo(mark);
            self.names.redo(then_names);
        } else if then.falls() {
            let otherwise_names = self.names.undo(mark);
            self.join(test.range(), branch, &then_names, &otherwise_names);
        }
        Flow::split(branch, then, otherwise)
    }

    /// Writes a branch down, where there is room for one.
    fn branch(&mut self, range: TextRange, condition: Condition) -> Option<BranchIx> {
        const REMEDY: &str = "put the choice in a node";
        if self.workflow.branches.len() >= limits::STEPS {
            let message = format!("more than {} branches", limits::STEPS);
            self.overfull(range, "too-many-branches", message, REMEDY);
            return None;
        }
        if self.guards.len() >= limits::DEPTH {
            let message = format!("branches nested deeper than {}", limits::DEPTH);
            self.overfull(range, "too-deep", message, REMEDY);
            return None;
        }
        let (guards, place) = (self.guards.clone(), self.place(range));
        self.workflow.branches.push(Branch { condition, guards, place });
        Some(BranchIx(self.workflow.branches.len() as u32 - 1))
    }

    fn side(&mut self, guard: Guard, outer: &Order, read: impl FnOnce(&mut Self) -> Flow) -> Flow {
        self.order = Order { barrier: outer.barrier.clone(), since: Vec::new() };
        self.guards.push(guard);
        let flow = read(self);
        self.guards.pop();
        flow
    }

    /// Reads what stands behind an `if` on some of whose paths the function has returned: it is their `else`.
    pub(super) fn go_on(&mut self, range: TextRange, flow: Flow, rest: &'a [Stmt]) -> Flow {
        if rest.is_empty() {
            return flow;
        }
        let Flow::Split { branch, then, otherwise } = flow else { return self.block(rest) };
        match (then.falls(), otherwise.falls()) {
            (true, false) => {
                let then = self.under(Guard { branch, holds: true }, |reader| reader.go_on(range, *then, rest));
                Flow::split(branch, then, *otherwise)
            }
            (false, _) => {
                let otherwise =
                    self.under(Guard { branch, holds: false }, |reader| reader.go_on(range, *otherwise, rest));
                Flow::split(branch, *then, otherwise)
            }
            // Several paths come here: a branch of its own says whether one of them was taken.
            (true, true) => {
                let flow = Flow::Split { branch, then, otherwise };
                let Some(reached) = self.bounded(range, flow.clone().reached()) else { return flow };
                let Some(reached) = self.branch(range, Condition::Truth(reached)) else { return flow };
                let then = self.under(Guard { branch: reached, holds: true }, |reader| reader.block(rest));
                Flow::Split {
                    branch: reached,
                    then: Box::new(then),
                    otherwise: Box::new(Flow::Returned(flow.returned().unwrap_or_else(none))),
                }
            }
        }
    }

    fn under(&mut self, guard: Guard, read: impl FnOnce(&mut Self) -> Flow) -> Flow {
        self.guards.push(guard);
        let flow = read(self);
        self.guards.pop();
        flow
    }

    /// Binds names where two paths meet.
    fn join(&mut self, range: TextRange, branch: BranchIx, then: &Changes<'a>, otherwise: &Changes<'a>) {
        let mut names = std::mem::take(&mut self.names);
        names.join(then, otherwise, |a, b| self.bounded(range, select(branch, a.clone(), b.clone())));
        self.names = names;
    }
}

//! Calls of a body: of a node, of a workflow, of `map`, or of what does not stand here.

use qflow_model::{
    definition::{Param, StepKind},
    expression::Expr as Value,
};
use ruff_python_ast::{Expr, ExprCall, StmtFunctionDef};
use ruff_text_size::Ranged;

use super::{Body, arguments::Mapping};
use crate::{
    constant::{self, NotConstant, is_clock},
    function::{self, Kind},
    refuse,
    scope::Bound,
};

/// A node or a workflow that is called, and its function.
#[derive(Clone, Copy)]
pub(super) struct Callee<'r, 'a> {
    pub(super) kind: Kind,
    /// What it is known by.
    pub(super) name: &'r str,
    pub(super) params: &'r [Param],
    pub(super) function: &'a StmtFunctionDef,
    /// Whether a failure of it is a value: `settled(fn)`.
    pub(super) settled: bool,
}

impl Callee<'_, '_> {
    /// What a step that calls it does.
    pub(super) fn step(&self) -> StepKind {
        match self.kind {
            Kind::Node => StepKind::Node { function: self.name.to_owned() },
            Kind::Workflow => StepKind::Workflow { workflow: self.name.to_owned() },
        }
    }
}

/// What an expression that may be called names.
pub(super) enum Called<'r, 'a> {
    Step(Callee<'r, 'a>),
    /// A use of `settled` that names no node or workflow.
    Settled(&'a ExprCall),
    Other,
}

impl<'r, 'a> Body<'r, 'a> {
    /// What is called by an expression.
    pub(super) fn called(&self, expr: &'a Expr) -> Called<'r, 'a> {
        if let Some(settled) = expr.as_call_expr().filter(|call| self.is_qflow(&call.func, "settled")) {
            return match (&*settled.arguments.args, &*settled.arguments.keywords) {
                ([one], []) => match self.function(one) {
                    Some(callee) => Called::Step(Callee { settled: true, ..callee }),
                    None => Called::Settled(settled),
                },
                _ => Called::Settled(settled),
            };
        }
        self.function(expr).map_or(Called::Other, Called::Step)
    }

    /// The node or workflow that a name stands for.
    pub(super) fn function(&self, expr: &Expr) -> Option<Callee<'r, 'a>> {
        let Some(Bound::Function(at, function)) = self.resolve(expr) else { return None };
        let (project, name) = (self.project, function.name.id.as_str());
        let kind = function::kind(&project.units, at, function)?;
        let (name, params) = match kind {
            Kind::Node => project.node(at, name).map(|(name, node)| (name, node.params.as_slice()))?,
            Kind::Workflow => {
                let name = project.workflows.get(&(at, name))?;
                (name.as_str(), project.signatures.get(name)?.params.as_slice())
            }
        };
        Some(Callee { kind, name, params, function, settled: false })
    }

    /// Whether an expression names something that `qflow` exports.
    pub(super) fn is_qflow(&self, expr: &Expr, name: &str) -> bool {
        matches!(self.resolve(expr), Some(Bound::Qflow(known)) if known == name)
    }

    /// Reads a call; nothing where it was refused.
    pub(super) fn call(&mut self, call: &'a ExprCall) -> Option<Value> {
        match self.called(&call.func) {
            Called::Step(callee) if self.comes_back(call, callee) => {}
            Called::Step(callee) => return self.step(call, callee, &Mapping::None),
            Called::Settled(inner) => {
                self.refuse_settled(inner);
                return None;
            }
            Called::Other => match self.resolve(&call.func) {
                Some(Bound::Unread) => {}
                Some(Bound::Qflow("map")) => return self.map(call),
                Some(Bound::Qflow("sleep")) => return self.sleep(call),
                Some(Bound::Qflow("approval")) => return self.approval(call),
                Some(Bound::Qflow("settled")) => {
                    self.refuse_settled(call);
                    return None;
                }
                Some(Bound::Qflow(name)) => self.refuse_qflow(call, name),
                Some(Bound::Foreign(name)) if is_clock(&name) => {
                    let problem = refuse::clock(self.text(), call.range());
                    self.problems.push(problem);
                }
                Some(bound) => return self.made(call, &bound),
                None => self.refuse_unknown(call),
            },
        }
        self.look_through(call);
        None
    }

    /// `date(2026, 1, 1)` and its like are as good as literals; others are told.
    fn made(&mut self, call: &'a ExprCall, bound: &Bound<'a>) -> Option<Value> {
        let arguments = call.arguments.args.iter().chain(call.arguments.keywords.iter().map(|k| &k.value));
        let own = arguments.into_iter().any(|argument| self.mentions_local(argument));
        match constant::call(&self.project.units, self.unit, call) {
            Ok(literal) if !own => return Some(Value::Literal(literal)),
            Err(NotConstant::Told) => {}
            Err(NotConstant::Wrong(range, what) | NotConstant::Impossible(range, what)) if !own => {
                self.refuse(range, "bad-literal", what, "correct it");
            }
            _ => {
                self.refuse_bound(call, bound);
                self.look_through(call);
            }
        }
        None
    }

    /// `map(fn, xs, k=c)`.
    fn map(&mut self, call: &'a ExprCall) -> Option<Value> {
        let Some(first) = call.arguments.args.first() else {
            self.refuse(call.range(), "map", "`map` without a node", "write map(fn, xs)");
            return None;
        };
        match self.called(first) {
            Called::Step(callee) if self.comes_back(call, callee) => {}
            Called::Step(callee) => return self.step(call, callee, &Mapping::First),
            Called::Settled(inner) => self.refuse_settled(inner),
            Called::Other => self.refuse_mapped(first),
        }
        for argument in call.arguments.args.iter().skip(1) {
            self.value(argument);
        }
        None
    }

    /// Looks for what else is wrong within a call that was refused.
    pub(super) fn look_through(&mut self, call: &'a ExprCall) {
        let arguments = call.arguments.args.iter().chain(call.arguments.keywords.iter().map(|k| &k.value));
        for argument in arguments {
            let inner = if let Expr::Starred(starred) = argument { &starred.value } else { argument };
            // A function, a class or a module given on is told with the call.
            if self.resolve(inner).is_none() {
                self.value(inner);
            }
        }
    }
}

//! Reads a workflow's body into steps, branches and a result.

mod arguments;
mod call;
mod condition;
mod each;
mod flow;
mod gather;
mod ids;
mod known;
mod misuse;
mod names;
mod part;
mod value;
mod wait;

use std::collections::HashSet;

use qflow_model::{
    definition::{Guard, Place, TypeText, WorkflowDef},
    expression::{Condition, Expr as Value, Segment},
    ids::StepIx,
    limits,
};
use ruff_python_ast::{Expr, ExprCall, Stmt};
use ruff_text_size::{Ranged, TextRange};
use serde_json::json;

use crate::{
    Spans,
    calls::Calls,
    function::Workflow,
    problems::Problems,
    project::Project,
    refuse,
    scope::{self, Bound},
    text::Text,
};
use flow::Flow;
use ids::Ids;
use names::{Binding, Names};

/// Terms of all values of a body together: bounds what a name that stands for much, used often, can cost.
const TERMS: usize = 200_000;

/// The order of a block's statements.
#[derive(Clone, Default)]
struct Order {
    /// What every later step of the block waits for.
    barrier: Vec<StepIx>,
    /// Steps since.
    since: Vec<StepIx>,
}

struct Body<'r, 'a> {
    project: &'r Project<'a>,
    calls: &'r Calls,
    unit: usize,
    spans: &'r mut Spans,
    problems: &'r mut Problems,
    workflow: WorkflowDef,
    /// Every name the function binds anywhere: none of them is the file's.
    locals: HashSet<&'a str>,
    names: Names<'a>,
    guards: Vec<Guard>,
    order: Order,
    ids: Ids,
    /// What earlier parts of a condition say where a later one is read.
    aside: Vec<(Condition, bool)>,
    terms: usize,
    /// A returned value was refused: of what type the result is, nobody knows.
    broken: bool,
    /// A bound was passed and told.
    full: bool,
}

/// Reads the statements of a workflow into its definition.
pub(crate) fn read<'a>(
    project: &Project<'a>,
    declared: Workflow<'a>,
    calls: &Calls,
    spans: &mut Spans,
    problems: &mut Problems,
) -> WorkflowDef {
    let Workflow { unit, function, def, schedule: _ } = declared;
    let mut names = Names::default();
    for parameter in &*function.parameters {
        let name = parameter.name().id.as_str();
        let value = Value::Param { name: name.to_owned(), path: Vec::new() };
        // Those that take any number of arguments were refused with the signature.
        names.bind(name, Binding::of((!parameter.is_variadic()).then_some(value)));
    }
    let mut body = Body {
        project,
        calls,
        unit,
        spans,
        problems,
        workflow: def,
        locals: scope::locals(function),
        names,
        guards: Vec::new(),
        order: Order::default(),
        ids: Ids::default(),
        aside: Vec::new(),
        terms: 0,
        broken: false,
        full: false,
    };
    let result = body.block(&function.body).result();
    body.workflow.result = body.bounded(function.name.range(), result).unwrap_or_else(none);
    if body.broken {
        // A second error about a value that was only put in its place helps nobody.
        body.workflow.returns = TypeText::any();
    }
    if body.workflow.steps.is_empty() && body.problems.none() {
        let message = format!("`{}` calls nothing: its runs end as soon as they begin", function.name.id);
        body.warn(function.name.range(), "empty-workflow", message, "call a node");
    }
    body.workflow
}

fn none() -> Value {
    Value::Literal(json!(null))
}

impl<'a> Body<'_, 'a> {
    fn text(&self) -> &Text<'a> {
        &self.project.units.files[self.unit].text
    }

    /// Where something begins; how far it reaches is noted.
    fn place(&mut self, range: TextRange) -> Place {
        let (place, end_column) = self.text().span(range);
        self.spans.note(&place, end_column);
        place
    }

    fn written(&self, at: &Expr) -> String {
        self.text().written(at.range())
    }

    fn refuse(&mut self, range: TextRange, code: &str, message: impl Into<String>, remedy: &str) {
        let problem = self.text().problem(range, code, message, remedy);
        self.problems.push(problem);
    }

    fn warn(&mut self, range: TextRange, code: &str, message: impl Into<String>, remedy: &str) {
        let problem = self.text().warning(range, code, message, remedy);
        self.problems.push(problem);
    }

    /// What an expression stands for in the file; nothing where the function's own names hide it.
    fn resolve(&self, expr: &Expr) -> Option<Bound<'a>> {
        self.project.units.visible(self.unit, expr, &self.locals)
    }

    /// Tells once that the body is past a bound.
    fn overfull(&mut self, range: TextRange, code: &str, message: impl Into<String>, remedy: &str) {
        if !std::mem::replace(&mut self.full, true) {
            self.refuse(range, code, message, remedy);
        }
    }

    /// The value, where it is within the bounds of one.
    fn bounded(&mut self, range: TextRange, value: Value) -> Option<Value> {
        const REMEDY: &str = "gather them in a node, or write map(fn, xs)";
        let part::Measure { terms, levels } = part::measure(&value);
        self.terms += terms;
        if levels > part::LEVELS {
            let message = format!("a value nested {levels} levels of JSON deep; at most {} go", part::LEVELS);
            self.overfull(range, "too-deep", message, "gather a part of it in a node");
            return None;
        }
        if terms > limits::EDGES {
            let message = format!("a value of {terms} parts; at most {} go", limits::EDGES);
            self.overfull(range, "too-large", message, REMEDY);
            return None;
        }
        if self.terms > TERMS {
            let message = format!("values of more than {TERMS} parts in one workflow");
            self.overfull(range, "too-large", message, REMEDY);
            return None;
        }
        Some(value)
    }

    /// Reads a block's statements in order; says which paths return and which go on behind it.
    fn block(&mut self, stmts: &'a [Stmt]) -> Flow {
        for (at, stmt) in stmts.iter().enumerate() {
            let rest = &stmts[at + 1..];
            match stmt {
                Stmt::Return(given) => {
                    let place = self.place(given.value.as_ref().map_or(given.range(), |value| value.range()));
                    self.spans.returned(&self.workflow.name, place);
                    let value = given.value.as_ref().map_or_else(|| Some(none()), |value| self.value(value));
                    self.unreachable(rest);
                    self.broken |= value.is_none();
                    return Flow::Returned(value.unwrap_or_else(none));
                }
                Stmt::If(branch) => {
                    let flow = self.choice(&branch.test, &branch.body, &branch.elif_else_clauses);
                    if !flow.falls() {
                        self.unreachable(rest);
                        return flow;
                    }
                    if flow.returns() {
                        return self.go_on(branch.test.range(), flow, rest);
                    }
                }
                other => self.statement(other),
            }
        }
        Flow::Falls
    }

    fn unreachable(&mut self, rest: &[Stmt]) {
        if let Some(first) = rest.first() {
            let message = "nothing comes here: every path has returned";
            self.warn(first.range(), "unreachable", message, "remove what stands behind the return");
        }
    }

    fn statement(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Assign(assign) => {
                let value = self.value(&assign.value);
                assign.targets.iter().for_each(|target| self.bind(target, value.clone()));
            }
            Stmt::AnnAssign(assign) => {
                if let Some(value) = &assign.value {
                    let value = self.value(value);
                    self.bind(&assign.target, value);
                }
            }
            Stmt::Expr(alone) => self.alone(&alone.value),
            Stmt::Pass(_) => {}
            other => {
                let (code, message, remedy) = refuse::statement(other);
                self.refuse(refuse::head(other), code, message, remedy);
                for name in scope::stored(other) {
                    self.names.bind(name, Binding::Broken);
                }
            }
        }
    }

    /// An expression whose value goes nowhere.
    fn alone(&mut self, expr: &'a Expr) {
        match expr {
            Expr::StringLiteral(_) | Expr::EllipsisLiteral(_) => {}
            Expr::Call(ExprCall { .. }) | Expr::ListComp(_) => {
                let first = self.workflow.steps.len();
                if matches!(self.value(expr), Some(Value::Result { .. })) && self.workflow.steps.len() > first {
                    self.in_order(StepIx(self.workflow.steps.len() as u32 - 1));
                }
            }
            other => {
                let before = self.problems.count();
                self.value(other);
                if self.problems.count() == before {
                    let message = format!("`{}` by itself does nothing", self.written(other));
                    self.refuse(other.range(), "no-effect", message, "bind it to a name, or leave it out");
                }
            }
        }
    }

    /// Has a step wait for all earlier ones of its block, and all later ones for it.
    fn in_order(&mut self, last: StepIx) {
        let step = &mut self.workflow.steps[last.0 as usize];
        let mut read = HashSet::new();
        step.arguments.iter().for_each(|(_, e)| {
            e.results(&mut |ix, _| {
                read.insert(ix);
            });
        });
        let earlier = self.order.since.drain(..).filter(|ix| *ix != last && !read.contains(ix));
        step.after.extend(earlier);
        self.order.barrier = vec![last];
    }

    fn bind(&mut self, target: &'a Expr, value: Option<Value>) {
        let items = match target {
            Expr::Name(name) => {
                self.names.bind(name.id.as_str(), Binding::of(value));
                return;
            }
            Expr::Tuple(items) => &items.elts,
            Expr::List(items) => &items.elts,
            other => {
                let (message, remedy) = match other {
                    Expr::Starred(_) => ("a part of unknown length", "name each part"),
                    _ => ("a part of a value is not assigned to", "write a new name; values are changed in nodes"),
                };
                self.refuse(other.range(), "assignment-target", message, remedy);
                return;
            }
        };
        let length = value.as_ref().map(|value| self.length(value));
        let fits = length == Some(Some(items.len()));
        if let (Some(length), false) = (length, fits) {
            let message = match length {
                Some(length) => format!("{} names for a tuple of {length}", items.len()),
                None => format!("what gives {} names is not declared as a tuple of {}", items.len(), items.len()),
            };
            let remedy = "declare -> tuple[…] of that length, or take parts: a = pair[0]";
            self.refuse(target.range(), "unpacking", message, remedy);
        }
        for (at, item) in items.iter().enumerate() {
            let part = value.as_ref().filter(|_| fits).and_then(|v| part::of(v, &Segment::Index(at as i64)));
            self.bind(item, part);
        }
    }
}

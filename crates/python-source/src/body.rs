//! Reads a workflow's body into steps, branches and a result. Here: blocks, branches, names.

mod call;
mod condition;
mod part;
mod value;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    rc::Rc,
};

use qflow_model::{
    definition::{Branch, Guard, Problem, WorkflowDef},
    expression::{BranchIx, Condition, Expr as Value, Segment},
    ids::StepIx,
    limits,
};
use qflow_types::Ty;
use ruff_python_ast::{
    Expr, Stmt, StmtIf,
    visitor::{Visitor, walk_expr},
};
use ruff_text_size::Ranged;
use serde_json::json;

use self::part::{measure, part};
use crate::{
    function::{self, Kind, Workflow},
    project::Project,
    refuse,
    scope::Bound,
    text::Text,
};

/// Which workflows each workflow calls, by file and function.
pub(crate) type Calls<'a> = HashMap<(usize, &'a str), HashSet<(usize, &'a str)>>;

/// What a name is bound to.
#[derive(Clone)]
enum Binding {
    Value(Rc<Value>),
    /// Only one path binds it.
    Half,
    /// A problem was already told.
    Broken,
}

type Names = BTreeMap<String, Binding>;

/// How a block ended.
enum End {
    Fell,
    Returned(Value),
}

/// The order of a block's statements.
#[derive(Clone, Default)]
struct Order {
    /// What every later step waits for.
    barrier: Vec<StepIx>,
    /// Steps since.
    since: Vec<StepIx>,
}

struct Body<'r, 'a> {
    project: &'r Project<'a>,
    calls: &'r Calls<'a>,
    unit: usize,
    function: &'a str,
    problems: &'r mut Vec<Problem>,
    workflow: WorkflowDef,
    names: Names,
    guards: Vec<Guard>,
    order: Order,
    ids: BTreeMap<String, usize>,
    /// A statement was refused that may have bound names: those that are missed then are no news.
    tainted: bool,
    full: bool,
}

/// Which workflows call which.
pub(crate) fn calls<'a>(project: &Project<'a>, workflows: &[Workflow<'a>]) -> Calls<'a> {
    struct Called<'r, 'a> {
        project: &'r Project<'a>,
        unit: usize,
        found: HashSet<(usize, &'a str)>,
    }
    impl<'v> Visitor<'v> for Called<'_, '_> {
        fn visit_expr(&mut self, expr: &'v Expr) {
            if let Some(Bound::Function(at, def)) = self.project.units.resolve(self.unit, expr)
                && function::kind(&self.project.units, at, def) == Some(Kind::Workflow)
            {
                self.found.insert((at, def.name.id.as_str()));
            }
            walk_expr(self, expr);
        }
    }
    let called = |workflow: &Workflow<'a>| {
        let mut called = Called { project, unit: workflow.unit, found: HashSet::new() };
        workflow.function.body.iter().for_each(|stmt| called.visit_stmt(stmt));
        ((workflow.unit, workflow.function.name.id.as_str()), called.found)
    };
    workflows.iter().map(called).collect()
}

/// Reads a workflow's statements into its definition.
pub(crate) fn read<'a>(
    project: &Project<'a>,
    declared: Workflow<'a>,
    calls: &Calls<'a>,
    problems: &mut Vec<Problem>,
) -> WorkflowDef {
    let Workflow { unit, function, def } = declared;
    let bound = def.params.iter().map(|param| {
        let value = Value::Param { name: param.name.clone(), path: Vec::new() };
        (param.name.clone(), Binding::Value(Rc::new(value)))
    });
    let names = bound.collect();
    let mut body = Body {
        project,
        calls,
        unit,
        function: function.name.id.as_str(),
        problems,
        workflow: def,
        names,
        guards: Vec::new(),
        order: Order::default(),
        ids: BTreeMap::new(),
        tainted: false,
        full: false,
    };
    match body.block(&function.body) {
        End::Returned(value) => body.workflow.result = value,
        End::Fell => body.workflow.result = none(),
    }
    body.workflow
}

fn none() -> Value {
    Value::Literal(json!(null))
}

fn returns(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|stmt| match stmt {
        Stmt::Return(_) => true,
        Stmt::If(test) => returns(&test.body) || test.elif_else_clauses.iter().any(|clause| returns(&clause.body)),
        _ => false,
    })
}

impl<'a> Body<'_, 'a> {
    fn text(&self) -> &Text<'a> {
        &self.project.units.0[self.unit].text
    }

    fn written(&self, at: &impl Ranged) -> String {
        self.text().written(at.range())
    }

    fn refuse(&mut self, at: &impl Ranged, code: &str, message: impl Into<String>, remedy: &str) {
        let problem = self.text().problem(at.range(), code, message, remedy);
        self.problems.push(problem);
    }

    fn not_yet(&mut self, at: &impl Ranged, what: &str, remedy: &str) {
        let problem = refuse::not_yet(self.text(), at, what, remedy);
        self.problems.push(problem);
    }

    fn block(&mut self, stmts: &[Stmt]) -> End {
        for (at, stmt) in stmts.iter().enumerate() {
            match stmt {
                Stmt::Return(value) => {
                    let value = value.value.as_ref().map_or_else(|| Some(none()), |value| self.value(value));
                    if let Some(unread) = stmts.get(at + 1) {
                        self.refuse(unread, "unreachable", "nothing after a return is reached", "leave it out");
                    }
                    return End::Returned(value.unwrap_or_else(none));
                }
                Stmt::If(test) => {
                    let sides = Sides { test: &test.test, body: &test.body, rest: Else::of(test) };
                    if let Some(end) = self.branch(&sides, &stmts[at + 1..]) {
                        return end;
                    }
                }
                other => self.statement(other),
            }
        }
        End::Fell
    }

    /// Reads an `if`; gives an end where the block does not go on behind it.
    fn branch(&mut self, sides: &Sides<'_>, rest: &[Stmt]) -> Option<End> {
        let condition = self.condition(sides.test).unwrap_or(Condition::Truth(none()));
        if self.workflow.branches.len() >= limits::STEPS {
            self.overfull(sides.test, "branches");
            return None;
        }
        let branch = BranchIx(self.workflow.branches.len() as u32);
        let (guards, place) = (self.guards.clone(), self.text().place(sides.test.range()));
        self.workflow.branches.push(Branch { condition, guards, place });
        let (names, outer) = (self.names.clone(), self.order.clone());
        let first = self.workflow.steps.len();
        let (then, then_names) = self.side(sides, Guard { branch, holds: true }, &names, &outer);
        let (otherwise, otherwise_names) = self.side(sides, Guard { branch, holds: false }, &names, &outer);
        self.order = outer;
        self.order.since.extend((first..self.workflow.steps.len()).map(|ix| StepIx(ix as u32)));
        let select = |then: Value, otherwise: Value| {
            let same = then == otherwise;
            let both = |then| Value::Select { branch, then: Box::new(then), otherwise: Box::new(otherwise) };
            if same { then } else { both(then) }
        };
        match (then, otherwise) {
            (End::Fell, End::Fell) => {
                self.names = join(then_names, otherwise_names, select);
                None
            }
            (End::Returned(then), End::Returned(otherwise)) => Some(End::Returned(select(then, otherwise))),
            (End::Returned(value), End::Fell) => {
                self.names = otherwise_names;
                let other = self.rest(rest, Guard { branch, holds: false });
                Some(End::Returned(select(value, other)))
            }
            (End::Fell, End::Returned(value)) => {
                self.names = then_names;
                let other = self.rest(rest, Guard { branch, holds: true });
                Some(End::Returned(select(other, value)))
            }
        }
    }

    /// One side of a branch: how it ended, and what it bound.
    fn side(&mut self, sides: &Sides<'_>, guard: Guard, names: &Names, outer: &Order) -> (End, Names) {
        self.names.clone_from(names);
        self.order = Order { barrier: outer.barrier.clone(), since: Vec::new() };
        self.guards.push(guard);
        let (end, partial) = match (guard.holds, &sides.rest) {
            (true, _) => (self.block(sides.body), returns(sides.body)),
            (false, Else::None) => (End::Fell, false),
            (false, Else::Block(stmts)) => (self.block(stmts), returns(stmts)),
            (false, Else::If(inner)) => (self.branch(inner, &[]).unwrap_or(End::Fell), inner.returns()),
        };
        self.guards.pop();
        if matches!(end, End::Fell) && partial {
            let remedy = "return on every path of this side, or bind a name and return it once at the end";
            self.refuse(sides.test, "partial-return", "one side of this if returns only on some paths", remedy);
        }
        (end, std::mem::take(&mut self.names))
    }

    /// What follows an `if` of which one side returns: it is the other side's.
    fn rest(&mut self, stmts: &[Stmt], guard: Guard) -> Value {
        self.guards.push(guard);
        let end = self.block(stmts);
        self.guards.pop();
        match end {
            End::Returned(value) => value,
            End::Fell => none(),
        }
    }

    fn statement(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::Assign(assign) => {
                let value = self.value(&assign.value);
                for target in &assign.targets {
                    self.bind(target, value.clone());
                }
            }
            Stmt::AnnAssign(assign) => {
                if let Some(value) = &assign.value {
                    let value = self.value(value);
                    self.bind(&assign.target, value);
                }
            }
            Stmt::Expr(alone) => match &*alone.value {
                Expr::StringLiteral(_) | Expr::EllipsisLiteral(_) => {}
                Expr::Call(_) | Expr::ListComp(_) => self.alone(&alone.value),
                other => {
                    self.value(other);
                }
            },
            Stmt::Pass(_) => {}
            other => {
                let (code, message, remedy) = refuse::statement(other);
                self.tainted |= !matches!(other, Stmt::Raise(_) | Stmt::Assert(_));
                self.refuse(other, code, message, remedy);
            }
        }
    }

    /// A call whose result is not used runs after every earlier call of its block, and before every later one.
    fn alone(&mut self, call: &Expr) {
        let first = self.workflow.steps.len();
        if self.value(call).is_none() || self.workflow.steps.len() == first {
            return;
        }
        let last = StepIx(self.workflow.steps.len() as u32 - 1);
        let earlier: Vec<_> = self.order.since.drain(..).filter(|ix| *ix != last).collect();
        if let Some(step) = self.workflow.steps.last_mut() {
            step.after.extend(earlier);
        }
        self.order.barrier = vec![last];
    }

    fn bind(&mut self, target: &Expr, value: Option<Value>) {
        let items = match target {
            Expr::Name(name) => {
                let binding = value.map_or(Binding::Broken, |value| Binding::Value(Rc::new(value)));
                self.names.insert(name.id.as_str().to_owned(), binding);
                return;
            }
            Expr::Tuple(items) => &items.elts,
            Expr::List(items) => &items.elts,
            other => {
                let message = "a part of a value is not assigned to";
                self.refuse(other, "assignment-target", message, "assign to a name; change the value in a node");
                return;
            }
        };
        let length = value.as_ref().map(|value| match (value, self.type_of(value)) {
            (Value::Tuple(items) | Value::List(items), _) => Some(items.len()),
            (_, Some(Ty::Tuple(items))) => Some(items.len()),
            _ => None,
        });
        let fits = length == Some(Some(items.len()));
        if !fits && length.is_some() {
            let message = format!("this is not declared as a tuple of {}", items.len());
            let remedy = "declare -> tuple[…] of that length, or write result[0], result[1]";
            self.refuse(target, "unpacking", message, remedy);
        }
        for (at, item) in items.iter().enumerate() {
            let segment = Segment::Index(at as i64);
            self.bind(item, value.as_ref().filter(|_| fits).and_then(|value| part(value, &segment)));
        }
    }

    /// The declared type of a whole parameter or result.
    fn type_of(&self, value: &Value) -> Option<Ty> {
        use qflow_model::definition::StepKind;
        match value {
            Value::Param { name, path } if path.is_empty() => {
                self.workflow.params.iter().find(|p| p.name == *name)?.ty.0.parse().ok()
            }
            Value::Result { step, path } if path.is_empty() => {
                let kind = &self.workflow.steps.get(step.0 as usize)?.kind;
                let ty: Ty = self.project.nodes.get(kind.function())?.returns.0.parse().ok()?;
                let mapped = matches!(kind, StepKind::Map { .. });
                Some(if mapped { Ty::Generic("list".to_owned(), vec![ty]) } else { ty })
            }
            _ => None,
        }
    }

    fn is_frame(&self, value: &Value) -> bool {
        match self.type_of(value) {
            Some(Ty::Class(name) | Ty::Generic(name, _)) => {
                matches!(name.as_str(), "DataFrame" | "Series" | "ndarray")
            }
            _ => false,
        }
    }

    fn bounded(&mut self, at: &Expr, value: Value) -> Option<Value> {
        let (size, depth) = measure(&value);
        if size <= limits::EDGES && depth <= limits::DEPTH {
            return Some(value);
        }
        let bounds = format!("{} and {}", limits::EDGES, limits::DEPTH);
        let message = format!("this value has {size} parts, {depth} deep; the bounds are {bounds}");
        self.refuse(at, "too-deep", message, "gather it in a node");
        None
    }

    fn overfull(&mut self, at: &impl Ranged, what: &str) {
        if !std::mem::replace(&mut self.full, true) {
            let message = format!("a workflow has at most {} {what}", limits::STEPS);
            self.refuse(at, "too-many-steps", message, "write map(fn, xs)");
        }
    }

    /// Whether an expression names anything that the body has bound.
    fn mentions_names(&self, expr: &Expr) -> bool {
        mentions(expr, &|name| self.names.contains_key(name))
    }
}

/// Whether an expression holds a name that is `sought`.
fn mentions(expr: &Expr, sought: &dyn Fn(&str) -> bool) -> bool {
    struct Mentions<'f> {
        sought: &'f dyn Fn(&str) -> bool,
        found: bool,
    }
    impl<'v> Visitor<'v> for Mentions<'_> {
        fn visit_expr(&mut self, expr: &'v Expr) {
            self.found |= expr.as_name_expr().is_some_and(|name| (self.sought)(name.id.as_str()));
            walk_expr(self, expr);
        }
    }
    let mut mentions = Mentions { sought, found: false };
    mentions.visit_expr(expr);
    mentions.found
}

fn join(then: Names, mut otherwise: Names, select: impl Fn(Value, Value) -> Value) -> Names {
    let mut joined = Names::new();
    for (name, one) in then {
        let binding = match (one, otherwise.remove(&name)) {
            (Binding::Broken, _) | (_, Some(Binding::Broken)) => Binding::Broken,
            (Binding::Value(a), Some(Binding::Value(b))) if Rc::ptr_eq(&a, &b) => Binding::Value(a),
            (Binding::Value(a), Some(Binding::Value(b))) => {
                let value = select((*a).clone(), (*b).clone());
                let (size, depth) = measure(&value);
                let bounded = size <= limits::EDGES && depth <= limits::DEPTH;
                if bounded { Binding::Value(Rc::new(value)) } else { Binding::Broken }
            }
            _ => Binding::Half,
        };
        joined.insert(name, binding);
    }
    let half = |binding| if matches!(binding, Binding::Broken) { binding } else { Binding::Half };
    joined.extend(otherwise.into_iter().map(|(name, binding)| (name, half(binding))));
    joined
}

/// An `if` or `elif`.
struct Sides<'e> {
    test: &'e Expr,
    body: &'e [Stmt],
    rest: Else<'e>,
}

enum Else<'e> {
    None,
    Block(&'e [Stmt]),
    If(Box<Sides<'e>>),
}

impl<'e> Else<'e> {
    fn of(test: &'e StmtIf) -> Self {
        test.elif_else_clauses.iter().rev().fold(Else::None, |rest, clause| match &clause.test {
            None => Else::Block(&clause.body),
            Some(test) => Else::If(Box::new(Sides { test, body: &clause.body, rest })),
        })
    }
}

impl Sides<'_> {
    fn returns(&self) -> bool {
        returns(self.body)
            || match &self.rest {
                Else::None => false,
                Else::Block(stmts) => returns(stmts),
                Else::If(sides) => sides.returns(),
            }
    }
}

/// Whether one workflow reaches another, itself included, through calls.
fn reaches<'a>(calls: &Calls<'a>, from: (usize, &'a str), to: (usize, &str)) -> bool {
    let (mut seen, mut open) = (HashSet::new(), vec![from]);
    while let Some(one) = open.pop() {
        if one == to {
            return true;
        }
        if seen.insert(one) {
            open.extend(calls.get(&one).into_iter().flatten().copied());
        }
    }
    false
}

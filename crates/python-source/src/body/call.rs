//! Calls of a body: of a node, of `map`, or of what does not stand here.

use qflow_model::{definition::NodeDef, expression::Expr as Value};
use ruff_python_ast::{Expr, ExprCall, StmtFunctionDef};
use ruff_text_size::Ranged;

use super::{Body, arguments::Mapping};
use crate::{
    constant::{self, NotConstant, is_clock},
    function::{self, Kind},
    options, refuse,
    scope::Bound,
};

/// A node that is called, and its function.
#[derive(Clone, Copy)]
pub(super) struct Callee<'r, 'a> {
    pub(super) node: &'r NodeDef,
    pub(super) function: &'a StmtFunctionDef,
}

/// What an expression that may be called names.
pub(super) enum Called<'r, 'a> {
    Node(Callee<'r, 'a>),
    /// By the name it is known by.
    Workflow(&'r str),
    Other,
}

impl<'r, 'a> Body<'r, 'a> {
    /// What is called by an expression.
    pub(super) fn called(&self, expr: &Expr) -> Called<'r, 'a> {
        let Some(Bound::Function(at, def)) = self.resolve(expr) else { return Called::Other };
        let project = self.project;
        let name = def.name.id.as_str();
        match function::kind(&project.units, at, def) {
            Some(Kind::Node) => match project.nodes.get(name) {
                Some(node) => Called::Node(Callee { node, function: def }),
                None => Called::Other,
            },
            Some(Kind::Workflow) => Called::Workflow(project.workflows.get(&(at, name)).map_or("", String::as_str)),
            None => Called::Other,
        }
    }

    /// Reads a call; nothing where it was refused.
    pub(super) fn call(&mut self, call: &'a ExprCall) -> Option<Value> {
        match self.called(&call.func) {
            Called::Node(callee) => return self.step(call, callee, &Mapping::None),
            Called::Workflow(name) => self.refuse_workflow(call, name),
            Called::Other => match self.resolve(&call.func) {
                Some(Bound::Unread) => {}
                Some(Bound::Qflow("map")) => return self.map(call),
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
            Err(NotConstant::Wrong(range, what)) if !own => self.refuse(range, "bad-literal", what, "correct it"),
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
            Called::Node(callee) => return self.step(call, callee, &Mapping::First),
            Called::Workflow(name) => self.refuse_workflow(call, name),
            Called::Other if matches!(self.resolve(first), Some(Bound::Unread)) => {}
            Called::Other => {
                let before = self.problems.count();
                if first.is_call_expr() {
                    self.value(first);
                }
                if self.problems.count() == before {
                    let message = format!("`map` over `{}`, which is no node", self.written(first));
                    self.refuse(first.range(), "map", message, "write map(fn, xs) with fn under @node");
                }
            }
        }
        for argument in call.arguments.args.iter().skip(1) {
            self.value(argument);
        }
        None
    }

    /// Looks for what else is wrong within a call that was refused.
    fn look_through(&mut self, call: &'a ExprCall) {
        let arguments = call.arguments.args.iter().chain(call.arguments.keywords.iter().map(|k| &k.value));
        for argument in arguments {
            let inner = if let Expr::Starred(starred) = argument { &starred.value } else { argument };
            // A function, a class or a module given on is told with the call.
            if self.resolve(inner).is_none() {
                self.value(inner);
            }
        }
    }

    pub(super) fn refuse_workflow(&mut self, call: &ExprCall, name: &str) {
        if self.calls.come_back(name, &self.workflow.name) {
            let own = &self.workflow.name;
            let message = if name == own {
                format!("`{name}` calls itself, without a bound")
            } else {
                format!("`{name}` comes back to `{own}`: a workflow does not call itself")
            };
            self.refuse(call.range(), "recursion", message, "write a map over a list whose length is bounded");
        } else {
            self.not_yet(call, "calls of other workflows are", "call its nodes here");
        }
    }

    fn not_yet(&mut self, call: &ExprCall, what: &str, remedy: &str) {
        let problem = refuse::not_yet(self.text(), call, what, remedy);
        self.problems.push(problem);
    }

    fn refuse_qflow(&mut self, call: &ExprCall, name: &str) {
        match name {
            "settled" => self.not_yet(call, "`settled` is", "catch the error inside the node"),
            "sleep" => self.not_yet(call, "`sleep` in a workflow is", "sleep inside a node"),
            "approval" => self.not_yet(call, "`approval` is", "start the second half by hand, as a run of its own"),
            "secret" => {
                let message = "a secret does not pass through the workflow";
                self.refuse(
                    call.range(),
                    "node-only",
                    message,
                    "write @node(secrets=[\"name\"]) and secret(\"name\") inside",
                );
            }
            // Told where decorators are looked for.
            "node" | "workflow" => {}
            other => {
                let message = format!("`{other}` stands inside a node");
                self.refuse(call.range(), "node-only", message, "move it into a node");
            }
        }
    }

    fn refuse_bound(&mut self, call: &ExprCall, bound: &Bound<'_>) {
        let written = self.written(&call.func);
        let (message, remedy) = match bound {
            Bound::Function(..) => {
                (format!("`{written}` is a plain function"), "write @node before it, or call it inside a node")
            }
            Bound::Class(..) => (format!("`{written}` makes an object"), "make it in a node"),
            _ => (format!("`{written}` is no node"), refuse::IN_A_NODE),
        };
        self.refuse(call.range(), "call", message, remedy);
    }

    /// A call of a name that is the function's own or Python's, or of a part of a value.
    fn refuse_unknown(&mut self, call: &'a ExprCall) {
        let written = self.written(&call.func);
        match &*call.func {
            Expr::Name(name) => {
                let name = name.id.as_str();
                let first = call.arguments.args.first().map(|first| self.called(first));
                let top = self.project.units.named(self.unit, name);
                if self.locals.contains(name) && matches!(top, Some(Bound::Function(..) | Bound::Qflow(_))) {
                    let message = format!("`{name}` is a name of this workflow's own, so it is not the function here");
                    let remedy = format!("give the value another name: {name}_result = {name}(…)");
                    self.refuse(call.func.range(), "hidden-name", message, &remedy);
                } else if name == "map" && matches!(first, Some(Called::Node(_) | Called::Workflow(_))) {
                    let message = "the builtin `map` over a node";
                    self.refuse(call.func.range(), "builtin-map", message, "write from qflow import map");
                } else {
                    let nodes = self.project.nodes.keys().map(String::as_str);
                    let near = options::nearest(name, nodes).filter(|_| !self.locals.contains(name));
                    let remedy = near.map_or(refuse::IN_A_NODE.to_owned(), |near| format!("did you mean `{near}`?"));
                    self.refuse(call.range(), "call", format!("`{written}` is no node"), &remedy);
                }
            }
            Expr::Attribute(attribute) => match (self.called(&attribute.value), attribute.attr.id.as_str()) {
                (Called::Other, method) => {
                    let message = format!("`.{method}(…)` is a method: only Python knows it");
                    self.refuse(call.range(), "method", message, refuse::IN_A_NODE);
                    self.value(&attribute.value);
                }
                (_, "map") => {
                    let remedy = "write from qflow import map and map(fn, xs)";
                    self.refuse(call.range(), "node-method", format!("`{written}` is not there"), remedy);
                }
                _ => {
                    let remedy =
                        "call the node: calls run in parallel, and a call by itself in the order of statements";
                    self.refuse(call.range(), "node-method", format!("`{written}` is not there"), remedy);
                }
            },
            other => {
                let before = self.problems.count();
                self.value(other);
                if self.problems.count() == before {
                    let message = format!("`{written}` is no node");
                    self.refuse(other.range(), "call", message, refuse::IN_A_NODE);
                }
            }
        }
    }
}

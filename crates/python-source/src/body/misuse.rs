//! Calls that do not stand in a body, and what to write instead.

use ruff_python_ast::{Expr, ExprCall};
use ruff_text_size::Ranged;

use super::{
    Body,
    call::{Called, Callee},
};
use crate::{
    function::{self, Kind},
    options, refuse,
    scope::Bound,
};

impl<'a> Body<'_, 'a> {
    /// Whether a workflow comes back to this one, which is told.
    pub(super) fn comes_back(&mut self, call: &ExprCall, callee: Callee<'_, 'a>) -> bool {
        let (name, own) = (callee.name, &self.workflow.name);
        let circle = callee.kind == Kind::Workflow && self.calls.come_back(name, own);
        if circle {
            let message = if name == own {
                format!("`{name}` calls itself, without a bound")
            } else {
                format!("`{name}` comes back to `{own}`: a workflow does not call itself")
            };
            self.refuse(call.range(), "recursion", message, "write a map over a list whose length is bounded");
        }
        circle
    }

    /// A use of `settled` that is not `settled(fn)(…)`, nor a map of it.
    pub(super) fn refuse_settled(&mut self, call: &'a ExprCall) {
        const CODE: &str = "settled";
        let first = call.arguments.args.first();
        let named = first.and_then(|first| self.function(first)).map(|callee| callee.name);
        let inner = first.and_then(Expr::as_call_expr);
        let called = inner.and_then(|inner| self.function(&inner.func)).map(|callee| callee.name);
        let alone = call.arguments.args.len() == 1 && call.arguments.keywords.is_empty();
        let (message, remedy) = match (named, called) {
            (Some(name), _) if alone => {
                let remedy = format!("write settled({name})(…) where it is called, or map(settled({name}), xs)");
                (format!("`settled({name})` is a function, not a value"), remedy)
            }
            (Some(name), _) => {
                let remedy = format!("write settled({name})(…): the arguments stand behind it");
                ("`settled` takes the function alone".to_owned(), remedy)
            }
            (_, Some(name)) => {
                let remedy = format!("write settled({name})(…): the arguments stand behind it");
                (format!("`settled` takes `{name}` itself, not its result"), remedy)
            }
            _ if first.is_some_and(|first| self.is_qflow(first, "map")) => {
                ("`settled` takes one node or workflow".to_owned(), "write map(settled(fn), xs)".to_owned())
            }
            _ => {
                let remedy = "write settled(fn)(x), with fn under @node or @workflow".to_owned();
                ("`settled` takes one node or workflow".to_owned(), remedy)
            }
        };
        self.refuse(call.range(), CODE, message, &remedy);
        if let Some(inner) = inner {
            self.look_through(inner);
        }
    }

    /// What is mapped over and is no node.
    pub(super) fn refuse_mapped(&mut self, first: &'a Expr) {
        if matches!(self.resolve(first), Some(Bound::Unread)) {
            return;
        }
        let before = self.problems.count();
        if first.is_call_expr() {
            self.value(first);
        }
        if self.problems.count() == before {
            let message = format!("`map` over `{}`, which is no node or workflow", self.written(first));
            let remedy = self.instead_of_many(first).unwrap_or("write map(fn, xs) with fn under @node or @workflow");
            self.refuse(first.range(), "map", message, remedy);
        }
    }

    /// What to write where something of `qflow` is called for each element.
    pub(super) fn instead_of_many(&self, callee: &Expr) -> Option<&'static str> {
        match self.resolve(callee)? {
            Bound::Qflow("sleep") => Some("sleep once, on a line of its own: sleep(\"10m\")"),
            Bound::Qflow("approval") => Some("ask once, on a line of its own: approval(\"name\")"),
            Bound::Qflow("settled") => Some("write map(settled(fn), xs) or [settled(fn)(x) for x in xs]"),
            _ => None,
        }
    }

    pub(super) fn refuse_qflow(&mut self, call: &ExprCall, name: &str) {
        match name {
            "secret" => {
                let message = "a secret does not pass through the workflow";
                let remedy = "write @node(secrets=[\"name\"]) and secret(\"name\") inside";
                self.refuse(call.range(), "node-only", message, remedy);
            }
            // Told where decorators are looked for.
            "node" | "workflow" => {}
            "cron" => {
                let message = "a schedule is no value of a workflow";
                self.refuse(call.range(), "decorator-only", message, "write @workflow(schedule=cron(…))");
            }
            other => {
                let message = format!("`{other}` stands inside a node");
                self.refuse(call.range(), "node-only", message, "move it into a node");
            }
        }
    }

    pub(super) fn refuse_bound(&mut self, call: &ExprCall, bound: &Bound<'_>) {
        let written = self.written(&call.func);
        let (message, remedy) = match bound {
            // A second of the same name was told where it stands.
            Bound::Function(at, def) if function::kind(&self.project.units, *at, def).is_some() => return,
            Bound::Function(..) => {
                (format!("`{written}` is a plain function"), "write @node before it, or call it inside a node")
            }
            Bound::Class(..) => (format!("`{written}` makes an object"), "make it in a node"),
            Bound::Foreign(name) if matches!(name.as_str(), "time.sleep" | "asyncio.sleep") => {
                (format!("`{written}` is Python's, and would hold up nothing here"), SLEEP)
            }
            _ => (format!("`{written}` is no node"), refuse::IN_A_NODE),
        };
        self.refuse(call.range(), "call", message, remedy);
    }

    /// A call of a name that is the function's own or Python's, or of a part of a value.
    pub(super) fn refuse_unknown(&mut self, call: &'a ExprCall) {
        let written = self.written(&call.func);
        if let Some((message, remedy)) = self.lacks(&call.func) {
            self.refuse(call.func.range(), "unknown-import", message, &remedy);
            return;
        }
        match &*call.func {
            Expr::Name(name) => self.refuse_named(call, name.id.as_str()),
            Expr::Attribute(attribute) => match (self.called(&attribute.value), attribute.attr.id.as_str()) {
                (Called::Step(_), "map") => {
                    let remedy = "write from qflow import map and map(fn, xs)";
                    self.refuse(call.range(), "node-method", format!("`{written}` is not there"), remedy);
                }
                (Called::Step(_), _) => {
                    let remedy =
                        "call the node: calls run in parallel, and a call by itself in the order of statements";
                    self.refuse(call.range(), "node-method", format!("`{written}` is not there"), remedy);
                }
                (_, method) => {
                    let message = format!("`.{method}(…)` is a method: only Python knows it");
                    self.refuse(call.range(), "method", message, refuse::IN_A_NODE);
                    self.value(&attribute.value);
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

    /// What a file or a folder of the submission lacks that is asked of it by a dot, and what it has instead.
    fn lacks(&self, expr: &Expr) -> Option<(String, String)> {
        let Expr::Attribute(attribute) = expr else { return None };
        let (units, name) = (&self.project.units, attribute.attr.id.as_str());
        let (place, near) = match self.resolve(&attribute.value) {
            None => return self.lacks(&attribute.value),
            Some(Bound::Module(at)) => {
                let file = &units.files[at];
                let mut names: Vec<&str> = file.names.keys().copied().collect();
                names.sort_unstable();
                (file.text.path.to_owned(), options::nearest(name, names))
            }
            Some(Bound::Folder(paths)) => (paths.into_iter().next()?, None),
            Some(_) => return None,
        };
        let remedy = near.map_or_else(|| "write what it has".to_owned(), |near| format!("did you mean `{near}`?"));
        Some((format!("`{place}` has no `{name}`"), remedy))
    }

    fn refuse_named(&mut self, call: &'a ExprCall, name: &str) {
        let first = call.arguments.args.first().map(|first| self.called(first));
        let top = self.project.units.named(self.unit, name);
        let own = self.locals.contains(name);
        if own && matches!(top, Some(Bound::Function(..) | Bound::Qflow(_))) {
            let message = format!("`{name}` is a name of this workflow's own, so it is not the function here");
            let remedy = format!("give the value another name: {name}_result = {name}(…)");
            self.refuse(call.func.range(), "hidden-name", message, &remedy);
        } else if name == "map" && matches!(first, Some(Called::Step(_) | Called::Settled(_))) {
            let message = "the builtin `map` over a node";
            self.refuse(call.func.range(), "builtin-map", message, "write from qflow import map");
        } else if name == "input" && !own {
            let message = "`input` asks whoever started the program: nobody is there";
            self.refuse(call.func.range(), "call", message, "take it as a parameter, or write approval(\"name\")");
        } else {
            let known = self.project.nodes.keys().chain(self.project.signatures.keys());
            let known = known.map(String::as_str).chain(IMPORTED);
            let near = options::nearest(name, known).filter(|_| !own);
            let remedy = match near {
                Some(near) if near == name => format!("write from qflow import {name}"),
                Some(near) => format!("did you mean `{near}`?"),
                None => refuse::IN_A_NODE.to_owned(),
            };
            let written = self.written(&call.func);
            self.refuse(call.range(), "call", format!("`{written}` is no node"), &remedy);
        }
    }
}

/// What a body calls of `qflow`.
const IMPORTED: [&str; 4] = ["map", "settled", "sleep", "approval"];
/// What to write for a pause that Python would make.
const SLEEP: &str = "write from qflow import sleep, and sleep(\"10m\")";

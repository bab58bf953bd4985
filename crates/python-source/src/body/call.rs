//! Calls: of nodes, over lists, and of what is refused.

use qflow_model::{
    definition::{NodeDef, Step, StepKind},
    expression::Expr as Value,
    ids::StepIx,
    limits,
};
use ruff_python_ast::{Expr, ExprCall, Keyword};

use super::{Body, reaches};
use crate::{
    function::{self, Kind},
    refuse::{self, IN_A_NODE},
    scope::Bound,
};

/// An argument: its parameter's name, its value where it reads, and whether it is mapped over.
type Given = (String, Option<Value>, bool);

/// What a call is of.
enum Callee<'r> {
    Node(&'r NodeDef),
    Workflow(usize, &'r str),
    Qflow(&'r str),
    Other,
}

impl<'r, 'a: 'r> Body<'r, 'a> {
    fn callee(&self, expr: &Expr) -> Callee<'r> {
        let project = self.project;
        if expr.as_name_expr().is_some_and(|name| self.names.contains_key(name.id.as_str())) {
            return Callee::Other;
        }
        match project.units.resolve(self.unit, expr) {
            Some(Bound::Function(unit, def)) => {
                let name = def.name.id.as_str();
                match function::kind(&project.units, unit, def) {
                    Some(Kind::Node) => project.nodes.get(name).map_or(Callee::Other, Callee::Node),
                    Some(Kind::Workflow) => Callee::Workflow(unit, name),
                    None => Callee::Other,
                }
            }
            Some(Bound::Qflow(name)) => Callee::Qflow(name),
            _ => Callee::Other,
        }
    }

    pub(super) fn call(&mut self, call: &ExprCall) -> Option<Value> {
        match self.callee(&call.func) {
            Callee::Node(node) => {
                let arguments = self.by_position(call, node, &call.arguments.args);
                return self.step(call, node, arguments, false);
            }
            Callee::Qflow("map") => {
                if let Some((first, rest)) = call.arguments.args.split_first()
                    && let Callee::Node(node) = self.callee(first)
                {
                    return self.map(call, node, rest);
                }
                self.refuse_map(call);
            }
            Callee::Workflow(unit, name) => self.refuse_workflow(call, unit, name),
            Callee::Qflow(name) => self.refuse_qflow(call, name),
            Callee::Other => self.refuse_other(call),
        }
        // What stands inside is read all the same, for its own problems.
        for argument in call.arguments.args.iter().filter(|a| !a.is_name_expr() && !a.is_starred_expr()) {
            self.value(argument);
        }
        None
    }

    /// `map(fn, xs, k=c)`.
    fn map(&mut self, call: &ExprCall, node: &'r NodeDef, lists: &[Expr]) -> Option<Value> {
        if let Some(second) = lists.get(1) {
            let remedy = "write the constants by name, or [fn(a, b) for a, b in zip(xs, ys)]";
            self.refuse(second, "arguments", "map takes one list by position", remedy);
            return None;
        }
        let Some(list) = lists.first() else {
            self.refuse(call, "arguments", "map lacks its list", "write map(fn, xs)");
            return None;
        };
        let value = self.value(list);
        self.check_list(list, value.as_ref());
        let Some(first) = node.params.first() else {
            let message = format!("`{}` takes no argument to map over", node.name);
            self.refuse(list, "arguments", message, "give it a parameter");
            return None;
        };
        let arguments = Some(vec![(first.name.clone(), value, true)]);
        self.step(call, node, arguments, true)
    }

    /// `[fn(a, k=b) for a, b in zip(xs, ys)]`.
    pub(super) fn mapped(&mut self, call: &ExprCall, over: &[(&str, Option<Value>)]) -> Option<Value> {
        let Callee::Node(node) = self.callee(&call.func) else {
            if matches!(self.callee(&call.func), Callee::Workflow(..)) {
                self.not_yet(call, "a map over a workflow is", "map over a node");
            } else {
                let message = format!("`{}` is no node", self.written(&*call.func));
                self.refuse(&*call.func, "comprehension", message, "write [fn(x) for x in xs] with a node fn");
            }
            return None;
        };
        let names: Vec<&str> = over.iter().map(|(name, _)| *name).collect();
        let mut given: Vec<Given> = Vec::new();
        let positional = node.params.iter().map(|p| p.name.clone()).zip(&call.arguments.args);
        if call.arguments.args.len() > node.params.len() {
            let message = format!("`{}` takes {} arguments", node.name, node.params.len());
            self.refuse(call, "arguments", message, "leave the others out");
            return None;
        }
        let keywords = call.arguments.keywords.iter().filter_map(|k| Some((k.arg.as_ref()?.id.to_string(), &k.value)));
        let all: Vec<(String, &Expr)> = positional.chain(keywords).collect();
        for (param, argument) in all {
            let element = argument.as_name_expr().and_then(|n| over.iter().find(|(name, _)| *name == n.id.as_str()));
            match element {
                Some((_, list)) => given.push((param, list.clone(), true)),
                None if self.computes_with(argument, &names) => given.push((param, None, false)),
                None => {
                    let value = self.value(argument);
                    given.push((param, value, false));
                }
            }
        }
        if !given.iter().any(|(_, _, mapped)| *mapped) {
            let remedy = "pass the element to the node";
            self.refuse(call, "comprehension", "a comprehension that does not use its element", remedy);
            return None;
        }
        self.check_names(call, node, &given, false)?;
        self.push(call, node, given, true)
    }

    /// A literal list is fine; a text or a number is none.
    fn check_list(&mut self, at: &Expr, value: Option<&Value>) {
        if let Some(Value::Literal(literal)) = value
            && !literal.is_array()
            && literal.get("$").is_none()
        {
            self.refuse(at, "arguments", format!("`{}` is no list", self.written(at)), "map over a list");
        }
    }

    fn by_position(&mut self, call: &ExprCall, node: &NodeDef, arguments: &[Expr]) -> Option<Vec<Given>> {
        let mut given = Some(Vec::new());
        for (at, argument) in arguments.iter().enumerate() {
            let problem = if argument.is_starred_expr() {
                Some(("unpacked arguments".to_owned(), "write each argument by name"))
            } else if at >= node.params.len() {
                let most = node.params.len();
                Some((format!("`{}` takes {most} arguments", node.name), "leave the others out"))
            } else {
                None
            };
            if let Some((message, remedy)) = problem {
                self.refuse(argument, "arguments", message, remedy);
                given = None;
                continue;
            }
            let value = self.value(argument);
            if let Some(given) = &mut given {
                given.push((node.params[at].name.clone(), value, false));
            }
        }
        let _ = call;
        given
    }

    /// A call of a node: its arguments by position are read, those by name are not.
    fn step(
        &mut self,
        call: &ExprCall,
        node: &'r NodeDef,
        positional: Option<Vec<Given>>,
        mapped: bool,
    ) -> Option<Value> {
        let mut fits = positional.is_some();
        let mut given = positional.unwrap_or_default();
        for keyword in &call.arguments.keywords {
            let value = self.value(&keyword.value);
            match self.keyword(keyword, node, &given) {
                Some(name) => given.push((name, value, false)),
                None => fits = false,
            }
        }
        if fits {
            self.check_names(call, node, &given, mapped)?;
        }
        self.push(call, node, given, mapped).filter(|_| fits)
    }

    /// The parameter that an argument by name is for.
    fn keyword(&mut self, keyword: &Keyword, node: &NodeDef, given: &[Given]) -> Option<String> {
        let Some(name) = keyword.arg.as_ref().map(|name| name.id.as_str()) else {
            self.refuse(keyword, "arguments", "unpacked arguments", "write each argument by name");
            return None;
        };
        if !node.params.iter().any(|param| param.name == name) {
            let known: Vec<&str> = node.params.iter().map(|p| p.name.as_str()).collect();
            let remedy =
                if known.is_empty() { "leave it out".to_owned() } else { format!("it takes {}", known.join(", ")) };
            self.refuse(keyword, "arguments", format!("`{}` has no parameter `{name}`", node.name), &remedy);
            return None;
        }
        if given.iter().any(|(given, ..)| given == name) {
            self.refuse(keyword, "arguments", format!("`{name}` is given twice"), "leave one out");
            return None;
        }
        Some(name.to_owned())
    }

    /// Whether every parameter has an argument or a default.
    fn check_names(&mut self, call: &ExprCall, node: &NodeDef, given: &[Given], _mapped: bool) -> Option<()> {
        let missing = node.params.iter().filter(|p| p.default.is_none() && !given.iter().any(|(n, ..)| *n == p.name));
        let missing: Vec<&str> = missing.map(|p| p.name.as_str()).collect();
        if missing.is_empty() {
            return Some(());
        }
        let message = format!("`{}` lacks an argument for {}", node.name, missing.join(", "));
        self.refuse(call, "arguments", message, &format!("write {}=…", missing[0]));
        None
    }

    fn push(&mut self, call: &ExprCall, node: &NodeDef, given: Vec<Given>, mapped: bool) -> Option<Value> {
        if self.workflow.steps.len() >= limits::STEPS {
            self.overfull(call, "steps");
            return None;
        }
        let over = given.iter().filter(|(.., mapped)| *mapped).map(|(name, ..)| name.clone()).collect();
        let arguments = given.into_iter().map(|(name, value, _)| Some((name, value?))).collect::<Option<Vec<_>>>()?;
        let ix = StepIx(self.workflow.steps.len() as u32);
        let function = node.name.clone();
        let count = self.ids.entry(function.clone()).or_default();
        *count += 1;
        let id = if *count == 1 { function.clone() } else { format!("{function}-{count}") };
        let kind = if mapped { StepKind::Map { function, over } } else { StepKind::Node { function } };
        let place = self.text().place(ruff_text_size::Ranged::range(call));
        let (guards, after) = (self.guards.clone(), self.order.barrier.clone());
        self.workflow.steps.push(Step { id, kind, arguments, guards, after, place });
        self.order.since.push(ix);
        Some(Value::Result { step: ix, path: Vec::new() })
    }

    fn refuse_map(&mut self, call: &ExprCall) {
        let first = call.arguments.args.first();
        if first.is_some_and(|first| matches!(self.callee(first), Callee::Workflow(..))) {
            return self.not_yet(call, "a map over a workflow is", "map over a node");
        }
        if first.and_then(Expr::as_call_expr).is_some_and(|c| matches!(self.callee(&c.func), Callee::Qflow("settled")))
        {
            return self.not_yet(call, "a map over settled(f) is", "map over the node itself");
        }
        self.refuse(call, "map", "a map over what is no node", "write map(fn, xs) with fn under @node");
    }

    fn refuse_workflow(&mut self, call: &ExprCall, unit: usize, name: &str) {
        let of = format!("the call of the workflow `{name}` is");
        if reaches(self.calls, (unit, self.known(unit, name)), (self.unit, self.function)) {
            let message = format!("`{name}` calls itself in the end");
            self.refuse(call, "recursion", message, "write a bounded map; a workflow does not call itself");
        } else {
            self.not_yet(call, &of, "call its nodes here");
        }
    }

    /// A workflow's name as the call graph knows it.
    fn known(&self, unit: usize, name: &str) -> &'a str {
        let known = self.calls.keys().find(|(at, known)| *at == unit && *known == name);
        known.map_or("", |(_, known)| known)
    }

    fn refuse_qflow(&mut self, call: &ExprCall, name: &str) {
        match name {
            "sleep" | "approval" | "settled" => {
                let remedy = if name == "sleep" { "wait in a node" } else { IN_A_NODE };
                self.not_yet(call, &format!("`{name}` is"), remedy);
            }
            _ => self.refuse(call, "node-only", format!("`{name}` belongs inside a node"), IN_A_NODE),
        }
    }

    fn refuse_other(&mut self, call: &ExprCall) {
        let text = self.written(&*call.func);
        let first_is_node =
            call.arguments.args.first().is_some_and(|first| matches!(self.callee(first), Callee::Node(_)));
        let (code, message, remedy) = match &*call.func {
            Expr::Name(name) if name.id.as_str() == "map" && first_is_node => {
                ("builtin-map", "the builtin map over a node".to_owned(), "write from qflow import map")
            }
            Expr::Attribute(attribute) if matches!(self.callee(&attribute.value), Callee::Node(_)) => {
                let remedy = match attribute.attr.as_str() {
                    "map" => "write from qflow import map, and map(fn, xs)",
                    _ => "call the node: calls are parallel, and statements of their own run in order",
                };
                ("method-of-node", format!("`{text}` is not how a node is called"), remedy)
            }
            _ if crate::constant::is_clock(&self.dotted(&call.func)) => {
                let problem = refuse::clock(self.text(), ruff_text_size::Ranged::range(call));
                return self.problems.push(problem);
            }
            Expr::Attribute(_) => ("method", format!("`{text}` is a call of Python"), IN_A_NODE),
            Expr::Name(name) if self.project.units.named(self.unit, name.id.as_str()).is_none() => {
                ("not-a-node", format!("`{text}` is no node"), IN_A_NODE)
            }
            _ => ("not-a-node", format!("`{text}` is no node"), "put @node before it, or call it in a node"),
        };
        self.refuse(call, code, message, remedy);
    }

    /// The name of something outside, as its module has it.
    fn dotted(&self, expr: &Expr) -> String {
        match self.project.units.resolve(self.unit, expr) {
            Some(Bound::Foreign(name)) => name,
            _ => String::new(),
        }
    }
}

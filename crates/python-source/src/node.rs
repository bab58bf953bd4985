//! What stands inside nodes, and where nodes may stand.

use std::collections::HashSet;

use ruff_python_ast::{
    Decorator, Expr, ExprCall, Stmt, StmtFunctionDef,
    visitor::{Visitor, walk_expr, walk_stmt},
};
use ruff_text_size::{Ranged, TextRange};

use crate::{
    function::{self, Kind},
    problems::Problems,
    project::Project,
    scope::{self, Bound},
};

/// Checks every function of a file.
pub(crate) fn check_file(project: &Project<'_>, unit: usize, problems: &mut Problems) {
    let suite = project.units.files[unit].suite;
    let mut places = Places { project, unit, problems, inner: 0, hidden: Vec::new() };
    places.visit_body(suite);
    for def in suite.iter().filter_map(Stmt::as_function_def_stmt) {
        if function::kind(&project.units, unit, def) == Some(Kind::Node) {
            let mut body = Body { project, unit, own: &def.name.id, locals: scope::locals(def), problems, nested: 0 };
            body.visit_body(&def.body);
        }
    }
}

/// Looks for nodes and workflows where they cannot be: what is not at the top level is not found by its name.
struct Places<'r, 'a> {
    project: &'r Project<'a>,
    unit: usize,
    problems: &'r mut Problems,
    /// Statements around this one.
    inner: usize,
    /// Names of the functions around it.
    hidden: Vec<HashSet<&'r str>>,
}

impl Places<'_, '_> {
    fn wrong(&mut self, range: TextRange, message: impl Into<String>, remedy: &str) {
        let text = &self.project.units.files[self.unit].text;
        self.problems.push(text.problem(range, "not-top-level", message, remedy));
    }

    fn decorated(&mut self, decorators: &[Decorator]) -> Option<Kind> {
        decorators.iter().find_map(|decorator| function::decorator_kind(&self.project.units, self.unit, decorator))
    }
}

impl<'v: 'r, 'r> Visitor<'v> for Places<'r, '_> {
    fn visit_stmt(&mut self, stmt: &'v Stmt) {
        match stmt {
            Stmt::FunctionDef(def) if self.inner > 0 => {
                if let Some(kind) = self.decorated(&def.decorator_list) {
                    let message = format!("the {} `{}` does not stand at the top level", kind.word(), def.name.id);
                    self.wrong(def.name.range(), message, "move it out of the class, function or block");
                }
            }
            Stmt::ClassDef(class) => {
                if let Some(kind) = self.decorated(&class.decorator_list) {
                    let message = format!("the class `{}` is no {}", class.name.id, kind.word());
                    self.wrong(class.name.range(), message, "write a function at the top level");
                }
            }
            _ => {}
        }
        let function = stmt.as_function_def_stmt();
        self.hidden.extend(function.map(scope::locals));
        self.inner += 1;
        walk_stmt(self, stmt);
        self.inner -= 1;
        self.hidden.truncate(self.hidden.len() - usize::from(function.is_some()));
    }

    fn visit_decorator(&mut self, decorator: &'v Decorator) {
        // Its own call makes the node; what it is given is looked through.
        if let Expr::Call(call) = &decorator.expression {
            self.visit_arguments(&call.arguments);
        }
    }

    fn visit_expr(&mut self, expr: &'v Expr) {
        if let Expr::Call(call) = expr
            && let Some(kind) = function::of_name(&self.project.units, self.unit, &call.func)
            && !self.hidden.iter().any(|names| scope::root(&call.func).is_some_and(|root| names.contains(root)))
        {
            let word = kind.word();
            let message = format!("`{word}(…)` is called, and makes no {word} that can be found");
            self.wrong(call.range(), message, "write it as a decorator, before a function at the top level");
        }
        walk_expr(self, expr);
    }
}

/// Looks through a node's body.
struct Body<'r, 'a> {
    project: &'r Project<'a>,
    unit: usize,
    own: &'r str,
    locals: HashSet<&'r str>,
    problems: &'r mut Problems,
    /// Functions within the node that this stands in: a `yield` there is theirs.
    nested: usize,
}

impl Body<'_, '_> {
    fn wrong(&mut self, range: TextRange, code: &str, message: impl Into<String>, remedy: &str) {
        let problem = self.project.units.files[self.unit].text.problem(range, code, message, remedy);
        self.problems.push(problem);
    }

    fn call(&mut self, call: &ExprCall) {
        let callee = &*call.func;
        match self.project.units.visible(self.unit, callee, &self.locals) {
            // `map` of what is no node is the builtin.
            Some(Bound::Qflow("map")) if !self.maps_a_node(call) => {}
            Some(Bound::Qflow(name @ ("map" | "sleep" | "approval" | "settled"))) => {
                let remedy = match name {
                    "sleep" => "write time.sleep(…), or raise Retry(after=…)",
                    "map" => "move it to the workflow",
                    "approval" => "ask in the workflow, before the node is called: approval(\"name\")",
                    _ => "call it in the workflow, or catch the error with try",
                };
                self.wrong(callee.range(), "workflow-only", format!("`{name}` stands inside a node"), remedy);
            }
            Some(Bound::Function(at, def)) => match function::kind(&self.project.units, at, def) {
                Some(Kind::Workflow) => {
                    let message = format!("the workflow `{}` is called inside a node", def.name.id);
                    self.wrong(
                        callee.range(),
                        "workflow-only",
                        message,
                        "call it in the workflow, before or after the node",
                    );
                }
                Some(Kind::Node) if (at, def.name.id.as_str()) != (self.unit, self.own) => {
                    self.node_called(callee, (at, def));
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// A node inside a node is a plain call, which its environment must allow.
    fn node_called(&mut self, callee: &Expr, (at, def): (usize, &StmtFunctionDef)) {
        let (inner, outer) = (self.project.node(at, def.name.id.as_str()), self.project.node(self.unit, self.own));
        let (Some((name, inner)), Some((own, outer))) = (inner, outer) else { return };
        let text = &self.project.units.files[self.unit].text;
        let problem = if inner.python == outer.python && inner.requirements == outer.requirements {
            let message =
                format!("`{name}` inside `{own}` is a plain call: no attempt, no retries, no record of its own");
            text.warning(callee.range(), "node-in-node", message, "call it in the workflow to have it run as a node")
        } else {
            let message = format!("`{name}` inside `{own}` is a plain call, and its environment differs");
            text.problem(
                callee.range(),
                "node-in-node",
                message,
                "call it in the workflow, or give both one environment",
            )
        };
        self.problems.push(problem);
    }

    fn maps_a_node(&self, call: &ExprCall) -> bool {
        let first = call.arguments.args.first();
        let of = first.and_then(|of| self.project.units.visible(self.unit, of, &self.locals));
        matches!(of, Some(Bound::Function(at, def)) if function::kind(&self.project.units, at, def).is_some())
    }
}

impl<'v> Visitor<'v> for Body<'_, '_> {
    fn visit_stmt(&mut self, stmt: &'v Stmt) {
        let nests = usize::from(matches!(stmt, Stmt::FunctionDef(_) | Stmt::ClassDef(_)));
        self.nested += nests;
        walk_stmt(self, stmt);
        self.nested -= nests;
    }

    fn visit_expr(&mut self, expr: &'v Expr) {
        let nests = usize::from(matches!(expr, Expr::Lambda(_) | Expr::Generator(_)));
        match expr {
            Expr::Yield(_) | Expr::YieldFrom(_) if self.nested == 0 => {
                let message = "a node that yields has no value to hand on";
                self.wrong(expr.range(), "yield", message, "return a list, or a File for much data");
            }
            Expr::Call(call) => self.call(call),
            _ => {}
        }
        self.nested += nests;
        walk_expr(self, expr);
        self.nested -= nests;
    }
}

//! What stands inside nodes, and where nodes may stand.

use qflow_model::definition::Problem;
use ruff_python_ast::{
    Expr, Stmt, StmtFunctionDef,
    visitor::{Visitor, walk_expr, walk_stmt},
};
use ruff_text_size::{Ranged, TextRange};

use crate::{
    function::{self, Kind},
    project::Project,
    scope::Bound,
};

/// Checks every function of a file.
pub(crate) fn check_file(project: &Project<'_>, unit: usize, problems: &mut Vec<Problem>) {
    for stmt in project.units.0[unit].suite {
        match stmt {
            Stmt::FunctionDef(def) if function::kind(&project.units, unit, def) == Some(Kind::Node) => {
                inside(project, unit, def, problems);
            }
            Stmt::If(branch) if crate::scope::is_main(&branch.test) => {}
            _ => {}
        }
        let inner: &mut dyn FnMut(&Stmt) = &mut |inner| misplaced(project, unit, inner, problems);
        children(stmt, inner);
    }
}

/// Calls `visit` on every statement below one, not on itself.
fn children(stmt: &Stmt, visit: &mut dyn FnMut(&Stmt)) {
    struct Below<'v> {
        visit: &'v mut dyn FnMut(&Stmt),
        top: bool,
    }
    impl<'a> Visitor<'a> for Below<'_> {
        fn visit_stmt(&mut self, stmt: &'a Stmt) {
            if !std::mem::take(&mut self.top) {
                (self.visit)(stmt);
            }
            walk_stmt(self, stmt);
        }
        fn visit_expr(&mut self, _: &'a Expr) {}
    }
    Below { visit, top: true }.visit_stmt(stmt);
}

/// A node or workflow that is not at the top level cannot be imported by its name.
fn misplaced(project: &Project<'_>, unit: usize, stmt: &Stmt, problems: &mut Vec<Problem>) {
    let Stmt::FunctionDef(def) = stmt else { return };
    let Some(kind) = function::kind(&project.units, unit, def) else { return };
    let what = if kind == Kind::Node { "node" } else { "workflow" };
    let message = format!("the {what} `{}` does not stand at the top level", def.name.id);
    let text = &project.units.0[unit].text;
    problems.push(text.problem(
        def.name.range(),
        "not-top-level",
        message,
        "move it out of the class, function or block",
    ));
}

fn inside(project: &Project<'_>, unit: usize, def: &StmtFunctionDef, problems: &mut Vec<Problem>) {
    let own = def.name.id.as_str();
    let mut body = Body { project, unit, own, problems, nested: 0 };
    def.body.iter().for_each(|stmt| body.visit_stmt(stmt));
}

struct Body<'r, 'a> {
    project: &'r Project<'a>,
    unit: usize,
    own: &'r str,
    problems: &'r mut Vec<Problem>,
    /// Functions within the node that this stands in: a `yield` there is theirs.
    nested: usize,
}

impl Body<'_, '_> {
    fn wrong(&mut self, range: TextRange, code: &str, message: impl Into<String>, remedy: &str) {
        self.problems.push(self.project.units.0[self.unit].text.problem(range, code, message, remedy));
    }

    fn called(&mut self, callee: &Expr) {
        match self.project.units.resolve(self.unit, callee) {
            Some(Bound::Qflow(name @ ("map" | "sleep" | "approval" | "settled"))) => {
                // `map` of what is no node is the builtin.
                let remedy = match name {
                    "sleep" => "move it to the workflow, or raise Retry(after=…)",
                    _ => "move it to the workflow",
                };
                self.wrong(callee.range(), "workflow-only", format!("`{name}` stands inside a node"), remedy);
            }
            Some(Bound::Function(at, def)) => match function::kind(&self.project.units, at, def) {
                Some(Kind::Workflow) => {
                    let message = format!("the workflow `{}` is called inside a node", def.name.id);
                    self.wrong(callee.range(), "workflow-only", message, "move it to the workflow");
                }
                Some(Kind::Node) if def.name.id.as_str() != self.own => self.node_called(callee, def.name.id.as_str()),
                _ => {}
            },
            _ => {}
        }
    }

    /// A node inside a node is a plain call, which its environment must allow.
    fn node_called(&mut self, callee: &Expr, name: &str) {
        let nodes = &self.project.nodes;
        let (Some(inner), Some(own)) = (nodes.get(name), nodes.get(self.own)) else { return };
        let same = inner.python == own.python && inner.requirements == own.requirements;
        let own = self.own;
        if same {
            let message =
                format!("`{name}` inside `{own}` is a plain call: no attempt, no retries, no record of its own");
            self.wrong(callee.range(), "node-in-node", message, "call it in the workflow to have it run as a node");
            if let Some(last) = self.problems.last_mut() {
                last.warning = true;
            }
        } else {
            let message = format!("`{name}` inside `{own}` is a plain call, and its environment differs");
            self.wrong(
                callee.range(),
                "node-in-node",
                message,
                "call it in the workflow, or give both one environment",
            );
        }
    }

    /// Whether `map` is given a node or workflow: else it is the builtin.
    fn maps_a_node(&self, call: &ruff_python_ast::ExprCall) -> bool {
        let of = call.arguments.args.first().and_then(|of| self.project.units.resolve(self.unit, of));
        matches!(of, Some(Bound::Function(at, def)) if function::kind(&self.project.units, at, def).is_some())
    }
}

impl<'v> Visitor<'v> for Body<'_, '_> {
    fn visit_stmt(&mut self, stmt: &'v Stmt) {
        let nests = matches!(stmt, Stmt::FunctionDef(_) | Stmt::ClassDef(_));
        self.nested += usize::from(nests);
        walk_stmt(self, stmt);
        self.nested -= usize::from(nests);
    }

    fn visit_expr(&mut self, expr: &'v Expr) {
        match expr {
            Expr::Yield(_) | Expr::YieldFrom(_) if self.nested == 0 => {
                let message = "a node that yields has no value to hand on";
                self.wrong(expr.range(), "yield", message, "return a list, or a File for much data");
            }
            Expr::Lambda(_) => {
                self.nested += 1;
                walk_expr(self, expr);
                self.nested -= 1;
                return;
            }
            Expr::Call(call) => {
                let mapped = matches!(self.project.units.resolve(self.unit, &call.func), Some(Bound::Qflow("map")));
                if !mapped || self.maps_a_node(call) {
                    self.called(&call.func);
                }
            }
            _ => {}
        }
        walk_expr(self, expr);
    }
}

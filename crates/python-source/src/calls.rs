//! Which workflows name which others, so that a circle is told as one.

use std::collections::{HashMap, HashSet};

use ruff_python_ast::{
    Expr,
    visitor::{Visitor, walk_expr},
};

use crate::{
    function::{self, Kind, Workflow},
    project::Project,
    scope::{self, Bound},
};

/// Workflows by name, with the names of those that each calls, maps over or settles.
pub(crate) struct Calls(HashMap<String, HashSet<String>>);

impl Calls {
    /// Looks through the bodies of all workflows.
    pub(crate) fn of(project: &Project<'_>, workflows: &[Workflow<'_>]) -> Self {
        let named = workflows.iter().map(|workflow| {
            let locals = scope::locals(workflow.function);
            let mut visit = Named { project, unit: workflow.unit, locals, found: HashSet::new() };
            visit.visit_body(&workflow.function.body);
            (workflow.def.name.clone(), visit.found)
        });
        Self(named.collect())
    }

    /// Whether one workflow comes to another by calls.
    pub(crate) fn reaches(&self, from: &str, to: &str) -> bool {
        let (mut left, mut seen) = (vec![from], HashSet::new());
        while let Some(name) = left.pop() {
            if name == to {
                return true;
            }
            if seen.insert(name) {
                left.extend(self.0.get(name).into_iter().flatten().map(String::as_str));
            }
        }
        false
    }
}

struct Named<'r, 'a> {
    project: &'r Project<'a>,
    unit: usize,
    locals: HashSet<&'a str>,
    found: HashSet<String>,
}

impl<'v> Visitor<'v> for Named<'_, '_> {
    fn visit_expr(&mut self, expr: &'v Expr) {
        if matches!(expr, Expr::Name(_) | Expr::Attribute(_))
            && let Some(Bound::Function(at, def)) = self.project.units.visible(self.unit, expr, &self.locals)
            && function::kind(&self.project.units, at, def) == Some(Kind::Workflow)
            && let Some(name) = self.project.workflows.get(&(at, def.name.id.as_str()))
        {
            self.found.insert(name.clone());
        }
        walk_expr(self, expr);
    }
}

//! Which workflows come back to one another by calls, so that a circle is told as one.

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

/// The circle that each workflow is on, by number: alone on one where it comes back to none.
pub(crate) struct Calls(HashMap<String, usize>);

impl Calls {
    /// Looks through the bodies of all workflows for others that are called, mapped over or settled.
    pub(crate) fn of(project: &Project<'_>, workflows: &[Workflow<'_>]) -> Self {
        let places: HashMap<&str, usize> =
            workflows.iter().enumerate().map(|(at, w)| (w.def.name.as_str(), at)).collect();
        let calls = workflows.iter().map(|workflow| {
            let locals = scope::locals(workflow.function);
            let mut visit = Named { project, places: &places, unit: workflow.unit, locals, found: HashSet::new() };
            visit.visit_body(&workflow.function.body);
            visit.found.into_iter().collect()
        });
        let circles = circles(&calls.collect::<Vec<_>>());
        Self(workflows.iter().zip(circles).map(|(workflow, circle)| (workflow.def.name.clone(), circle)).collect())
    }

    /// Whether a workflow comes back to another that calls it.
    pub(crate) fn come_back(&self, callee: &str, caller: &str) -> bool {
        self.0.get(callee).is_some_and(|circle| self.0.get(caller) == Some(circle))
    }
}

/// Numbers the strongly connected parts of a graph, by Kosaraju's two searches.
fn circles(edges: &[Vec<usize>]) -> Vec<usize> {
    let mut back = vec![Vec::new(); edges.len()];
    for (from, to) in edges.iter().enumerate().flat_map(|(from, all)| all.iter().map(move |to| (from, *to))) {
        back[to].push(from);
    }
    let (mut order, mut seen) = (Vec::new(), vec![false; edges.len()]);
    for start in 0..edges.len() {
        // Each entry with how many of its edges were followed: done with those, it is left.
        let mut path = if std::mem::replace(&mut seen[start], true) { vec![] } else { vec![(start, 0)] };
        while let Some((at, followed)) = path.last_mut() {
            if let Some(next) = edges[*at].get(*followed) {
                *followed += 1;
                if !std::mem::replace(&mut seen[*next], true) {
                    path.push((*next, 0));
                }
            } else {
                order.push(*at);
                path.pop();
            }
        }
    }
    let mut circle = vec![usize::MAX; edges.len()];
    for start in order.into_iter().rev() {
        let mut left = vec![start];
        while let Some(at) = left.pop() {
            if circle[at] == usize::MAX {
                circle[at] = start;
                left.extend(&back[at]);
            }
        }
    }
    circle
}

struct Named<'r, 'a> {
    project: &'r Project<'a>,
    places: &'r HashMap<&'r str, usize>,
    unit: usize,
    locals: HashSet<&'a str>,
    found: HashSet<usize>,
}

impl<'v> Visitor<'v> for Named<'_, '_> {
    fn visit_expr(&mut self, expr: &'v Expr) {
        if matches!(expr, Expr::Name(_) | Expr::Attribute(_))
            && let Some(Bound::Function(at, def)) = self.project.units.visible(self.unit, expr, &self.locals)
            && function::kind(&self.project.units, at, def) == Some(Kind::Workflow)
            && let Some(name) = self.project.workflows.get(&(at, def.name.id.as_str()))
        {
            self.found.extend(self.places.get(name.as_str()));
        }
        walk_expr(self, expr);
    }
}

#[cfg(test)]
mod tests {
    use super::circles;

    #[test]
    fn what_comes_back_to_one_another_is_one_circle() {
        // 0 → 1 ⇄ 2 → 3 → 4 → 5 → 3, 6 alone, 7 by itself.
        let edges = [vec![1], vec![2], vec![1, 3], vec![4], vec![5], vec![3], vec![], vec![7, 0]];
        let found = circles(&edges);
        let same = |a: usize, b: usize| found[a] == found[b];
        assert!(same(1, 2) && same(3, 4) && same(4, 5));
        assert!(!same(0, 1) && !same(2, 3) && !same(6, 3) && !same(7, 0));
    }
}

//! Generic nodes: what their variables stand for at each call.

use qflow_model::{
    definition::{Generic, Step, TypeText},
    expression::Expr,
};
use qflow_types::{Ty, Variable, Variables, solve};

use super::{
    check::{Checker, ty},
    tell::problem,
};

impl<'a> Checker<'a> {
    /// Solves a call's variables by what it is given, and tells where nothing can stand for one.
    pub(super) fn solve(&mut self, ix: usize, step: &'a Step, generic: &Generic) {
        let here = self.narrow.behind(&step.guards);
        let mut given = Vec::new();
        for (name, expr) in &step.arguments {
            let Some(declared) = generic.params.get(name) else { continue };
            // What has no type was told of; of what is mapped over, each element is given.
            let Some((found, _)) = self.type_of(expr, &here, &step.place) else { continue };
            let over = step.over.contains(name) && !matches!(expr, Expr::Literal(_));
            let found = if over {
                found.members().iter().map(|one| one.element().unwrap_or(Ty::Any)).collect()
            } else {
                vec![found]
            };
            given.push((ty(declared), Ty::union(found)));
        }
        let variables = variables(generic);
        match solve(given.iter().map(|(declared, found)| (declared, found)), &variables, &self.definition.classes) {
            Ok(solution) => drop(self.solved.insert(ix, solution)),
            Err(unsolved) => {
                let message = format!("{}: {unsolved}", step.kind.callee());
                let remedy = "give it what its variable allows, or widen the variable";
                self.problems.push(problem(&step.place, "incompatible-types", message, remedy));
            }
        }
    }

    /// A declared type at a call, with what is solved in the place of its variables.
    pub(super) fn declared(&self, ix: usize, text: &TypeText) -> Ty {
        self.solved.get(&ix).cloned().unwrap_or_default().apply(self.known.read(&text.0))
    }

    /// What a generic step returns; nothing of others.
    pub(super) fn returns(&self, ix: usize, step: &Step) -> Option<Ty> {
        let node = step.kind.node().and_then(|function| self.definition.nodes.get(function))?;
        node.generic.as_ref().map(|generic| self.declared(ix, &generic.returns))
    }
}

fn variables(generic: &Generic) -> Variables {
    let all = generic.variables.iter().map(|(name, declared)| {
        let variable = Variable {
            bound: declared.bound.as_ref().map(ty),
            constraints: declared.constraints.iter().map(ty).collect(),
            default: declared.default.as_ref().map(ty),
        };
        (name.clone(), variable)
    });
    all.collect()
}

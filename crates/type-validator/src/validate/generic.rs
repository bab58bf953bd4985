//! Generic nodes: what their variables stand for at each call.

use qflow_model::definition::{Generic, Problem, Step, TypeText};
use qflow_types::{Ty, Unsolved, Variable, Variables, solve};

use super::{
    check::{Checker, ty},
    tell::{self, Origin, Target, problem},
};

/// Parts of a type that a call is found to give: as many as one that is written down may have.
const PARTS: usize = 500;

impl<'a> Checker<'a> {
    /// Solves a call's variables by what it is given, and tells where nothing can stand for one.
    pub(super) fn solve(&mut self, ix: usize, step: &'a Step, generic: &Generic) {
        let here = self.narrow.behind(&step.guards);
        let mut given = Vec::new();
        for (name, expr) in &step.arguments {
            let Some(declared) = generic.params.get(name) else { continue };
            // What has no type was told of; of what is mapped over, each element is given.
            let Some((found, origin)) = self.type_of(expr, &here, self.place(ix, step, name)) else { continue };
            let found = if step.over.contains(name) {
                found.members().iter().map(|one| one.element().unwrap_or(Ty::Any)).collect()
            } else {
                vec![found]
            };
            given.push(Given { name, declared: ty(declared), found: Ty::union(found), origin });
        }
        let variables = variables(generic);
        let classes = &self.definition.classes;
        match solve(given.iter().map(|one| (&one.declared, &one.found)), &variables, classes) {
            Ok(solution) if solution.size(&ty(&generic.returns)) > PARTS => {
                let message = format!("the result of `{}` is of a type of more than {PARTS} parts", step.kind.callee());
                let remedy = "give what is passed on a class of its own, such as a dataclass";
                self.problems.push(problem(&step.place, "too-large", message, remedy));
            }
            Ok(solution) => drop(self.solved.insert(ix, solution)),
            Err(unsolved) => {
                let alone = |one: &&Given<'_>| solve([(&one.declared, &one.found)], &variables, classes).is_err();
                // Where each by itself would go, what they make of the variable together does not.
                let together = |one: &&Given<'_>| holds(&one.declared, &unsolved.variable);
                let one: Vec<_> = given.iter().find(alone).into_iter().collect();
                let all = if one.is_empty() { given.iter().filter(together).collect() } else { one };
                let told = self.unsolved(ix, step, &all, &unsolved);
                self.problems.push(told);
            }
        }
    }

    /// A variable that nothing can stand for, with both ends of each argument that says what it would be.
    fn unsolved(&self, ix: usize, step: &'a Step, given: &[&Given<'_>], unsolved: &Unsolved) -> Problem {
        let ends = given.iter().map(|one| {
            let declared = named(one.declared.clone());
            tell::ends(&one.found, &one.origin, &self.target(ix, step, one, &declared))
        });
        let message = format!("{}: {unsolved}", ends.collect::<Vec<_>>().join(" and "));
        let place = given.last().map_or(&step.place, |one| self.place(ix, step, one.name));
        let remedy = "give it what its variable allows, or widen the variable";
        let told = problem(place, "incompatible-types", message, remedy);
        let other = given.last().map(|one| self.target(ix, step, one, &one.declared).other(&one.origin));
        Problem { other, ..told }
    }

    fn target<'t>(&'t self, ix: usize, step: &'a Step, one: &Given<'_>, ty: &'t Ty) -> Target<'t> {
        let node = step.kind.node().and_then(|name| self.definition.nodes.get(name));
        let param = node.and_then(|node| node.params.iter().find(|param| param.name == one.name));
        Target {
            label: format!("{}.{}", step.kind.callee(), one.name),
            ty,
            declared: param.map_or(&step.place, |param| &param.place),
            place: self.place(ix, step, one.name),
            code: "incompatible-types",
            taker: None,
        }
    }

    /// A declared type at a call, with what is solved in the place of its variables.
    pub(super) fn declared(&self, ix: usize, text: &TypeText) -> Ty {
        self.solved.get(&ix).cloned().unwrap_or_default().apply(self.known.read(&text.0))
    }

    /// Of each generic step what its result is to be held to: its variables stand for what was found.
    pub(super) fn generic_results(&self) -> Vec<(usize, TypeText)> {
        let steps = self.workflow.steps.iter().enumerate();
        let solved = steps.filter(|(ix, _)| self.solved.contains_key(ix));
        solved.filter_map(|(ix, step)| Some((ix, TypeText(self.returns(ix, step)?.to_string())))).collect()
    }

    /// What a generic step returns; nothing of others.
    pub(super) fn returns(&self, ix: usize, step: &Step) -> Option<Ty> {
        let node = step.kind.node().and_then(|function| self.definition.nodes.get(function))?;
        node.generic.as_ref().map(|generic| self.declared(ix, &generic.returns))
    }
}

/// An argument of a generic parameter.
struct Given<'s> {
    name: &'s str,
    declared: Ty,
    found: Ty,
    origin: Origin,
}

fn holds(ty: &Ty, variable: &str) -> bool {
    matches!(ty, Ty::Variable(name) if name == variable) || ty.parts().into_iter().any(|part| holds(part, variable))
}

/// A type with its variables as they are written: `list[T]`.
fn named(ty: Ty) -> Ty {
    match ty {
        Ty::Variable(name) => Ty::Class(name),
        other => other.map(named),
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

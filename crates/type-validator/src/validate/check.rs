//! Every argument with its parameter, every default and every result with its declaration.

use std::collections::BTreeMap;

use qflow_model::{
    definition::{Definition, Guard, Param, ParamDefault, Place, Problem, Step, TypeText, WorkflowDef},
    expression::{Expr, Segment},
    limits,
};
use qflow_types::{Ty, assignable, value};

use super::{
    Inspected,
    walk::{implies, of_value, spelled, walk, widened},
};

/// Checks a definition's edges.
pub fn check(definition: Definition) -> Inspected {
    let (mut problems, mut all) = (Vec::new(), BTreeMap::new());
    for workflow in definition.workflows.values() {
        if let Some(problem) = too_large(workflow) {
            problems.push(problem);
            continue;
        }
        let mut checker = Checker { definition: &definition, workflow, problems: Vec::new(), edges: Vec::new() };
        checker.defaults();
        workflow.steps.iter().for_each(|step| checker.step(step));
        checker.result();
        problems.extend(checker.problems);
        all.insert(workflow.name.clone(), checker.edges);
    }
    problems.sort();
    problems.dedup();
    Inspected { definition, problems, edges: all }
}

fn too_large(workflow: &WorkflowDef) -> Option<Problem> {
    let (steps, mut edges) = (workflow.steps.len(), 0);
    for (_, argument) in workflow.steps.iter().flat_map(|step| &step.arguments) {
        argument.results(&mut |_, _| edges += 1);
    }
    let over = |what: &str, bound: usize, count: usize| {
        let message = format!("a workflow has at most {bound} {what}, `{}` has {count}", workflow.name);
        Problem { remedy: Some("use map".to_owned()), ..problem(&workflow.place, "too-large", message) }
    };
    if steps > limits::STEPS {
        return Some(over("steps", limits::STEPS, steps));
    }
    (edges > limits::EDGES).then(|| over("references between steps", limits::EDGES, edges))
}

pub(super) fn problem(place: &Place, code: &str, message: String) -> Problem {
    Problem {
        place: place.clone(),
        end_column: place.column,
        code: code.to_owned(),
        message,
        remedy: None,
        other: None,
        excerpt: String::new(),
        warning: false,
    }
}

fn ty(text: &TypeText) -> Ty {
    // What does not read was told of by the reader.
    text.0.parse().unwrap_or(Ty::Any)
}

/// Where a value comes from: what it is called, and where that is declared.
struct Origin {
    name: String,
    place: Option<Place>,
}

/// What a value must go into.
struct Target<'a> {
    label: String,
    ty: &'a Ty,
    declared: &'a Place,
    /// Where the value is handed over.
    place: &'a Place,
    code: &'static str,
}

/// What is called: a node, or another workflow.
struct Callee<'a> {
    params: &'a [Param],
    returns: &'a TypeText,
    place: &'a Place,
}

struct Checker<'a> {
    definition: &'a Definition,
    workflow: &'a WorkflowDef,
    problems: Vec<Problem>,
    edges: Vec<(String, String, bool)>,
}

impl<'a> Checker<'a> {
    fn callee(&self, function: &str) -> Option<Callee<'a>> {
        if let Some(node) = self.definition.nodes.get(function) {
            return Some(Callee { params: &node.params, returns: &node.returns, place: &node.place });
        }
        let workflows = &self.definition.workflows;
        let called = workflows.get(function).or_else(|| workflows.values().find(|w| w.function == function))?;
        Some(Callee { params: &called.params, returns: &called.returns, place: &called.place })
    }

    /// Defaults of the workflow itself; a node's are Python's own, and are checked as it is called.
    fn defaults(&mut self) {
        for param in &self.workflow.params {
            let Some(ParamDefault::Value(default)) = &param.default else { continue };
            if let Err(error) = value::check(default, &ty(&param.ty)) {
                let message = format!("{}.{}: {} ← its default: {error}", self.workflow.name, param.name, param.ty.0);
                self.problems.push(problem(&param.place, "incompatible-default", message));
            }
        }
    }

    fn step(&mut self, step: &'a Step) {
        let function = step.kind.callee();
        let Some(callee) = self.callee(function) else {
            self.problems.push(problem(&step.place, "unknown-node", format!("no node is called `{function}`")));
            return;
        };
        for (name, expr) in &step.arguments {
            let Some(param) = callee.params.iter().find(|param| param.name == *name) else {
                let known: Vec<_> = callee.params.iter().map(|param| param.name.as_str()).collect();
                let takes = if known.is_empty() { "no arguments".to_owned() } else { known.join(", ") };
                let message = format!("`{function}` has no parameter `{name}`; it takes {takes}");
                let told = problem(&step.place, "unknown-argument", message);
                self.problems.push(Problem { other: Some(callee.place.clone()), ..told });
                continue;
            };
            let declared = ty(&param.ty);
            let target = Target {
                label: format!("{function}.{name}"),
                ty: &declared,
                declared: &param.place,
                place: &step.place,
                code: "incompatible-types",
            };
            if step.over.contains(name) {
                self.mapped(expr, &step.guards, &target);
            } else {
                self.goes(expr, &step.guards, &target);
            }
        }
        for param in callee.params.iter().filter(|param| param.default.is_none()) {
            if step.arguments.iter().all(|(name, _)| *name != param.name) {
                let message = format!("`{function}` needs an argument `{}`: {}", param.name, param.ty.0);
                let told = problem(&step.place, "missing-argument", message);
                self.problems.push(Problem { other: Some(param.place.clone()), ..told });
            }
        }
    }

    fn result(&mut self) {
        let workflow = self.workflow;
        let declared = ty(&workflow.returns);
        let target = Target {
            label: format!("{} returns", workflow.name),
            ty: &declared,
            declared: &workflow.place,
            place: &workflow.place,
            code: "incompatible-result",
        };
        self.goes(&workflow.result, &[], &target);
    }

    /// Whether a value goes where it is handed to; of a choice each side for itself.
    fn goes(&mut self, expr: &Expr, guards: &[Guard], target: &Target<'_>) {
        match expr {
            Expr::Select { branch, then, otherwise } => {
                for (holds, side) in [(true, then), (false, otherwise)] {
                    let guards = [guards, &[Guard { branch: *branch, holds }]].concat();
                    self.goes(side, &guards, target);
                }
            }
            // A literal is checked as the value that it is.
            Expr::Literal(literal) => {
                let wrong = value::check(literal, target.ty).err();
                let found = widened(of_value(literal));
                self.edge(&found, target, wrong.is_none());
                if wrong.is_some() {
                    let origin = Origin { name: format!("literal {}", value::to_plain(literal)), place: None };
                    self.tell(&found, &origin, "", target);
                }
            }
            _ => {
                let Some((found, origin)) = self.type_of(expr, guards, target.place) else { return };
                self.compare(&found, &origin, target);
            }
        }
    }

    /// Whether each element goes.
    fn mapped(&mut self, expr: &Expr, guards: &[Guard], target: &Target<'_>) {
        if let Expr::Select { branch, then, otherwise } = expr {
            for (holds, side) in [(true, then), (false, otherwise)] {
                let guards = [guards, &[Guard { branch: *branch, holds }]].concat();
                self.mapped(side, &guards, target);
            }
            return;
        }
        let Some((found, origin)) = self.type_of(expr, guards, target.place) else { return };
        let elements: Option<Vec<_>> = found.members().iter().map(Ty::element).collect();
        if let Some(elements) = elements {
            let origin = Origin { name: format!("each of {}", origin.name), place: origin.place };
            self.compare(&Ty::union(elements), &origin, target);
            return;
        }
        let message = format!("{} is mapped over {} → {found}, which is not a list", target.label, origin.name);
        let told = problem(target.place, "not-mappable", message);
        self.problems.push(Problem { other: origin.place, ..told });
    }

    fn compare(&mut self, found: &Ty, origin: &Origin, target: &Target<'_>) {
        let outcome = assignable(found, target.ty);
        self.edge(found, target, outcome.is_ok());
        if let Err(reason) = outcome {
            self.tell(found, origin, &reason.0, target);
        }
    }

    fn edge(&mut self, found: &Ty, target: &Target<'_>, goes: bool) {
        self.edges.push((found.root().to_owned(), target.ty.root().to_owned(), goes));
    }

    /// `total.rows: list[X] ← fetch → dict[X] (sales.py:9 → sales.py:15)`
    fn tell(&mut self, found: &Ty, origin: &Origin, reason: &str, target: &Target<'_>) {
        let at = |place: &Place| format!("{}:{}", place.file, place.line);
        let from = origin.place.as_ref().unwrap_or(target.place);
        let ends = format!("({} → {})", at(from), at(target.declared));
        let mut message = format!("{}: {} ← {} → {found} {ends}", target.label, target.ty, origin.name);
        // What the two types already say is not said again.
        let said = format!("{found} is not {}", target.ty);
        let more = reason.strip_prefix(&said).map_or(reason, |rest| rest.trim_start_matches(": "));
        if !more.is_empty() {
            message.push_str(": ");
            message.push_str(more);
        }
        let told = problem(target.place, target.code, message);
        let other = origin.place.clone().unwrap_or_else(|| target.declared.clone());
        self.problems.push(Problem { other: Some(other), ..told });
    }

    /// The type of an expression; `None` where it has none, which has been told.
    fn type_of(&mut self, expr: &Expr, guards: &[Guard], place: &Place) -> Option<(Ty, Origin)> {
        let here = |name: &str, ty: Ty| Some((ty, Origin { name: name.to_owned(), place: None }));
        match expr {
            Expr::Literal(literal) => here("literal", of_value(literal)),
            Expr::Param { name, path } => {
                let param = self.workflow.params.iter().find(|param| param.name == *name)?;
                let origin = Origin { name: format!("{name}{}", spelled(path)), place: Some(param.place.clone()) };
                let is_given =
                    |e: &[Segment]| self.is_given(&Expr::Param { name: name.clone(), path: e.into() }, guards);
                let found = walk(ty(&param.ty), path, is_given);
                self.walked(found, origin, place)
            }
            Expr::Result { step: ix, path } => {
                let step = self.workflow.steps.get(ix.0 as usize)?;
                let callee = self.callee(step.kind.callee())?;
                let one = ty(callee.returns);
                let returns = if step.over.is_empty() { one } else { Ty::Generic("list".to_owned(), vec![one]) };
                let origin =
                    Origin { name: format!("{}{}", step.id, spelled(path)), place: Some(callee.place.clone()) };
                let is_given = |e: &[Segment]| self.is_given(&Expr::Result { step: *ix, path: e.into() }, guards);
                let found = walk(returns, path, is_given);
                self.walked(found, origin, place)
            }
            Expr::List(parts) => {
                let item = Ty::union(self.types(parts, guards, place)?);
                here("list", Ty::Generic("list".to_owned(), vec![item]))
            }
            Expr::Tuple(parts) => here("tuple", Ty::Tuple(self.types(parts, guards, place)?)),
            Expr::Dict(parts) => {
                let types: Option<Vec<_>> =
                    parts.iter().map(|(_, part)| Some(self.type_of(part, guards, place)?.0)).collect();
                here("dict", Ty::Generic("dict".to_owned(), vec![Ty::class("str"), Ty::union(types?)]))
            }
            Expr::Format(_) => here("f-string", Ty::class("str")),
            Expr::Condition(_) => here("condition", Ty::class("bool")),
            Expr::Select { branch, then, otherwise } => {
                let mut side = |holds: bool, expr: &Expr| {
                    let guards = [guards, &[Guard { branch: *branch, holds }]].concat();
                    self.type_of(expr, &guards, place)
                };
                let ((then, origin), (otherwise, _)) = (side(true, then)?, side(false, otherwise)?);
                Some((Ty::union([then, otherwise]), origin))
            }
        }
    }

    fn types(&mut self, parts: &[Expr], guards: &[Guard], place: &Place) -> Option<Vec<Ty>> {
        parts.iter().map(|part| Some(self.type_of(part, guards, place)?.0)).collect()
    }

    fn walked(&mut self, found: Result<Ty, String>, origin: Origin, place: &Place) -> Option<(Ty, Origin)> {
        match found {
            Ok(found) => Some((found, origin)),
            Err(why) => {
                let told = problem(place, "no-such-part", format!("{}: {why}", origin.name));
                self.problems.push(Problem { other: origin.place, ..told });
                None
            }
        }
    }

    /// Whether the branches that something stands in say that a value is not None.
    fn is_given(&self, expr: &Expr, guards: &[Guard]) -> bool {
        guards.iter().any(|guard| {
            let branch = self.workflow.branches.get(guard.branch.0 as usize);
            branch.is_some_and(|branch| implies(&branch.condition, guard.holds, expr))
        })
    }
}

//! Every argument with its parameter, every default and every result with its declaration.

use std::collections::BTreeMap;

use qflow_model::{
    definition::{Conversion, Definition, Param, ParamDefault, Place, Problem, Step, StepKind, TypeText, WorkflowDef},
    expression::Expr,
    limits,
};
use qflow_python_source::Spans;
use qflow_types::{Edges, Solution, Ty, value};

use super::{
    Inspected,
    narrow::{Here, Narrow, Spot},
    results,
    tell::{HANDLE_NONE, Origin, Taker, Target, problem},
    walk::{of_value, spelled, walk},
};

/// What `sleep` takes.
const DURATION: &str = "str | int | float | timedelta | datetime";

/// Checks a definition: its defaults, then its edges.
pub fn check(definition: Definition) -> Inspected {
    let problems = defaults(&definition);
    edges(definition, problems, &Spans::default())
}

/// Defaults of workflows that are not of their types; a node's are held to theirs where they are read.
pub(super) fn defaults(definition: &Definition) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (workflow, param) in definition.workflows.values().flat_map(|w| w.params.iter().map(move |param| (w, param))) {
        let Some(ParamDefault::Value(default)) = &param.default else { continue };
        if let Err(error) = value::check_written(default, &ty(&param.ty), &definition.classes) {
            let message = format!("{}.{}: {} ← its default: {error}", workflow.name, param.name, param.ty.0);
            let remedy = "write a default of the declared type";
            problems.push(problem(&param.place, "incompatible-default", message, remedy));
        }
    }
    problems
}

/// Checks a definition's edges beside the problems that it has, and notes in its steps which values are converted.
pub(super) fn edges(mut definition: Definition, mut problems: Vec<Problem>, spans: &Spans) -> Inspected {
    problems.extend(results::without_values(&definition));
    let (mut all, mut noted) = (BTreeMap::new(), Vec::new());
    let known = Edges::among(&definition.classes);
    for workflow in definition.workflows.values() {
        if let Some(problem) = too_large(workflow) {
            problems.push(problem);
            continue;
        }
        let narrow = Narrow::new(workflow);
        let mut checker = Checker {
            definition: &definition,
            known: &known,
            spans,
            workflow,
            narrow,
            problems: Vec::new(),
            edges: Vec::new(),
            conversions: Vec::new(),
            solved: BTreeMap::new(),
        };
        workflow.branches.iter().for_each(|branch| checker.branch(branch));
        workflow.steps.iter().enumerate().for_each(|(ix, step)| checker.step(ix, step));
        checker.result();
        checker.bounds();
        let returns = checker.generic_results();
        problems.extend(checker.problems);
        noted.push((workflow.name.clone(), checker.conversions, returns));
        all.insert(workflow.name.clone(), checker.edges);
    }
    for (workflow, conversions, returns) in noted {
        let Some(workflow) = definition.workflows.get_mut(&workflow) else { continue };
        returns.into_iter().for_each(|(ix, returns)| workflow.steps[ix].returns = Some(returns));
        for (ix, conversion) in conversions {
            // Both sides of a choice may be the same call.
            let known = &mut workflow.steps[ix].conversions;
            if !known.contains(&conversion) {
                known.push(conversion);
            }
        }
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
        problem(&workflow.place, "too-large", message, "use map")
    };
    if steps > limits::STEPS {
        return Some(over("steps", limits::STEPS, steps));
    }
    (edges > limits::EDGES).then(|| over("references between steps", limits::EDGES, edges))
}

pub(super) fn ty(text: &TypeText) -> Ty {
    // What does not read was told of by the reader.
    text.0.parse().unwrap_or(Ty::Any)
}

/// What is called: a node, another workflow, or a wait.
struct Callee<'a> {
    params: &'a [Param],
    returns: Ty,
    place: &'a Place,
}

pub(super) struct Checker<'a> {
    pub(super) definition: &'a Definition,
    /// Which type goes where, as far as that was asked.
    pub(super) known: &'a Edges<'a>,
    spans: &'a Spans,
    pub(super) workflow: &'a WorkflowDef,
    pub(super) narrow: Narrow<'a>,
    pub(super) problems: Vec<Problem>,
    pub(super) edges: Vec<(String, String, bool)>,
    /// What is converted, by the step that takes it.
    pub(super) conversions: Vec<(usize, Conversion)>,
    /// What variables stand for where generic nodes are called, by step; each is solved before anything takes its result.
    pub(super) solved: BTreeMap<usize, Solution>,
}

impl<'a> Checker<'a> {
    fn callee(&self, step: &'a Step) -> Option<Callee<'a>> {
        let waits = |returns| Callee { params: &[], returns, place: &step.place };
        Some(match &step.kind {
            StepKind::Node { function } => {
                let node = self.definition.nodes.get(function)?;
                Callee { params: &node.params, returns: self.known.read(&node.returns.0), place: &node.place }
            }
            StepKind::Workflow { workflow } => {
                let called = self.definition.workflows.get(workflow)?;
                Callee { params: &called.params, returns: self.known.read(&called.returns.0), place: &called.place }
            }
            StepKind::Sleep => waits(Ty::None),
            StepKind::Approval { .. } => waits(Ty::class("bool")),
        })
    }

    fn step(&mut self, ix: usize, step: &'a Step) {
        let function = step.kind.callee();
        let Some(callee) = self.callee(step) else {
            let message = format!("nothing is called `{function}`");
            self.problems.push(problem(&step.place, "unknown-node", message, "define it, or correct its name"));
            return;
        };
        if step.kind == StepKind::Sleep {
            return self.sleep(ix, step);
        }
        let node = step.kind.node().and_then(|function| self.definition.nodes.get(function));
        let generic = node.and_then(|node| node.generic.as_deref());
        if let Some(generic) = generic {
            self.solve(ix, step, generic);
        }
        for (name, expr) in &step.arguments {
            let Some(param) = callee.params.iter().find(|param| param.name == *name) else {
                let known: Vec<_> = callee.params.iter().map(|param| param.name.as_str()).collect();
                let takes = if known.is_empty() { "no arguments".to_owned() } else { known.join(", ") };
                let message = format!("`{function}` has no parameter `{name}`; it takes {takes}");
                let told = problem(&step.place, "unknown-argument", message, "name one of its parameters");
                self.problems.push(Problem { other: Some(callee.place.clone()), ..told });
                continue;
            };
            if generic.is_none() && self.goes_as_written(step, name, expr, param) {
                continue;
            }
            let label = format!("{function}.{name}");
            let taker = node.map(|node| Taker { node, step: ix, argument: name });
            let declared = self.declared(ix, generic.and_then(|generic| generic.params.get(name)).unwrap_or(&param.ty));
            self.argument((ix, step), name, expr, (&label, taker), (&declared, &param.place));
        }
        for param in callee.params.iter().filter(|param| param.default.is_none()) {
            if step.arguments.iter().all(|(name, _)| *name != param.name) {
                let message = format!("`{function}` needs an argument `{}`: {}", param.name, param.ty.0);
                let told = problem(&step.place, "missing-argument", message, &format!("write {}=…", param.name));
                self.problems.push(Problem { other: Some(param.place.clone()), ..told });
            }
        }
    }

    /// Whether a whole result goes where a parameter is declared, both as they are written: what nothing is asked of on its way, nor made of
    /// it. Most arguments are that, and nothing is put together for them.
    fn goes_as_written(&mut self, step: &'a Step, name: &String, expr: &Expr, param: &'a Param) -> bool {
        let Expr::Result { step: source, path } = expr else { return false };
        let Some(source) = self.workflow.steps.get(source.0 as usize) else { return false };
        let is_plain = path.is_empty() && step.guards.is_empty() && !step.over.contains(name);
        if !is_plain || source.settled || !source.over.is_empty() {
            return false;
        }
        let returns = match &source.kind {
            StepKind::Node { function } => {
                self.definition.nodes.get(function).filter(|node| node.generic.is_none()).map(|node| &node.returns)
            }
            StepKind::Workflow { workflow } => self.definition.workflows.get(workflow).map(|called| &called.returns),
            StepKind::Sleep | StepKind::Approval { .. } => None,
        };
        let Some(roots) = returns.and_then(|returns| self.known.written(&returns.0, &param.ty.0)) else { return false };
        self.edges.push((roots.0.clone(), roots.1.clone(), true));
        true
    }

    fn sleep(&mut self, ix: usize, step: &'a Step) {
        let declared = DURATION.parse().unwrap_or(Ty::Any);
        for (name, expr) in &step.arguments {
            // Qflow itself declares it: there is no other end.
            let place = self.place(ix, step, name);
            self.argument((ix, step), name, expr, (&format!("sleep.{name}"), None), (&declared, place));
        }
    }

    /// Where an argument is written; by hand it is where the call is.
    pub(super) fn place(&self, ix: usize, step: &'a Step, name: &str) -> &'a Place {
        self.spans.argument(&self.workflow.name, ix, name).unwrap_or(&step.place)
    }

    fn argument(
        &mut self,
        (ix, step): (usize, &'a Step),
        name: &String,
        expr: &Expr,
        (label, taker): (&str, Option<Taker<'_>>),
        (ty, declared): (&Ty, &Place),
    ) {
        let label = label.to_owned();
        let place = self.place(ix, step, name);
        let target = Target { label, ty, declared, place, code: "incompatible-types", taker };
        let here = self.narrow.behind(&step.guards);
        if step.over.contains(name) {
            self.mapped(expr, &here, &target);
        } else {
            self.goes(expr, &here, &target);
        }
    }

    fn result(&mut self) {
        let workflow = self.workflow;
        let declared = ty(&workflow.returns);
        let target = Target {
            label: format!("{} returns", workflow.name),
            ty: &declared,
            declared: &workflow.place,
            place: self.spans.result(&workflow.name).unwrap_or(&workflow.place),
            code: "incompatible-result",
            taker: None,
        };
        self.goes(&workflow.result, &Here::default(), &target);
    }

    fn bounds(&mut self) {
        if self.narrow.gave_up() {
            let message = format!("the conditions of `{}` say more than is followed", self.workflow.name);
            self.problems.push(problem(&self.workflow.place, "too-large", message, "put choices in nodes"));
        }
    }

    /// The type of an expression; `None` where it has none, which has been told.
    pub(super) fn type_of(&mut self, expr: &Expr, here: &Here<'a>, place: &Place) -> Option<(Ty, Origin)> {
        let made = |name: &str, ty: Ty| Some((ty, Origin { name: name.to_owned(), place: None }));
        match expr {
            Expr::Literal(literal) => made("literal", of_value(literal)),
            Expr::Param { name, path } => {
                let param = self.workflow.params.iter().find(|param| param.name == *name)?;
                let origin = Origin { name: format!("{name}{}", spelled(path)), place: Some(param.place.clone()) };
                self.walked(self.known.read(&param.ty.0), expr, origin, here, place)
            }
            Expr::Result { step: ix, path } => {
                let step = self.workflow.steps.get(ix.0 as usize)?;
                let callee = self.callee(step)?;
                let returns = self.returns(ix.0 as usize, step).unwrap_or(callee.returns);
                let one = if step.settled { returns.settled() } else { returns };
                let returns = if step.over.is_empty() { one } else { Ty::Generic("list".to_owned(), vec![one]) };
                let origin =
                    Origin { name: format!("{}{}", step.id, spelled(path)), place: Some(callee.place.clone()) };
                self.walked(returns, expr, origin, here, place)
            }
            Expr::List(parts) => {
                let item = Ty::union(self.types(parts, here, place)?);
                made("list", Ty::Generic("list".to_owned(), vec![item]))
            }
            Expr::Tuple(parts) => made("tuple", Ty::Tuple(self.types(parts, here, place)?)),
            Expr::Dict(parts) => {
                let types: Option<Vec<_>> =
                    parts.iter().map(|(_, part)| Some(self.type_of(part, here, place)?.0)).collect();
                made("dict", Ty::Generic("dict".to_owned(), vec![Ty::class("str"), Ty::union(types?)]))
            }
            Expr::Format(_) => made("f-string", Ty::class("str")),
            Expr::Condition(_) => made("condition", Ty::class("bool")),
            Expr::Select { .. } => {
                let sides = self.sides(expr, here).unwrap_or_default();
                let types: Option<Vec<_>> = sides.iter().map(|(side, here)| self.type_of(side, here, place)).collect();
                let (types, mut origins): (Vec<_>, Vec<_>) = types?.into_iter().unzip();
                let origin =
                    if origins.is_empty() { Origin { name: String::new(), place: None } } else { origins.remove(0) };
                Some((Ty::union(types), origin))
            }
        }
    }

    fn types(&mut self, parts: &[Expr], here: &Here<'a>, place: &Place) -> Option<Vec<Ty>> {
        parts.iter().map(|part| Some(self.type_of(part, here, place)?.0)).collect()
    }

    /// The type of a part of a parameter or a result.
    fn walked(
        &mut self,
        whole: Ty,
        expr: &Expr,
        origin: Origin,
        here: &Here<'a>,
        place: &Place,
    ) -> Option<(Ty, Origin)> {
        let spot = Spot::of(expr)?;
        let narrow = &mut self.narrow;
        let classes = &self.definition.classes;
        match walk(whole, spot.path(), classes, |len, ty| narrow.known(ty, spot.up_to(len), here)) {
            Ok(found) => Some((found, origin)),
            Err(why) => {
                let remedy = if why.starts_with("None ") { HANDLE_NONE } else { "take a part that it has" };
                let told = problem(place, "no-such-part", format!("{}: {why}", origin.name), remedy);
                self.problems.push(Problem { other: origin.place, ..told });
                None
            }
        }
    }
}

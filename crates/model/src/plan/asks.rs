//! What outcomes' headers must answer: every path that a branch, a map or a wait asks about, followed to where its value comes from,
//! into what is called and back to who called.

use std::collections::{BTreeMap, HashSet};

use super::LaidOut;
use crate::{
    condition::Undecided,
    definition::{Branch, Definition, Step, StepKind, WorkflowDef},
    expression::{Expr, Path, Segment},
    ids::StepIx,
    limits,
};

/// What is asked, by position of the workflow.
#[derive(Debug, Default)]
pub(super) struct Asks {
    /// Of parameters, by name.
    pub(super) params: Vec<BTreeMap<String, Vec<Path>>>,
    /// Of steps' results, by position.
    pub(super) steps: Vec<Vec<Vec<Path>>>,
}

/// Paths into each parameter of a workflow that it, or a workflow that it hands the parameter to, asks about.
pub fn param_asks(definition: &Definition, workflow: &WorkflowDef) -> BTreeMap<String, Vec<Path>> {
    // What cannot be laid out is told where it is laid out.
    let Ok(workflows) = reachable(definition, workflow) else { return BTreeMap::new() };
    asks(&workflows).map(|mut asks| asks.params.swap_remove(0)).unwrap_or_default()
}

/// The workflow, then those that it calls directly or not, each once.
pub(super) fn reachable<'a>(
    definition: &'a Definition,
    root: &'a WorkflowDef,
) -> Result<Vec<&'a WorkflowDef>, (&'a Step, String)> {
    let mut found = vec![root];
    let mut looked = 0;
    while looked < found.len() {
        for step in &found[looked].steps {
            let StepKind::Workflow { workflow } = &step.kind else { continue };
            let called = definition.workflows.get(workflow);
            let called = called.ok_or_else(|| (step, format!("no workflow `{workflow}` in this file")))?;
            if found.iter().all(|known| known.name != called.name) {
                found.push(called);
            }
        }
        looked += 1;
    }
    Ok(found)
}

/// Follows every question to its end; an error where there are more than may travel.
pub(super) fn asks(workflows: &[&WorkflowDef]) -> Result<Asks, Undecided> {
    let mut seeker = Seeker { workflows, found: Asks::default(), seen: HashSet::new(), left: Vec::new() };
    for workflow in workflows {
        seeker.found.params.push(BTreeMap::new());
        seeker.found.steps.push(vec![Vec::new(); workflow.steps.len()]);
    }
    // A run's own parameters are here when it is submitted: whatever is read of them may be asked.
    let root = workflows[0];
    seeker.found.params[0] = own(&root.branches, root.steps.iter().flat_map(|step| &step.arguments), &root.result);
    for (ix, workflow) in workflows.iter().enumerate() {
        seeker.begin(ix, workflow);
    }
    seeker.follow()?;
    Ok(seeker.found)
}

/// What the body of a workflow itself reads of its parameters: all that a run of before there were calls asked.
pub fn own_asks(workflow: &LaidOut) -> BTreeMap<String, Vec<Path>> {
    own(&workflow.branches, workflow.steps.iter().flat_map(|step| &step.arguments), &workflow.result)
}

fn own<'a>(
    branches: &[Branch],
    arguments: impl Iterator<Item = &'a (String, Expr)>,
    result: &Expr,
) -> BTreeMap<String, Vec<Path>> {
    let mut asks = BTreeMap::new();
    for branch in branches {
        branch.condition.expressions(&mut |e| parameters(e, &mut asks));
    }
    arguments.for_each(|(_, e)| parameters(e, &mut asks));
    parameters(result, &mut asks);
    asks
}

fn parameters(expr: &Expr, asks: &mut BTreeMap<String, Vec<Path>>) {
    match expr {
        Expr::Param { name, path } => {
            let paths = asks.entry(name.clone()).or_default();
            if !paths.contains(path) {
                paths.push(path.clone());
            }
        }
        Expr::Literal(_) | Expr::Result { .. } => {}
        Expr::List(parts) | Expr::Tuple(parts) | Expr::Format(parts) => parts.iter().for_each(|p| parameters(p, asks)),
        Expr::Dict(parts) => parts.iter().for_each(|(_, p)| parameters(p, asks)),
        Expr::Select { then, otherwise, .. } => {
            parameters(then, asks);
            parameters(otherwise, asks);
        }
        Expr::Condition(condition) => condition.expressions(&mut |e| parameters(e, asks)),
    }
}

/// What a question is about.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Of {
    Param(usize, String),
    Step(usize, StepIx),
    Result(usize),
}

struct Seeker<'a> {
    workflows: &'a [&'a WorkflowDef],
    found: Asks,
    seen: HashSet<(Of, Path)>,
    /// Questions to follow: an expression of a workflow, and a path into it.
    left: Vec<(usize, &'a Expr, Path)>,
}

impl<'a> Seeker<'a> {
    /// What a body asks by itself.
    fn begin(&mut self, ix: usize, workflow: &'a WorkflowDef) {
        for branch in &workflow.branches {
            branch.condition.expressions(&mut |e| self.left.push((ix, e, Path::new())));
        }
        for step in &workflow.steps {
            for (name, argument) in &step.arguments {
                conditions(argument, &mut |e| self.left.push((ix, e, Path::new())));
                if step.over.contains(name) || step.kind == StepKind::Sleep {
                    self.left.push((ix, argument, Path::new()));
                }
            }
        }
        conditions(&workflow.result, &mut |e| self.left.push((ix, e, Path::new())));
    }

    fn follow(&mut self) -> Result<(), Undecided> {
        while let Some((ix, expr, path)) = self.left.pop() {
            self.ask(ix, expr, path);
            if self.seen.len() > limits::ASKS {
                let message = format!("more than {} parts of values are asked about", limits::ASKS);
                return Err(Undecided { error_type: "too-many-asks".to_owned(), message });
            }
        }
        Ok(())
    }

    fn ask(&mut self, ix: usize, expr: &'a Expr, path: Path) {
        match expr {
            Expr::Literal(_) | Expr::Format(_) | Expr::Condition(_) => {}
            Expr::Param { name, path: own } => self.ask_param(ix, name, &joined(own, &path)),
            Expr::Result { step, path: own } => self.ask_step(ix, *step, &joined(own, &path)),
            Expr::List(parts) | Expr::Tuple(parts) => match path.split_first() {
                Some((Segment::Index(index), rest)) => {
                    if let Some(part) = position(*index, parts.len()).map(|at| &parts[at]) {
                        self.left.push((ix, part, rest.to_vec()));
                    }
                }
                Some((Segment::Each, rest)) => parts.iter().for_each(|part| self.left.push((ix, part, rest.to_vec()))),
                _ => {}
            },
            Expr::Dict(parts) => {
                if let Some((Segment::Key(key), rest)) = path.split_first() {
                    let named = parts.iter().filter(|(name, _)| name == key);
                    named.for_each(|(_, part)| self.left.push((ix, part, rest.to_vec())));
                }
            }
            Expr::Select { then, otherwise, .. } => {
                self.left.push((ix, then, path.clone()));
                self.left.push((ix, otherwise, path));
            }
        }
    }

    fn ask_param(&mut self, ix: usize, name: &str, path: &[Segment]) {
        if !self.seen.insert((Of::Param(ix, name.to_owned()), path.to_vec())) {
            return;
        }
        let known = self.found.params[ix].entry(name.to_owned()).or_default();
        if known.iter().all(|asked| asked != path) {
            known.push(path.to_vec());
        }
        let called = &self.workflows[ix].name;
        for (caller, workflow) in self.workflows.iter().enumerate() {
            let calls = |step: &&Step| matches!(&step.kind, StepKind::Workflow { workflow } if workflow == called);
            for step in workflow.steps.iter().filter(calls) {
                let Some((_, argument)) = step.arguments.iter().find(|(given, _)| given == name) else { continue };
                let mut full = Path::new();
                if step.over.iter().any(|over| over == name) {
                    full.push(Segment::Each);
                }
                full.extend(path.iter().cloned());
                self.left.push((caller, argument, full));
            }
        }
    }

    fn ask_step(&mut self, ix: usize, at: StepIx, path: &[Segment]) {
        let Some(step) = self.workflows[ix].steps.get(at.0 as usize) else { return };
        let mut rest = path;
        if !step.over.is_empty() {
            // The length of a map's result is known without asking; what lies in an element is asked of elements.
            match rest.split_first() {
                Some((Segment::Index(_) | Segment::Each, below)) => rest = below,
                _ => return,
            }
        }
        if step.settled {
            // So is all of an outcome but its value.
            match rest.split_first() {
                Some((Segment::Field(name), below)) if name == "value" => rest = below,
                _ => return,
            }
        }
        let rest = rest.to_vec();
        match &step.kind {
            StepKind::Workflow { workflow } => {
                let Some(called) = self.workflows.iter().position(|known| known.name == *workflow) else { return };
                if self.seen.insert((Of::Result(called), rest.clone())) {
                    self.left.push((called, &self.workflows[called].result, rest));
                }
            }
            _ => {
                if self.seen.insert((Of::Step(ix, at), rest.clone())) {
                    self.found.steps[ix][at.0 as usize].push(rest);
                }
            }
        }
    }
}

/// Calls `ask` on what conditions and comparisons inside an expression read.
fn conditions<'a>(expr: &'a Expr, ask: &mut impl FnMut(&'a Expr)) {
    match expr {
        Expr::Literal(_) | Expr::Param { .. } | Expr::Result { .. } => {}
        Expr::List(parts) | Expr::Tuple(parts) | Expr::Format(parts) => parts.iter().for_each(|p| conditions(p, ask)),
        Expr::Dict(parts) => parts.iter().for_each(|(_, p)| conditions(p, ask)),
        Expr::Select { then, otherwise, .. } => {
            conditions(then, ask);
            conditions(otherwise, ask);
        }
        Expr::Condition(condition) => condition.expressions(&mut |e| {
            ask(e);
            conditions(e, ask);
        }),
    }
}

/// A path, then one from there on.
pub(crate) fn joined(path: &[Segment], further: &[Segment]) -> Path {
    path.iter().chain(further).cloned().collect()
}

/// Python's index into a list of that length.
pub(crate) fn position(index: i64, len: usize) -> Option<usize> {
    let at = if index < 0 { index + len as i64 } else { index };
    usize::try_from(at).ok().filter(|at| *at < len)
}

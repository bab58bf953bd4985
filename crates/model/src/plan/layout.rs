//! Lays a definition out as a plan: who needs whom, which environments, what is asked of results.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    LaidOut, Plan, PlannedStep, WorkflowIx,
    asks::{Asks, asks, reachable},
};
use crate::{
    class,
    definition::{Definition, Needs, NodeDef, Place, Problem, PythonVersion, Step, StepKind, WorkflowDef},
    environment::EnvSpec,
    expression::{Expr, Path},
    ids::{Digest, StepIx},
    limits,
};

/// Lays out the workflow of that name, and what it calls.
///
/// `configured` are the Python versions that may be used, in any order. Every problem is told at once.
pub fn plan(
    definition: &Definition,
    workflow: &str,
    source: Digest,
    configured: &[PythonVersion],
) -> Result<Plan, Vec<Problem>> {
    let Some(root) = definition.workflows.get(workflow) else {
        let known = definition.workflows.keys().cloned().collect::<Vec<_>>().join(", ");
        return Err(vec![problem(
            &Place::default(),
            "unknown-workflow",
            format!("no workflow `{workflow}` here; there are: {known}"),
        )]);
    };
    let workflows = reachable(definition, root)
        .map_err(|(step, message)| vec![problem(&step.place, "unknown-workflow", message)])?;
    let mut problems = Vec::new();
    for workflow in &workflows {
        bounds(workflow, &mut problems);
        references(workflow, &mut problems);
        waits(workflow, &mut problems);
    }
    let (environments, positions, nodes) = nodes(definition, &workflows, configured, &mut problems);
    let sizes = sizes(&workflows, &mut problems);
    let asks = asks(&workflows).unwrap_or_else(|many| {
        problems.push(problem(&root.place, &many.error_type, many.message));
        Asks::default()
    });
    if !problems.is_empty() {
        return Err(problems);
    }
    let pythons: BTreeSet<_> = environments.iter().map(|e| e.python).collect();
    let laid_out = workflows.iter().zip(asks.params).zip(asks.steps).zip(sizes);
    let laid_out = laid_out.map(|(((workflow, params), of_steps), size)| LaidOut {
        name: workflow.name.clone(),
        params: workflow.params.clone(),
        returns: workflow.returns.clone(),
        steps: steps(workflow, &workflows, of_steps, &positions),
        branches: workflow.branches.clone(),
        result: workflow.result.clone(),
        max_parallel: workflow.max_parallel,
        timeout_ms: workflow.timeout_ms,
        on_failure: workflow.on_failure,
        isolation: workflow.isolation,
        asks: params,
        size,
    });
    Ok(Plan {
        workflow: root.name.clone(),
        source,
        workflows: laid_out.collect(),
        environments,
        classes: class::reached(nodes.values().map(|node| &node.returns), &definition.classes),
        nodes,
        python: (pythons.len() == 1).then(|| pythons.into_iter().next()).flatten(),
    })
}

/// The environments that steps need, which of them each node has, and the nodes.
type Nodes = (Vec<EnvSpec>, BTreeMap<String, u32>, BTreeMap<String, NodeDef>);

fn nodes(
    definition: &Definition,
    workflows: &[&WorkflowDef],
    configured: &[PythonVersion],
    problems: &mut Vec<Problem>,
) -> Nodes {
    let (mut environments, mut positions, mut nodes) = (Vec::<EnvSpec>::new(), BTreeMap::new(), BTreeMap::new());
    for step in workflows.iter().flat_map(|workflow| &workflow.steps) {
        let Some(function) = step.kind.node() else { continue };
        let Some(node) = definition.nodes.get(function) else {
            problems.push(problem(&step.place, "unknown-node", format!("no node `{function}` in this file")));
            continue;
        };
        if nodes.insert(function.to_owned(), node.clone()).is_none() {
            match environment(node, definition.requires_python.as_deref(), configured) {
                Ok(spec) => {
                    let position = environments.iter().position(|e| *e == spec).unwrap_or_else(|| {
                        environments.push(spec);
                        environments.len() - 1
                    });
                    positions.insert(function.to_owned(), position as u32);
                }
                Err(problem) => problems.push(*problem),
            }
        }
    }
    (environments, positions, nodes)
}

/// How many node runs a call of each workflow takes at least: not more than a run may have, and no workflow calls itself.
fn sizes(workflows: &[&WorkflowDef], problems: &mut Vec<Problem>) -> Vec<u32> {
    let mut sizes = vec![None; workflows.len()];
    // Each round settles those whose callees are settled: the deepest first.
    for _ in 0..limits::CALLS_DEEP {
        let known = sizes.clone();
        for (ix, workflow) in workflows.iter().enumerate() {
            sizes[ix] = workflow.steps.iter().try_fold(0_u32, |sum, step| {
                let StepKind::Workflow { workflow: called } = &step.kind else { return Some(sum.saturating_add(1)) };
                let size = known[workflows.iter().position(|known| known.name == *called)?]?;
                Some(sum.saturating_add(if step.over.is_empty() { size } else { 0 }).saturating_add(1))
            });
        }
    }
    let root = workflows[0];
    match sizes[0] {
        None => {
            let most = limits::CALLS_DEEP;
            let message = format!("`{}` calls itself, or calls stand more than {most} deep in it", root.name);
            let remedy = Some("use a bounded map, or call workflows side by side".to_owned());
            problems.push(Problem { remedy, ..problem(&root.place, "calls-too-deep", message) });
        }
        Some(size) if size > limits::NODE_RUNS => {
            let most = limits::NODE_RUNS;
            let message = format!("{size} node runs with those of the workflows it calls; a run has at most {most}");
            problems.push(problem(&root.place, "too-many-steps", message));
        }
        Some(_) => {}
    }
    sizes.into_iter().map(Option::unwrap_or_default).collect()
}

/// Waits stand for themselves: they are not mapped.
fn waits(workflow: &WorkflowDef, problems: &mut Vec<Problem>) {
    for step in workflow.steps.iter().filter(|step| !step.over.is_empty()) {
        if matches!(step.kind, StepKind::Sleep | StepKind::Approval { .. }) {
            let message = format!("`{}` is not mapped", step.kind.callee());
            let remedy = Some("put it into a workflow, and map that".to_owned());
            problems.push(Problem { remedy, ..problem(&step.place, "mapped-wait", message) });
        }
    }
}

fn problem(place: &Place, code: &str, message: String) -> Problem {
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

fn bounds(workflow: &WorkflowDef, problems: &mut Vec<Problem>) {
    if workflow.steps.len() > limits::STEPS {
        let message = format!("{} calls; a workflow has at most {}", workflow.steps.len(), limits::STEPS);
        let remedy = Some("use map for calls that differ only in their arguments".to_owned());
        problems.push(Problem { remedy, ..problem(&workflow.place, "too-many-steps", message) });
    }
    let mut edges = 0;
    for step in &workflow.steps {
        step.arguments.iter().for_each(|(_, e)| e.results(&mut |_, _| edges += 1));
    }
    if edges > limits::EDGES {
        let message = format!("{edges} uses of results; a workflow has at most {}", limits::EDGES);
        problems.push(problem(&workflow.place, "too-many-edges", message));
    }
}

/// Everything refers only to what stands before it, so that no step waits for itself.
fn references(workflow: &WorkflowDef, problems: &mut Vec<Problem>) {
    let (steps, branches) = (workflow.steps.len(), workflow.branches.len());
    for (ix, branch) in workflow.branches.iter().enumerate() {
        let mut sound = branch.guards.iter().all(|g| (g.branch.0 as usize) < ix);
        branch.condition.expressions(&mut |e| sound &= refers_before(e, steps, ix));
        if !sound {
            problems.push(problem(
                &branch.place,
                "bad-reference",
                format!("branch {ix} refers to what stands after it"),
            ));
        }
    }
    if !problems.is_empty() {
        return;
    }
    for (ix, step) in workflow.steps.iter().enumerate() {
        let sound = step.guards.iter().all(|g| (g.branch.0 as usize) < branches)
            && step.arguments.iter().all(|(_, e)| refers_before(e, ix, branches))
            && needs(workflow, step).iter().all(|need| (need.0 as usize) < ix);
        if !sound {
            let message = format!("step `{}` refers to what stands after it", step.id);
            problems.push(problem(&step.place, "bad-reference", message));
        }
    }
    if !refers_before(&workflow.result, steps, branches) {
        let message = "the result refers to a step that is not there".to_owned();
        problems.push(problem(&workflow.place, "bad-reference", message));
    }
}

fn refers_before(expr: &Expr, steps: usize, branches: usize) -> bool {
    let mut sound = true;
    expr.results(&mut |step, _| sound &= (step.0 as usize) < steps);
    expr.branches(&mut |branch| sound &= (branch.0 as usize) < branches);
    sound
}

fn environment(node: &NodeDef, requires: Option<&str>, configured: &[PythonVersion]) -> Result<EnvSpec, Box<Problem>> {
    let fits = |version: &PythonVersion| requires.is_none_or(|r| satisfies(*version, r));
    let names = |versions: &[PythonVersion]| versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let python = match node.python {
        Some(asked) if !configured.contains(&asked) => {
            let message = format!("node `{}` asks for Python {asked}; configured are {}", node.name, names(configured));
            let remedy = Some("choose one of these, or have QFLOW_PYTHON_VERSIONS name it".to_owned());
            return Err(Box::new(Problem { remedy, ..problem(&node.place, "python-version", message) }));
        }
        Some(asked) if !fits(&asked) => {
            let requires = requires.unwrap_or_default();
            let message = format!("node `{}` asks for Python {asked}, the file for {requires}", node.name);
            let remedy = Some("ask for one that requires-python allows".to_owned());
            return Err(Box::new(Problem { remedy, ..problem(&node.place, "python-version", message) }));
        }
        Some(asked) => asked,
        None => configured.iter().copied().filter(fits).max().ok_or_else(|| {
            let requires = requires.unwrap_or("any");
            let message = format!("no configured Python satisfies `{requires}`; configured are {}", names(configured));
            let remedy = Some("widen requires-python, or have QFLOW_PYTHON_VERSIONS name one that fits".to_owned());
            Box::new(Problem { remedy, ..problem(&node.place, "python-version", message) })
        })?,
    };
    if let Some(needs) = node.needs.as_ref().filter(|needs| python < needs.python) {
        let Needs { python: least, what, place } = needs;
        let message = format!(
            "{what}, and node `{}` needs Python {least} for it: the newest that is configured and fits is {python}",
            node.name
        );
        let remedy = Some(format!("write it as Python {python} has it, or have QFLOW_PYTHON_VERSIONS name {least}"));
        return Err(Box::new(Problem { remedy, ..problem(place, "python-version", message) }));
    }
    let mut requirements: BTreeSet<String> = node.requirements.iter().cloned().collect();
    let named = |r: &String| r.to_ascii_lowercase().starts_with("pyarrow");
    if node.frames && !requirements.iter().any(named) {
        requirements.insert("pyarrow".to_owned());
    }
    Ok(EnvSpec { python, requirements: requirements.into_iter().collect() })
}

/// Whether a version satisfies a `requires-python` of comma-separated clauses; micro versions count as met.
pub fn satisfies(version: PythonVersion, requires: &str) -> bool {
    requires.split(',').map(str::trim).filter(|clause| !clause.is_empty()).all(|clause| {
        let digits = clause.find(|c: char| c.is_ascii_digit()).unwrap_or(clause.len());
        let (operator, bound) = clause.split_at(digits);
        let mut parts = bound.split('.').take_while(|p| *p != "*").map(|p| p.parse::<u8>().unwrap_or(0));
        let major = parts.next().unwrap_or(0);
        let minor = parts.next();
        let micro = parts.next().unwrap_or(0);
        let (ours, theirs) = ((version.major, version.minor), (major, minor.unwrap_or(0)));
        match operator.trim() {
            ">=" => ours >= theirs,
            ">" => ours > theirs || (ours == theirs && micro > 0),
            "<=" => ours <= theirs,
            "<" => ours < theirs || (ours == theirs && micro > 0),
            "==" => version.major == major && minor.is_none_or(|m| version.minor == m),
            "!=" => version.major != major || minor.is_some_and(|m| version.minor != m),
            "~=" => version.major == major && (micro == 0 || ours == theirs) && ours >= theirs,
            _ => false,
        }
    })
}

fn steps(
    workflow: &WorkflowDef,
    workflows: &[&WorkflowDef],
    asks: Vec<Vec<Path>>,
    environments: &BTreeMap<String, u32>,
) -> Vec<PlannedStep> {
    let called = |step: &Step| {
        let StepKind::Workflow { workflow } = &step.kind else { return None };
        workflows.iter().position(|known| known.name == *workflow).map(|at| WorkflowIx(at as u32))
    };
    let planned = workflow.steps.iter().zip(asks).map(|(step, asks)| PlannedStep {
        id: step.id.clone(),
        kind: step.kind.clone(),
        over: step.over.clone(),
        settled: step.settled,
        arguments: step.arguments.clone(),
        conversions: step.conversions.clone(),
        guards: step.guards.clone(),
        needs: needs(workflow, step),
        enables: Vec::new(),
        asks,
        environment: step.kind.node().map(|function| environments[function]),
        calls: called(step),
    });
    let mut planned: Vec<PlannedStep> = planned.collect();
    for ix in 0..planned.len() {
        for need in planned[ix].needs.clone() {
            planned[need.0 as usize].enables.push(StepIx(ix as u32));
        }
    }
    planned
}

fn needs(workflow: &WorkflowDef, step: &Step) -> Vec<StepIx> {
    let mut needs: BTreeSet<StepIx> = step.after.iter().copied().collect();
    let mut branches: BTreeSet<_> = step.guards.iter().map(|g| g.branch).collect();
    for (_, argument) in &step.arguments {
        argument.results(&mut |step, _| {
            needs.insert(step);
        });
        argument.branches(&mut |branch| {
            branches.insert(branch);
        });
    }
    // A branch stands in others, and its condition may select by others again: each is looked at once.
    let mut left: Vec<_> = branches.iter().copied().collect();
    while let Some(ix) = left.pop() {
        let branch = &workflow.branches[ix.0 as usize];
        branch.condition.results(&mut |step, _| {
            needs.insert(step);
        });
        let mut further: BTreeSet<_> = branch.guards.iter().map(|g| g.branch).collect();
        branch.condition.expressions(&mut |e| {
            e.branches(&mut |b| {
                further.insert(b);
            });
        });
        left.extend(further.into_iter().filter(|b| branches.insert(*b)));
    }
    needs.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::Segment;

    #[test]
    fn requires_python_is_read_as_pep_440_reads_it() {
        let version = |text: &str| text.parse::<PythonVersion>().unwrap();
        for (ours, requires, fits) in [
            ("3.11", ">=3.11", true),
            ("3.10", ">=3.11", false),
            ("3.12", ">=3.9,<3.12", false),
            ("3.12", ">=3.9, <3.12.4", true),
            ("3.9", "==3.*", true),
            ("3.9", "~=3.8", true),
            ("3.9", "~=3.8.1", false),
            ("3.9", "!=3.9", false),
            ("3.9", "", true),
        ] {
            assert_eq!(satisfies(version(ours), requires), fits, "{ours} {requires}");
        }
    }

    fn definition(step_reads: u32) -> Definition {
        let place = Place::default();
        let node = serde_json::json!({
            "name": "a", "file": "w.py", "params": [], "returns": "Any", "convert": false, "idempotent": true,
            "isolation": "run", "frames": false, "place": place, "requirements": ["numpy"],
            "retry": crate::definition::Retry::default(), "resources": crate::definition::Resources::default(),
        });
        let reads = |step: u32| serde_json::json!({"result": {"step": step, "path": [{"key": "rows"}]}});
        let step = |id: &str, over: &[&str], arguments: serde_json::Value| {
            let call = serde_json::json!({"node": {"function": "a"}});
            serde_json::json!({"id": id, "kind": call, "over": over, "arguments": arguments, "place": place})
        };
        let workflow = serde_json::json!({
            "name": "w", "function": "w", "params": [], "returns": "Any", "branches": [], "on_failure": "finish",
            "place": place, "result": reads(1),
            "steps": [
                step("a", &[], serde_json::json!([])),
                step("a-2", &["x"], serde_json::json!([["x", reads(step_reads)]])),
            ],
        });
        serde_json::from_value(serde_json::json!({
            "nodes": {"a": node}, "workflows": {"w": workflow}, "requires_python": ">=3.10,<3.13",
        }))
        .unwrap()
    }

    fn versions(texts: &[&str]) -> Vec<PythonVersion> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_plan_has_the_newest_python_that_fits_and_asks_for_what_is_mapped() {
        let plan = plan(&definition(0), "w", Digest::of(b""), &versions(&["3.9", "3.12", "3.10", "3.13"])).unwrap();
        let spec = EnvSpec { python: "3.12".parse().unwrap(), requirements: vec!["numpy".to_owned()] };
        assert_eq!((plan.python, &plan.environments), (Some(spec.python), &vec![spec]));
        assert_eq!(plan.root().steps[0].asks, [vec![Segment::Key("rows".to_owned())]]);
        assert_eq!((&plan.root().steps[0].enables, &plan.root().steps[1].needs), (&vec![StepIx(1)], &vec![StepIx(0)]));
    }

    #[test]
    fn what_cannot_be_laid_out_is_a_problem_with_a_name() {
        let code = |definition: &Definition, workflow, configured: &[&str]| {
            let problems = plan(definition, workflow, Digest::of(b""), &versions(configured)).unwrap_err();
            problems.into_iter().map(|p| p.code).collect::<Vec<_>>()
        };
        assert_eq!(code(&definition(0), "v", &["3.11"]), ["unknown-workflow"]);
        assert_eq!(code(&definition(0), "w", &["3.9"]), ["python-version"]);
        assert_eq!(code(&definition(1), "w", &["3.11"]), ["bad-reference"], "a step that reads itself");
        assert_eq!(code(&definition(9), "w", &["3.11"]), ["bad-reference"], "a step that is not there");
        let mut without = definition(0);
        without.nodes.clear();
        assert_eq!(code(&without, "w", &["3.11"]), ["unknown-node", "unknown-node"]);
    }
}

//! What is wrong with a definition, whatever it runs on: bounds, references to what is not there yet, calls without end.

use super::layout::needs;
use crate::{
    definition::{Place, Problem, StepKind, WorkflowDef},
    expression::Expr,
    limits,
};

/// How many node runs a call of each workflow takes at least: not more than a run may have, and no workflow calls itself.
pub(super) fn sizes(workflows: &[&WorkflowDef], problems: &mut Vec<Problem>) -> Vec<u32> {
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
pub(super) fn waits(workflow: &WorkflowDef, problems: &mut Vec<Problem>) {
    for step in workflow.steps.iter().filter(|step| !step.over.is_empty()) {
        if matches!(step.kind, StepKind::Sleep | StepKind::Approval { .. }) {
            let message = format!("`{}` is not mapped", step.kind.callee());
            let remedy = Some("put it into a workflow, and map that".to_owned());
            problems.push(Problem { remedy, ..problem(&step.place, "mapped-wait", message) });
        }
    }
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

pub(super) fn bounds(workflow: &WorkflowDef, problems: &mut Vec<Problem>) {
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
pub(super) fn references(workflow: &WorkflowDef, problems: &mut Vec<Problem>) {
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

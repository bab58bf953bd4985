//! Lays a definition out as a plan: who needs whom, which environments, what is asked of results.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    LaidOut, Plan, PlannedStep, WorkflowIx,
    asks::{Asks, asks, reachable},
    checks::{bounds, problem, references, sizes, waits},
    version::environment,
};
use crate::{
    class,
    definition::{Definition, NodeDef, Place, Problem, PythonVersion, Step, StepKind, WorkflowDef},
    environment::EnvSpec,
    expression::Path,
    ids::{Digest, StepIx},
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
        classes: class::reached(nodes.values().flat_map(NodeDef::declared), &definition.classes),
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
        returns: step.returns.clone(),
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

pub(super) fn needs(workflow: &WorkflowDef, step: &Step) -> Vec<StepIx> {
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

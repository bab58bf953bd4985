//! What a run will do, worked out once: dependency counters, environments, what outcomes are asked. Pure.

mod layout;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    definition::{Branch, Guard, NodeDef, OnFailure, Param, PythonVersion, StepKind, TypeText, WorkflowDef},
    environment::EnvSpec,
    expression::{Expr, Path},
    ids::{Digest, StepIx},
};

/// A workflow that has been validated and laid out; the same for every run of it, so it is stored once, by digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The workflow's name: the label `workflow_id`.
    pub workflow: String,
    /// The source it was read from.
    pub source: Digest,
    /// Its parameters.
    pub params: Vec<Param>,
    /// Its declared result.
    pub returns: TypeText,
    /// Steps, each depending only on earlier ones.
    pub steps: Vec<PlannedStep>,
    /// Branches.
    pub branches: Vec<Branch>,
    /// What it returns.
    pub result: Expr,
    /// Environments that steps name by position.
    pub environments: Vec<EnvSpec>,
    /// The nodes that steps call.
    pub nodes: BTreeMap<String, NodeDef>,
    /// How many attempts may run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// Milliseconds a run may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What a run does when a node has failed.
    pub on_failure: OnFailure,
    /// Its one Python version, or `None` for several: the label `python_version`.
    pub python: Option<PythonVersion>,
}

/// A step, with what the state machine needs to know of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Its id in the run.
    pub id: String,
    /// What it calls.
    pub kind: StepKind,
    /// Names of arguments whose elements go one by one; empty: one call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub over: Vec<String>,
    /// Each call gives an `Outcome`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
    /// Its arguments by the parameter's name.
    pub arguments: Vec<(String, Expr)>,
    /// Where it stands.
    pub guards: Vec<Guard>,
    /// Every step that must have completed, or been skipped, before it: read by arguments or guards, or earlier in the order of
    /// statements. Sorted.
    pub needs: Vec<StepIx>,
    /// Steps that need this one, sorted.
    pub enables: Vec<StepIx>,
    /// Paths into its result (an element's, where it is mapped) that branches, maps and f-strings ask about; an outcome answers in
    /// this order.
    pub asks: Vec<Path>,
    /// Position in [`Plan::environments`].
    pub environment: u32,
}

pub use layout::{plan, satisfies};

/// Paths into each parameter that the body's branches, maps and f-strings ask about, by name.
pub fn param_asks(workflow: &WorkflowDef) -> BTreeMap<String, Vec<Path>> {
    let arguments = workflow.steps.iter().flat_map(|s| &s.arguments);
    collect(&workflow.branches, arguments.map(|(_, e)| e), &workflow.result)
}

/// [`param_asks`] of the workflow that the plan was made from.
pub fn param_asks_of_plan(plan: &Plan) -> BTreeMap<String, Vec<Path>> {
    let arguments = plan.steps.iter().flat_map(|s| &s.arguments);
    collect(&plan.branches, arguments.map(|(_, e)| e), &plan.result)
}

fn collect<'a>(
    branches: &[Branch],
    arguments: impl Iterator<Item = &'a Expr>,
    result: &Expr,
) -> BTreeMap<String, Vec<Path>> {
    let mut asks = BTreeMap::new();
    for branch in branches {
        branch.condition.expressions(&mut |e| parameters(e, &mut asks));
    }
    arguments.for_each(|e| parameters(e, &mut asks));
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

impl Plan {
    /// Names the plan: equal plans have equal digests.
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).expect("a plan has no maps with keys other than text"))
    }

    /// The step at a position.
    pub fn step(&self, ix: StepIx) -> &PlannedStep {
        &self.steps[ix.0 as usize]
    }

    /// The node that a step calls.
    pub fn node(&self, ix: StepIx) -> &NodeDef {
        &self.nodes[self.step(ix).kind.callee()]
    }
}

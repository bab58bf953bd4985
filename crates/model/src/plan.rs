//! What a run will do, worked out once: dependency counters, environments, what outcomes are asked. Pure.

mod asks;
mod checks;
mod layout;
mod version;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    class::Classes,
    definition::{Branch, Conversion, Guard, Isolation, NodeDef, OnFailure, Param, PythonVersion, StepKind, TypeText},
    environment::EnvSpec,
    expression::{Expr, Path},
    ids::{Digest, StepIx},
};

/// A submission's workflow that has been validated and laid out, with those it calls; the same for every run of it, so it is stored
/// once, by digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The workflow's name: the label `workflow_id`.
    pub workflow: String,
    /// The source it was read from.
    pub source: Digest,
    /// The run's own workflow first, then those that are called, each once however often it is called.
    pub workflows: Vec<LaidOut>,
    /// Environments that steps name by position.
    pub environments: Vec<EnvSpec>,
    /// The nodes that steps call.
    pub nodes: BTreeMap<String, NodeDef>,
    /// What is known of the user's own classes that results of nodes may hold.
    #[serde(default, skip_serializing_if = "Classes::is_empty")]
    pub classes: Classes,
    /// Its one Python version, or `None` for several: the label `python_version`.
    pub python: Option<PythonVersion>,
}

/// Which workflow of a plan, by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkflowIx(pub u32);

impl WorkflowIx {
    /// The run's own.
    pub const ROOT: Self = Self(0);
}

/// One workflow of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaidOut {
    /// Its name.
    pub name: String,
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
    /// How many attempts of one call of it may run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// Milliseconds that one call of it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What a call of it does when a node has failed.
    pub on_failure: OnFailure,
    /// Whether attempts of its nodes that do not say may share a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Paths into each parameter that are asked about here or where it is handed on; a run's parameters answer in this order.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub asks: BTreeMap<String, Vec<Path>>,
    /// Node runs that one call of it takes at least: its steps, and those of what they call, a mapped step counted once.
    pub size: u32,
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
    /// What of them is converted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conversions: Vec<Conversion>,
    /// What a generic node's result is here, its variables solved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returns: Option<TypeText>,
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
    /// Position in [`Plan::environments`]; nothing where no node is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<u32>,
    /// The workflow that is called, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<WorkflowIx>,
}

pub(crate) use asks::{joined, position};
pub use asks::{own_asks, param_asks};
pub use layout::plan;
pub use version::satisfies;

impl PlannedStep {
    /// Whether it is called once per element.
    pub const fn is_mapped(&self) -> bool {
        !self.over.is_empty()
    }
}

impl Plan {
    /// Names the plan: equal plans have equal digests.
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).expect("a plan has no maps with keys other than text"))
    }

    /// The run's own workflow.
    pub fn root(&self) -> &LaidOut {
        &self.workflows[0]
    }

    /// The workflow at a position.
    pub fn workflow(&self, ix: WorkflowIx) -> &LaidOut {
        &self.workflows[ix.0 as usize]
    }

    /// The step at a position of a workflow.
    pub fn step(&self, workflow: WorkflowIx, ix: StepIx) -> &PlannedStep {
        &self.workflow(workflow).steps[ix.0 as usize]
    }

    /// The node that a step calls, where it calls one.
    pub fn node(&self, step: &PlannedStep) -> Option<&NodeDef> {
        self.nodes.get(step.kind.node()?)
    }

    /// Whether attempts of a step may share a container: as its node says, else as its workflow does.
    pub fn isolation(&self, workflow: WorkflowIx, ix: StepIx) -> Isolation {
        let own = self.node(self.step(workflow, ix)).and_then(|node| node.isolation);
        own.or(self.workflow(workflow).isolation).unwrap_or_default()
    }

    /// The nodes that run in an environment, by its position.
    pub fn nodes_in(&self, environment: u32) -> impl Iterator<Item = &NodeDef> {
        let steps = self.workflows.iter().flat_map(|workflow| &workflow.steps);
        let there = steps.filter(|step| step.environment == Some(environment));
        let names: std::collections::BTreeSet<&str> = there.filter_map(|step| step.kind.node()).collect();
        names.into_iter().filter_map(|name| self.nodes.get(name))
    }

    /// What a node calls itself in metrics and traces: `python`, `workflow`, `wait` or `approval`.
    pub const fn node_type(step: &PlannedStep) -> &'static str {
        match step.kind {
            StepKind::Node { .. } => "python",
            StepKind::Workflow { .. } => "workflow",
            StepKind::Sleep => "wait",
            StepKind::Approval { .. } => "approval",
        }
    }

    /// Node runs that one more call of a step takes at least.
    pub fn takes(&self, step: &PlannedStep) -> u32 {
        step.calls.map_or(1, |workflow| self.workflow(workflow).size.saturating_add(1))
    }
}

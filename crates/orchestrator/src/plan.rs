//! A sound submission becomes a plan, for the Python versions that are to be had. Pure.

use std::collections::BTreeSet;

use qflow_model::{
    definition::{Definition, Problem, PythonVersion},
    ids::Digest,
    plan::{self, Plan},
};

/// Lays out a workflow for versions that runners offer, where those suffice; else for all that are configured: such a run then
/// says what it waits for.
pub fn plan(
    definition: &Definition,
    workflow: &str,
    source: Digest,
    configured: &[PythonVersion],
    offered: &BTreeSet<PythonVersion>,
) -> Result<Plan, Vec<Problem>> {
    let both: Vec<PythonVersion> = configured.iter().copied().filter(|version| offered.contains(version)).collect();
    match plan::plan(definition, workflow, source, &both) {
        Ok(plan) if !both.is_empty() => Ok(plan),
        _ => plan::plan(definition, workflow, source, configured),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qflow_model::definition::{NodeDef, Place, Step, StepKind, WorkflowDef};
    use serde_json::json;

    fn definition(python: Option<&str>) -> Definition {
        let node: NodeDef = serde_json::from_value(json!({
            "name": "a", "file": "w.py", "params": [], "returns": "Any", "convert": false, "idempotent": true,
            "isolation": "run", "frames": false, "place": Place::default(), "python": python,
            "retry": {"retries": 0, "backoff_ms": 0, "exponential": false},
            "resources": qflow_model::definition::Resources::default(),
        }))
        .unwrap();
        let step = Step {
            id: "a".into(),
            kind: StepKind::Node { function: "a".into() },
            over: vec![],
            settled: false,
            arguments: vec![],
            guards: vec![],
            after: vec![],
            conversions: vec![],
            returns: None,
            place: Place::default(),
        };
        let workflow: WorkflowDef = serde_json::from_value(json!({
            "name": "w", "function": "w", "params": [], "returns": "Any", "steps": [step], "branches": [],
            "result": {"literal": 1}, "on_failure": "finish", "place": Place::default(),
        }))
        .unwrap();
        Definition {
            nodes: [("a".to_owned(), node)].into(),
            workflows: [("w".to_owned(), workflow)].into(),
            ..Definition::default()
        }
    }

    fn chosen(python: Option<&str>, offered: &[&str]) -> String {
        let configured: Vec<PythonVersion> = ["3.11", "3.12"].iter().map(|v| v.parse().unwrap()).collect();
        let offered = offered.iter().map(|v| v.parse().unwrap()).collect();
        let plan = plan(&definition(python), "w", Digest::of(b""), &configured, &offered).unwrap();
        plan.environments[0].python.to_string()
    }

    #[test]
    fn a_node_without_a_version_gets_the_newest_that_a_runner_offers() {
        assert_eq!(chosen(None, &["3.10", "3.11"]), "3.11");
        assert_eq!(chosen(None, &[]), "3.12");
        assert_eq!(chosen(Some("3.12"), &["3.11"]), "3.12", "asked for: the run waits for a runner that has it");
    }
}

//! How much calls of workflows may bring.

use super::{
    calls::{call, completes, each, len, nodes, one, wait},
    *,
};

#[test]
fn what_calls_bring_counts_towards_the_bound_of_node_runs() {
    let steps = vec![step("a", vec![]), each("x", call("one", vec![("x", of(0))]))];
    let state = run_all(nodes(&["a", "b"]), vec![workflow("w", steps, vec![], |_| ()), one(|_| ())]);
    let state = completes(state, "a", "[]", len(u64::from(limits::NODE_RUNS / 3)));
    let message = state.head.error.unwrap().failure.message;
    assert_eq!(message, "map over 33333 elements of 3 node runs each: a run has at most 100000 node runs");
}

#[test]
fn a_workflow_that_calls_itself_is_not_laid_out() {
    let own = workflow("w", vec![call("w", vec![])], vec![], |_| ());
    let definition = Definition { workflows: BTreeMap::from([("w".into(), own)]), ..Definition::default() };
    let problems = plan(&definition, "w", Digest::of(b""), &[]).unwrap_err();
    assert_eq!(problems[0].code, "calls-too-deep");
}

#[test]
fn calls_that_grow_past_every_bound_are_not_laid_out() {
    let twice = |name: &str, called: &str| {
        let second = Step { id: "again".into(), ..call(called, vec![]) };
        workflow(name, vec![call(called, vec![]), second], vec![], |_| ())
    };
    let names: Vec<String> = (0..30).map(|i| format!("w{i}")).collect();
    let mut workflows: BTreeMap<String, WorkflowDef> =
        names.windows(2).map(|pair| (pair[0].clone(), twice(&pair[0], &pair[1]))).collect();
    workflows.insert("w29".into(), workflow("w29", vec![wait("sleep", StepKind::Sleep, vec![])], vec![], |_| ()));
    let definition = Definition { workflows, ..Definition::default() };
    let problems = plan(&definition, "w0", Digest::of(b""), &[]).unwrap_err();
    assert_eq!(problems[0].code, "too-many-steps");
}

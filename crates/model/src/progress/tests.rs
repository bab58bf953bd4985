//! The state machine, driven as a shell would drive it.

mod bounds;
mod calls;
mod faults;
mod flow;
mod pauses;
mod restored;
mod reuse;
mod waits;

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    definition::*,
    expression::{Answer, BranchIx, Condition, Expr, Operator, Path, Scalar, Segment},
    ids::{AttemptKey, StepIx},
    limits,
    outcome::{Ending, Outcome},
    plan::plan,
    status::FailureClass,
    value::ValueRef,
};

const NOW: Timestamp = Timestamp(1_000_000);

fn node(name: &str, change: impl FnOnce(&mut NodeDef)) -> NodeDef {
    let mut node: NodeDef = serde_json::from_value(json!({
        "name": name, "file": "w.py", "params": [], "returns": "Any", "convert": false, "idempotent": true,
        "isolation": "run", "frames": false, "place": Place::default(),
        "retry": Retry::default(), "resources": Resources::default(),
    }))
    .unwrap();
    change(&mut node);
    node
}

fn step(id: &str, arguments: Vec<(&str, Expr)>) -> Step {
    Step {
        id: id.into(),
        kind: StepKind::Node { function: id.into() },
        over: vec![],
        settled: false,
        arguments: arguments.into_iter().map(|(n, e)| (n.into(), e)).collect(),
        guards: vec![],
        after: vec![],
        conversions: vec![],
        returns: None,
        place: Place::default(),
    }
}

fn of(step: u32) -> Expr {
    Expr::Result { step: StepIx(step), path: vec![] }
}

fn workflow(name: &str, steps: Vec<Step>, branches: Vec<Branch>, change: impl FnOnce(&mut WorkflowDef)) -> WorkflowDef {
    let last = steps.len() as u32 - 1;
    let mut workflow = WorkflowDef {
        name: name.into(),
        function: name.into(),
        params: vec![],
        returns: TypeText::any(),
        steps,
        branches,
        result: of(last),
        max_parallel: None,
        timeout_ms: None,
        on_failure: OnFailure::Finish,
        isolation: None,
        place: Place::default(),
    };
    change(&mut workflow);
    workflow
}

fn run(
    nodes: Vec<NodeDef>,
    steps: Vec<Step>,
    branches: Vec<Branch>,
    change: impl FnOnce(&mut WorkflowDef),
) -> RunState {
    run_all(nodes, vec![workflow("w", steps, branches, change)])
}

/// A run of the workflow `w`.
fn run_all(nodes: Vec<NodeDef>, workflows: Vec<WorkflowDef>) -> RunState {
    let definition = Definition {
        nodes: nodes.into_iter().map(|n| (n.name.clone(), n)).collect(),
        workflows: workflows.into_iter().map(|w| (w.name.clone(), w)).collect(),
        ..Definition::default()
    };
    let plan = Arc::new(plan(&definition, "w", Digest::of(b""), &["3.11".parse().unwrap()]).unwrap());
    let spec = RunSpec {
        id: RunId(uuid::Uuid::from_u128(1)),
        tenant: "t".into(),
        user: "u".into(),
        plan: plan.digest(),
        params: BTreeMap::new(),
        trace: TraceContext::default(),
        created_at: NOW,
        no_cache: false,
    };
    let locks = plan.environments.iter().map(|_| Some(Arc::new(lock()))).collect();
    let state = RunState::new(Arc::new(spec), plan);
    state.step(Input::Start { locks }, NOW).unwrap().0
}

fn lock() -> EnvLock {
    serde_json::from_value(json!({
        "spec": Digest::of(b""), "python": "3.11", "lock": "", "image": "i", "harness": Digest::of(b""), "uv": "",
        "platform": "linux/amd64", "packages": 0,
    }))
    .unwrap()
}

fn ids(state: &RunState) -> Vec<String> {
    state.ready().map(|key| state.node_id(key)).collect()
}

/// Leases the next ready node run.
fn lease(state: RunState) -> (RunState, AttemptKey) {
    let node = state.ready().next().expect("something is ready");
    let (state, _) = state.step(Input::Lease { node, runner: "r".into() }, NOW).unwrap();
    let attempt = state.node(node).unwrap().attempt;
    let key = AttemptKey { run: state.spec.id, node, attempt };
    (state, key)
}

#[expect(clippy::needless_pass_by_value, reason = "endings are made where they are given")]
fn ending(ending: Ending) -> Box<Outcome> {
    Box::new(
        serde_json::from_value(json!({
            "ending": ending, "phases": {}, "container_id": "c", "peak_memory_bytes": 0, "cpu_seconds": 0.0,
            "log_lines": 0, "log_lines_dropped": 0,
        }))
        .unwrap(),
    )
}

fn value(text: &str, answers: Vec<Answer>) -> Ending {
    let value = ValueRef {
        digest: Digest::of(text.as_bytes()),
        size: text.len() as u64,
        inline: Some(text.as_bytes().to_vec()),
        items: None,
        attachments: vec![],
    };
    Ending::Completed(Box::new(Produced { value, answers }))
}

fn failure(error_type: &str) -> Ending {
    Ending::Failed(Box::new(Failure {
        class: Some(FailureClass::User),
        error_type: error_type.into(),
        mro: vec![error_type.into(), "Exception".into(), "BaseException".into()],
        ..Failure::default()
    }))
}

fn end(state: RunState, key: AttemptKey, how: Ending) -> (RunState, Vec<Effect>) {
    state.step(Input::Ended { key, outcome: ending(how) }, NOW).unwrap()
}

fn chain() -> RunState {
    run(
        vec![node("a", |_| ()), node("b", |_| ())],
        vec![step("a", vec![]), step("b", vec![("x", of(0))])],
        vec![],
        |_| (),
    )
}

fn mapped(change: impl FnOnce(&mut WorkflowDef)) -> RunState {
    let map = Step {
        kind: StepKind::Node { function: "b".into() },
        over: vec!["x".into()],
        ..step("b", vec![("x", of(0)), ("k", Expr::Literal(json!(2)))])
    };
    run(
        ["a", "b", "c"].map(|n| node(n, |_| ())).into(),
        vec![step("a", vec![]), map, step("c", vec![("xs", of(1))])],
        vec![],
        change,
    )
}

fn opened(state: RunState, length: u64) -> RunState {
    let (state, key) = lease(state);
    end(state, key, value("[]", vec![Answer { len: Some(length), ..Answer::default() }])).0
}

/// Every status of a run with one node × every kind of input: where it leads, or why it is refused.
#[test]
fn the_table_of_states_and_inputs() {
    let one = || run(vec![node("a", |_| ())], vec![step("a", vec![])], vec![], |_| ());
    let fresh = || RunState::new(one().spec, one().plan);
    let key = AttemptKey { run: one().spec.id, node: NodeKey::root(StepIx(0), None), attempt: 1 };
    let by = || "u".to_owned();
    let states: Vec<(&str, RunState)> = vec![
        ("pending", fresh()),
        ("running, node ready", one()),
        ("running, node leased", lease(one()).0),
        ("running, node running", {
            lease(one()).0.step(Input::Started { key, container_id: "c".into() }, NOW).unwrap().0
        }),
        ("paused before its start", fresh().step(Input::Pause { reason: by() }, NOW).unwrap().0),
        ("paused", one().step(Input::Pause { reason: by() }, NOW).unwrap().0),
        ("needs attention", pauses::lost_for_good()),
        ("completed", end(lease(one()).0, key, value("1", vec![])).0),
        ("failed", end(lease(one()).0, key, failure("E")).0),
        ("cancelled", one().step(Input::Cancel { by: by() }, NOW).unwrap().0),
    ];
    let inputs = [
        ("start", Input::Start { locks: vec![Some(Arc::new(lock()))] }),
        ("locked", Input::Locked { environment: 0, result: Ok(Arc::new(lock())) }),
        ("lease", Input::Lease { node: key.node, runner: "r".into() }),
        ("started", Input::Started { key, container_id: "c".into() }),
        ("ended", Input::Ended { key, outcome: ending(value("1", vec![])) }),
        ("ended badly", Input::Ended { key, outcome: ending(failure("E")) }),
        ("lost", Input::Lost { key, reason: "runner_lost".into() }),
        ("tick", Input::Tick),
        ("cancel", Input::Cancel { by: by() }),
        ("pause", Input::Pause { reason: by() }),
        ("resume", pauses::resume(&[], &[])),
        ("resume, retry", pauses::resume(&[key.node], &[])),
        ("resume, fail", pauses::resume(&[], &[key.node])),
        ("crashed", Input::Crashed),
        ("retry failed", Input::RetryFailed { by: by() }),
        ("approve", Input::Approve { node: key.node, approved: true, by: by(), comment: String::new() }),
    ];
    let mut table = String::new();
    for (name, state) in states {
        for (input_name, input) in &inputs {
            let told = match state.clone().step(input.clone(), NOW) {
                Ok((next, _)) => format!("{}, node {}", next.head.status, next.node(key.node).unwrap().status),
                Err((_, refused)) => format!("refused: {refused}"),
            };
            writeln!(table, "{name:<23} × {input_name:<13} → {told}").unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

/// What is counted along the way is what a restart counts from the rows.
fn same_books(again: &RunState, state: &RunState) -> Result<(), TestCaseError> {
    prop_assert_eq!(again.frames.len(), state.frames.len());
    for (again, frame) in again.frames.iter().zip(&state.frames) {
        prop_assert_eq!(
            (again.workflow, again.caller, &again.open, again.left, again.held),
            (frame.workflow, frame.caller, &frame.open, frame.left, frame.held)
        );
    }
    prop_assert_eq!((&again.ready, &again.timers), (&state.ready, &state.timers));
    prop_assert_eq!((&again.asked, &again.opening, &again.attention), (&state.asked, &state.opening, &state.attention));
    prop_assert_eq!(again.node_runs, state.node_runs);
    Ok(())
}

proptest! {
    /// Whatever happens in whatever order: a terminal state stays, so does what was taken, counters agree with the rows, and a run
    /// whose steps have all ended has ended.
    #[test]
    fn any_sequence_of_events_keeps_the_books(
        start in 0_u8..3,
        events in prop::collection::vec((0_u8..13, 0_usize..6), 0..80),
    ) {
        let mut state = match start {
            0 => opened(mapped(|w| w.max_parallel = Some(3)), 4),
            1 => opened(pauses::mapped_once(), 4),
            _ => calls::everything(),
        };
        let (mut held, mut now): (Vec<AttemptKey>, _) = (vec![], NOW);
        let mut taken: BTreeSet<AttemptKey> = BTreeSet::new();
        for (event, which) in events {
            let pick = (!held.is_empty()).then(|| held[which % held.len()]);
            let asked = state.nodes().find(|(key, run)| {
                run.status == NodeStatus::Running && matches!(state.planned(*key).kind, StepKind::Approval { .. })
            });
            let input = match (event, pick, state.ready().next()) {
                (0..=2, _, Some(node)) => Input::Lease { node, runner: "r".into() },
                (3, Some(key), _) => Input::Started { key, container_id: "c".into() },
                (4, Some(key), _) => Input::Ended { key, outcome: ending(value("1", vec![Answer { len: Some(2), ..Answer::default() }])) },
                (5, Some(key), _) => Input::Lost { key, reason: "x".into() },
                (6, Some(key), _) if which < 3 => Input::Ended { key, outcome: ending(failure("E")) },
                (7, _, _) if which == 0 => Input::Cancel { by: "u".into() },
                (8, _, _) if asked.is_some() => {
                    let node = asked.unwrap().0;
                    Input::Approve { node, approved: which % 2 == 0, by: "u".into(), comment: String::new() }
                }
                (9, _, _) if state.head.status.is_terminal() => Input::RetryFailed { by: "u".into() },
                (10, _, _) if which < 2 => Input::Pause { reason: "u".into() },
                (11, _, _) => {
                    let asked: Vec<NodeKey> = state.attention().take(1).collect();
                    if which % 2 == 0 { pauses::resume(&asked, &[]) } else { pauses::resume(&[], &asked) }
                }
                (12, _, _) if which == 0 => Input::Crashed,
                _ => {
                    now = now.plus_ms(100);
                    Input::Tick
                }
            };
            let again = matches!(input, Input::RetryFailed { .. });
            let told = match &input { Input::Ended { key, .. } => Some(*key), _ => None };
            let (before, terminal) = (state.head.status, state.head.status.is_terminal());
            state = match state.step(input, now) {
                Ok((next, effects)) => {
                    held.extend(effects.iter().filter_map(|e| match e { Effect::Dispatch(key) => Some(*key), _ => None }));
                    next
                }
                Err((same, _)) => same,
            };
            prop_assert!(!terminal || again || state.head.status == before);
            let is_taken = |key: &AttemptKey| state.node(key.node).is_some_and(|run| run.has_taken(key.attempt));
            taken.extend(told.filter(is_taken));
            prop_assert!(taken.iter().all(is_taken), "what was taken stays so");
            let rows = state.nodes().map(|(key, run)| (key, run.clone())).collect();
            let again = RunState::restore(state.spec.clone(), state.plan.clone(), state.head.clone(), rows);
            same_books(&again, &state)?;
            let held_up = state.head.reason.is_some() || !state.attention.is_empty();
            prop_assert!(state.head.status.is_terminal() || (state.head.status == RunStatus::Paused) == held_up);
            let all_ended = state.frames[0].steps.iter().all(|s| s.1.status.is_terminal());
            prop_assert!(!all_ended || state.head.status.is_terminal());
            for (frame, of) in state.frames.iter().enumerate() {
                // A call ends with the last of its frame, and nothing of it goes on after it.
                let ended = of.steps.iter().all(|s| s.1.status.is_terminal());
                let caller = of.caller.map(|caller| state.run(caller).status.is_terminal());
                prop_assert!(caller.is_none_or(|caller| caller == ended), "frame {}", frame);
            }
        }
    }
}

//! The state machine, driven as a shell would drive it.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    definition::*,
    expression::{Answer, BranchIx, Condition, Expr, Operator, Scalar, Segment},
    ids::StepIx,
    outcome::Ending,
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
        arguments: arguments.into_iter().map(|(n, e)| (n.into(), e)).collect(),
        guards: vec![],
        after: vec![],
        place: Place::default(),
    }
}

fn of(step: u32) -> Expr {
    Expr::Result { step: StepIx(step), path: vec![] }
}

fn run(
    nodes: Vec<NodeDef>,
    steps: Vec<Step>,
    branches: Vec<Branch>,
    change: impl FnOnce(&mut WorkflowDef),
) -> RunState {
    let last = steps.len() as u32 - 1;
    let mut workflow = WorkflowDef {
        name: "w".into(),
        function: "w".into(),
        params: vec![],
        returns: TypeText::any(),
        steps,
        branches,
        result: of(last),
        max_parallel: None,
        timeout_ms: None,
        on_failure: OnFailure::Finish,
        place: Place::default(),
    };
    change(&mut workflow);
    let definition = Definition {
        nodes: nodes.into_iter().map(|n| (n.name.clone(), n)).collect(),
        workflows: BTreeMap::from([("w".into(), workflow)]),
        requires_python: None,
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

#[test]
fn a_chain_runs_in_order_and_returns_its_last_value() {
    let state = chain();
    assert_eq!(ids(&state), ["a"]);
    let (state, key) = lease(state);
    assert!(ids(&state).is_empty());
    let (state, _) = end(state, key, value("1", vec![]));
    assert_eq!(ids(&state), ["b"]);
    let (state, key) = lease(state);
    assert!(
        matches!(&state.arguments(key.node)[0].1, Argument::Value { value, .. } if value.inline == Some(b"1".to_vec()))
    );
    let (state, _) = end(state, key, value("2", vec![]));
    assert_eq!(state.head.status, RunStatus::Completed);
    assert!(matches!(&state.head.result, Some(Argument::Value { value, .. }) if value.inline == Some(b"2".to_vec())));
    assert_eq!(state.counts(), (2, 2));
}

#[test]
fn a_duplicate_or_stale_outcome_changes_nothing() {
    let (state, key) = lease(chain());
    let (state, _) = end(state, key, value("1", vec![]));
    let again = Input::Ended { key, outcome: ending(value("9", vec![])) };
    let (state, refused) = state.step(again, NOW).unwrap_err();
    assert_eq!(refused, Refused::Node(NodeStatus::Completed));
    let stale = AttemptKey { attempt: 7, ..key };
    let (_, refused) = state.step(Input::Started { key: stale, container_id: "c".into() }, NOW).unwrap_err();
    assert_eq!(refused, Refused::Stale { given: 7, current: 1 });
}

#[test]
fn a_failure_is_tried_again_by_its_policy_and_then_fails_what_needs_it() {
    let flaky =
        node("a", |n| n.retry = Retry { retries: 1, backoff_ms: 100, exponential: true, on: vec!["KeyError".into()] });
    let state =
        run(vec![flaky, node("b", |_| ())], vec![step("a", vec![]), step("b", vec![("x", of(0))])], vec![], |_| ());
    let (state, key) = lease(state);
    let (state, _) = end(state, key, failure("KeyError"));
    assert_eq!(state.node(key.node).unwrap().status, NodeStatus::Retrying);
    let at = state.next_wake().unwrap();
    assert!((NOW.plus_ms(100)..=NOW.plus_ms(125)).contains(&at), "back-off with jitter: {at:?}");
    let (state, _) = state.step(Input::Tick, NOW).unwrap();
    assert!(ids(&state).is_empty(), "not before its time");
    let (state, _) = state.step(Input::Tick, at).unwrap();
    let (state, key) = lease(state);
    assert_eq!(key.attempt, 2);
    let (state, _) = end(state, key, failure("KeyError"));
    assert_eq!(state.head.status, RunStatus::Failed);
    assert_eq!(state.head.error.as_ref().unwrap().node_id.as_deref(), Some("a"));
    assert_eq!(state.node(NodeKey { step: StepIx(1), index: None }).unwrap().status, NodeStatus::UpstreamFailed);
}

#[test]
fn what_a_policy_does_not_name_is_not_tried_again() {
    let picky = node("a", |n| n.retry = Retry { retries: 5, on: vec!["KeyError".into()], ..Retry::default() });
    let (state, key) = lease(run(vec![picky], vec![step("a", vec![])], vec![], |_| ()));
    let (state, _) = end(state, key, failure("ValueError"));
    assert_eq!(state.head.status, RunStatus::Failed);
}

#[test]
fn lost_attempts_are_given_anew_three_times_and_then_the_platform_has_failed() {
    let mut state = chain();
    for attempt in 1..=4 {
        let (leased, key) = lease(state);
        assert_eq!(key.attempt, attempt);
        state = leased.step(Input::Lost { key, reason: "runner_lost".into() }, NOW).unwrap().0;
    }
    assert_eq!(state.head.status, RunStatus::Failed);
    let failure = &state.head.error.as_ref().unwrap().failure;
    assert_eq!((failure.class, failure.error_type.as_str()), (Some(FailureClass::Platform), "runner_lost"));
}

fn branched() -> RunState {
    let ask = Expr::Result { step: StepIx(0), path: vec![Segment::Key("gross".into())] };
    let right = Expr::Literal(json!(500));
    let condition = Condition::Compare { left: ask, operator: Operator::Gt, right };
    let side = |id, holds| Step { guards: vec![Guard { branch: BranchIx(0), holds }], ..step(id, vec![]) };
    let joined = Expr::Select { branch: BranchIx(0), then: Box::new(of(1)), otherwise: Box::new(of(2)) };
    run(
        ["a", "b", "c", "d"].map(|n| node(n, |_| ())).into(),
        vec![step("a", vec![]), side("b", true), side("c", false), step("d", vec![("x", joined)])],
        vec![Branch { condition, guards: vec![], place: Place::default() }],
        |_| (),
    )
}

#[test]
fn a_branch_skips_one_side_and_its_join_takes_the_other() {
    for (gross, taken, skipped) in [(900, "b", 2), (100, "c", 1)] {
        let (state, key) = lease(branched());
        let answer = Answer { scalar: Some(Scalar::Int(gross)), ..Answer::default() };
        let (state, _) = end(state, key, value("{}", vec![answer]));
        assert_eq!(ids(&state), [taken]);
        assert_eq!(state.node(NodeKey { step: StepIx(skipped), index: None }).unwrap().status, NodeStatus::Skipped);
        let (state, key) = lease(state);
        let (state, _) = end(state, key, value("7", vec![]));
        let (state, key) = lease(state);
        let argument = &state.arguments(key.node)[0].1;
        assert!(matches!(argument, Argument::Value { value, .. } if value.inline == Some(b"7".to_vec())));
        let (state, _) = end(state, key, value("8", vec![]));
        assert_eq!(state.head.status, RunStatus::Completed);
    }
}

fn mapped(change: impl FnOnce(&mut WorkflowDef)) -> RunState {
    let map = Step {
        kind: StepKind::Map { function: "b".into(), over: vec!["x".into()] },
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

#[test]
fn a_map_leases_its_elements_one_by_one_and_is_a_barrier() {
    let mut state = opened(mapped(|_| ()), 3);
    let mut keys = vec![];
    for i in 0..3 {
        assert_eq!(ids(&state), [format!("b[{i}]")]);
        let (leased, key) = lease(state);
        assert!(matches!(leased.arguments(key.node)[0].1, Argument::Value { element: Some(e), .. } if e == i));
        keys.push(key);
        state = leased;
    }
    assert!(ids(&state).is_empty());
    for key in keys.into_iter().rev() {
        assert!(ids(&state).is_empty(), "a map is a barrier");
        state = end(state, key, value("1", vec![])).0;
    }
    let (state, key) = lease(state);
    assert!(matches!(&state.arguments(key.node)[0].1, Argument::Gathered { values, .. } if values.len() == 3));
    assert_eq!(end(state, key, value("3", vec![])).0.counts(), (5, 5));
}

#[test]
fn a_map_over_nothing_gives_an_empty_list() {
    let (state, key) = lease(opened(mapped(|_| ()), 0));
    assert!(matches!(&state.arguments(key.node)[0].1, Argument::Gathered { values, .. } if values.is_empty()));
}

#[test]
fn no_more_attempts_run_at_once_than_the_workflow_allows() {
    let state = opened(mapped(|w| w.max_parallel = Some(2)), 5);
    let (state, _) = lease(state);
    let (state, key) = lease(state);
    assert!(ids(&state).is_empty());
    assert_eq!(ids(&end(state, key, value("1", vec![])).0), ["b[2]"]);
}

#[test]
fn a_run_restored_from_its_rows_goes_on_as_it_would_have() {
    let (state, _) = lease(opened(mapped(|_| ()), 3));
    let rows = state.nodes().map(|(key, run)| (key, run.clone())).collect();
    let restored = RunState::restore(state.spec.clone(), state.plan.clone(), state.head.clone(), rows);
    assert_eq!(ids(&restored), ids(&state));
    assert_eq!(restored.next_wake(), state.next_wake());
    assert_eq!(restored.counts(), state.counts());
}

#[test]
fn a_cancelled_run_kills_what_runs_and_takes_no_late_outcome() {
    let (state, key) = lease(chain());
    let (state, effects) = state.step(Input::Cancel { by: "u".into() }, NOW).unwrap();
    assert!(
        effects.iter().any(|e| matches!(e, Effect::Kill { key: k, reason: KillReason::Cancelled, .. } if *k == key))
    );
    let late = Input::Ended { key, outcome: ending(value("1", vec![])) };
    assert_eq!(state.step(late, NOW).unwrap_err().1, Refused::Terminal(RunStatus::Cancelled));
}

#[test]
fn a_node_that_outlives_its_time_and_its_runners_word_is_timed_out_by_us() {
    let slow = node("a", |n| n.timeout_ms = Some(1000));
    let (state, key) = lease(run(vec![slow], vec![step("a", vec![])], vec![], |_| ()));
    let at = NOW.plus_ms(1000 + crate::limits::TIMEOUT_GRACE_MS);
    assert_eq!(state.next_wake(), Some(at));
    let (state, effects) = state.step(Input::Tick, at).unwrap();
    assert!(
        effects.iter().any(|e| matches!(e, Effect::Kill { key: k, reason: KillReason::TimedOut, .. } if *k == key))
    );
    assert_eq!(state.head.status, RunStatus::TimedOut);
}

#[test]
fn an_environment_that_cannot_be_locked_fails_its_nodes() {
    let failure = Failure { class: Some(FailureClass::User), error_type: "environment".into(), ..Failure::default() };
    let answer = Input::Locked { environment: 0, result: Err(Box::new(failure)) };
    let (state, _) = chain().step(answer, NOW).unwrap();
    assert_eq!(state.head.status, RunStatus::Failed);
    assert_eq!(state.head.error.unwrap().failure.error_type, "environment");
}

#[test]
fn a_failed_run_goes_on_from_its_failed_nodes_with_the_rest_reused() {
    let (state, key) = lease(chain());
    let (state, _) = end(state, key, value("1", vec![]));
    let (state, key) = lease(state);
    let (state, _) = end(state, key, failure("ValueError"));
    assert_eq!(state.head.status, RunStatus::Failed);
    let (state, _) = state.step(Input::RetryFailed { by: "u".into() }, NOW).unwrap();
    assert_eq!(ids(&state), ["b"]);
    let (state, key) = lease(state);
    assert_eq!(key.attempt, 2);
    assert_eq!(end(state, key, value("2", vec![])).0.head.status, RunStatus::Completed);
}

/// Every status of a run with one node × every kind of input: where it leads, or why it is refused.
#[test]
fn the_table_of_states_and_inputs() {
    let one = || run(vec![node("a", |_| ())], vec![step("a", vec![])], vec![], |_| ());
    let fresh = || RunState::new(one().spec, one().plan);
    let key = AttemptKey { run: one().spec.id, node: NodeKey { step: StepIx(0), index: None }, attempt: 1 };
    let by = || "u".to_owned();
    let states: Vec<(&str, RunState)> = vec![
        ("pending", fresh()),
        ("running, node ready", one()),
        ("running, node leased", lease(one()).0),
        ("running, node running", {
            lease(one()).0.step(Input::Started { key, container_id: "c".into() }, NOW).unwrap().0
        }),
        ("paused", one().step(Input::Pause { reason: by() }, NOW).unwrap().0),
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
        ("resume", Input::Resume),
        ("retry failed", Input::RetryFailed { by: by() }),
    ];
    let mut table = String::new();
    for (name, state) in states {
        for (input_name, input) in &inputs {
            let told = match state.clone().step(input.clone(), NOW) {
                Ok((next, _)) => format!("{}, node {}", next.head.status, next.node(key.node).unwrap().status),
                Err((_, refused)) => format!("refused: {refused}"),
            };
            table.push_str(&format!("{name:<22} × {input_name:<12} → {told}\n"));
        }
    }
    insta::assert_snapshot!(table);
}

proptest! {
    /// Whatever happens in whatever order: a terminal state stays, counters agree with the rows, and a run whose steps have
    /// all ended has ended.
    #[test]
    fn any_sequence_of_events_keeps_the_books(events in prop::collection::vec((0_u8..8, 0_usize..6), 0..60)) {
        let mut state = opened(mapped(|w| w.max_parallel = Some(3)), 4);
        let mut held: Vec<AttemptKey> = vec![];
        for (event, which) in events {
            let pick = (!held.is_empty()).then(|| held[which % held.len()]);
            let input = match (event, pick, state.ready().next()) {
                (0..=2, _, Some(node)) => Input::Lease { node, runner: "r".into() },
                (3, Some(key), _) => Input::Started { key, container_id: "c".into() },
                (4, Some(key), _) => Input::Ended { key, outcome: ending(value("1", vec![])) },
                (5, Some(key), _) => Input::Lost { key, reason: "x".into() },
                (6, Some(key), _) if which == 0 => Input::Ended { key, outcome: ending(failure("E")) },
                (7, _, _) if which == 0 => Input::Cancel { by: "u".into() },
                _ => Input::Tick,
            };
            let (before, terminal) = (state.head.status, state.head.status.is_terminal());
            state = match state.step(input, NOW) {
                Ok((next, effects)) => {
                    held.extend(effects.iter().filter_map(|e| match e { Effect::Dispatch(key) => Some(*key), _ => None }));
                    next
                }
                Err((same, _)) => same,
            };
            prop_assert!(!terminal || state.head.status == before);
            let rows = state.nodes().map(|(key, run)| (key, run.clone())).collect();
            let again = RunState::restore(state.spec.clone(), state.plan.clone(), state.head.clone(), rows);
            prop_assert_eq!(again.held, state.held);
            prop_assert_eq!(&again.ready, &state.ready);
            prop_assert_eq!(&again.open, &state.open);
            let all_ended = state.steps.iter().all(|s| s.own.status.is_terminal());
            prop_assert!(!all_ended || state.head.status.is_terminal());
        }
    }
}

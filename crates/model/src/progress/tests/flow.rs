//! What runs when, and on what: chains, branches, choices, maps.

use super::*;

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
        assert_eq!(state.node(NodeKey::root(StepIx(skipped), None)).unwrap().status, NodeStatus::Skipped);
        let (state, key) = lease(state);
        let (state, _) = end(state, key, value("7", vec![]));
        let (state, key) = lease(state);
        let argument = &state.arguments(key.node)[0].1;
        assert!(matches!(argument, Argument::Value { value, .. } if value.inline == Some(b"7".to_vec())));
        let (state, _) = end(state, key, value("8", vec![]));
        assert_eq!(state.head.status, RunStatus::Completed);
    }
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

/// Branch 0 asks about a literal, so that nothing has to run before it is decided.
fn literal_branch(holds: bool) -> Branch {
    Branch { condition: Condition::Truth(Expr::Literal(json!(holds))), guards: vec![], place: Place::default() }
}

#[test]
fn a_step_after_one_that_is_skipped_at_the_start_becomes_ready_once() {
    let skipped = || vec![Guard { branch: BranchIx(0), holds: true }];
    let after = |id, need: u32| Step { guards: skipped(), after: vec![StepIx(need)], ..step(id, vec![]) };
    let state = run(
        ["a", "b", "c", "d"].map(|n| node(n, |_| ())).into(),
        vec![
            Step { guards: skipped(), ..step("a", vec![]) },
            after("b", 0),
            after("c", 1),
            Step { after: vec![StepIx(2)], ..step("d", vec![]) },
        ],
        vec![literal_branch(false)],
        |_| (),
    );
    assert_eq!(ids(&state), ["d"]);
    let (state, key) = lease(state);
    assert_eq!(end(state, key, value("1", vec![])).0.head.status, RunStatus::Completed);
}

#[test]
fn a_choice_between_literals_survives_a_restart() {
    let pick = |b| Expr::Literal(json!(b));
    let choice = Expr::Select { branch: BranchIx(0), then: Box::new(pick(2)), otherwise: Box::new(pick(3)) };
    let steps = vec![step("a", vec![]), step("b", vec![("before", of(0)), ("x", choice)])];
    let state = run(["a", "b"].map(|n| node(n, |_| ())).into(), steps, vec![literal_branch(true)], |_| ());
    let (state, key) = lease(state);
    let (state, effects) = end(state, key, value("1", vec![]));
    assert!(effects.contains(&Effect::SaveRun), "the branch is in the run's row");
    assert!(effects.contains(&Effect::Record(Happening::BranchTaken { frame: FrameIx::ROOT, branch: 0, holds: true })));
    let argument = &state.arguments(NodeKey::root(StepIx(1), None))[1].1;
    assert_eq!(*argument, Argument::Literal(json!(2)));
}

#[test]
fn a_choice_that_python_could_not_make_fails_the_node_that_reads_it() {
    let order =
        Condition::Compare { left: Expr::Literal(json!("a")), operator: Operator::Lt, right: Expr::Literal(json!(1)) };
    let branch = Branch { condition: order.clone(), guards: vec![], place: Place::default() };
    let pick = |b| Box::new(Expr::Literal(json!(b)));
    let choice = Expr::Select { branch: BranchIx(0), then: pick(2), otherwise: pick(3) };
    for argument in [choice, Expr::Condition(Box::new(order))] {
        let state = run(vec![node("a", |_| ())], vec![step("a", vec![("x", argument)])], vec![branch.clone()], |_| ());
        assert_eq!(state.head.status, RunStatus::Failed);
        assert_eq!(state.head.error.unwrap().failure.error_type, "TypeError");
    }
}

#[test]
fn lists_of_unequal_length_fail_the_map_and_are_both_named() {
    let map = Step {
        kind: StepKind::Node { function: "a".into() },
        over: vec!["x".into(), "y".into()],
        ..step("a", vec![("x", Expr::Literal(json!([1, 2]))), ("y", Expr::Literal(json!([1])))])
    };
    let state = run(vec![node("a", |_| ())], vec![map], vec![], |_| ());
    let message = state.head.error.unwrap().failure.message;
    assert_eq!(message, "map over lists of unequal length: x has 2, y has 1");
}

#[test]
fn a_map_over_what_is_no_list_fails_and_does_not_panic() {
    for literal in [json!("ab"), json!({"k": 1})] {
        let map = Step {
            kind: StepKind::Node { function: "a".into() },
            over: vec!["x".into()],
            ..step("a", vec![("x", Expr::Literal(literal))])
        };
        let state = run(vec![node("a", |_| ())], vec![map], vec![], |_| ());
        assert_eq!(state.head.error.unwrap().failure.error_type, "TypeError");
    }
}

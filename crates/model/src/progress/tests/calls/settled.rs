//! Calls whose failures are values.

use super::*;

#[test]
fn a_settled_failure_is_a_value_that_branches_and_consumers_read() {
    let ok =
        Branch { condition: Condition::Truth(part(0, vec![field("ok")])), guards: vec![], place: Place::default() };
    let kind = Condition::Compare {
        left: part(0, vec![field("error"), field("type")]),
        operator: Operator::Eq,
        right: Expr::Literal(json!("KeyError")),
    };
    let side = |id, branch, holds| Step { guards: vec![Guard { branch: BranchIx(branch), holds }], ..step(id, vec![]) };
    let steps = || {
        vec![
            settled(step("a", vec![])),
            Step { arguments: vec![("x".into(), part(0, vec![field("value"), key("n")]))], ..side("b", 0, true) },
            side("c", 0, false),
            side("d", 1, true),
            step("e", vec![("outcome", of(0)), ("error", part(0, vec![field("error")]))]),
        ]
    };
    let state = || {
        let asks_kind = Branch {
            condition: kind.clone(),
            guards: vec![Guard { branch: BranchIx(0), holds: false }],
            place: Place::default(),
        };
        run(nodes(&["a", "b", "c", "d", "e"]), steps(), vec![ok.clone(), asks_kind], |_| ())
    };
    let good = completes(state(), "a", "{\"n\":1}", vec![]);
    assert_eq!(ids(&good), ["b", "e"]);
    assert!(is_stored(&argument(&good, "b"), "{\"n\":1}", &[key("n")]));
    assert!(matches!(argument(&good, "e"), Argument::Outcome { value: Some(_), error: None }));
    let bad = again(&fails(state(), "a", "KeyError"));
    assert_eq!(
        (ids(&bad), status(&bad, "a"), status(&bad, "b")),
        (vec!["c".into(), "d".into(), "e".into()], NodeStatus::Failed, NodeStatus::Skipped)
    );
    let Argument::Outcome { value: None, error: Some(error) } = argument(&bad, "e") else { panic!("an error") };
    assert_eq!((error.error_type.as_str(), error.status.as_str(), error.attempts), ("KeyError", "failed", 1));
    assert!(bad.head.error.is_none());
    let done = ["c", "d", "e"].into_iter().fold(bad, |state, id| completes(state, id, "1", vec![]));
    assert_eq!((done.head.status, done.counts()), (RunStatus::Completed, (5, 5)));
}

#[test]
fn a_settled_map_gives_an_outcome_for_each_element() {
    let steps =
        vec![step("a", vec![]), settled(each("x", step("b", vec![("x", of(0))]))), step("c", vec![("xs", of(1))])];
    let state = run(nodes(&["a", "b", "c"]), steps, vec![], |_| ());
    let state = completes(state, "a", "[1,2]", len(2));
    let state = completes(fails(state, "b[0]", "E"), "b[1]", "2", vec![]);
    assert_eq!((status(&state, "b"), ids(&state)), (NodeStatus::Completed, vec!["c".to_owned()]));
    let Argument::List(outcomes) = argument(&again(&state), "c") else { panic!("a list of outcomes") };
    assert!(matches!(&outcomes[..], [Argument::Outcome { value: None, .. }, Argument::Outcome { error: None, .. }]));
    let failed = fails(state, "c", "E");
    let (state, _) = failed.step(Input::RetryFailed { by: "u".into() }, NOW).unwrap();
    assert_eq!(ids(&state), ["c"], "a failure that is a value is reused");
    assert_eq!(completes(state, "c", "3", vec![]).counts(), (4, 4));
}

#[test]
fn a_settled_call_of_a_workflow_tells_what_decided_inside() {
    let steps = vec![settled(call("one", vec![("x", Expr::Literal(json!(1)))])), step("c", vec![("x", of(0))])];
    let state = run_all(nodes(&["a", "b", "c"]), vec![workflow("w", steps, vec![], |_| ()), one(|_| ())]);
    let state = fails(state, "one/a", "KeyError");
    assert_eq!((status(&state, "one"), status(&state, "one/b")), (NodeStatus::Failed, NodeStatus::UpstreamFailed));
    let Argument::Outcome { error: Some(error), .. } = argument(&state, "c") else { panic!("an error") };
    assert_eq!(error.error_type, "KeyError");
    assert_eq!(completes(state, "c", "1", vec![]).head.status, RunStatus::Completed);
}

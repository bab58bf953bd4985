//! Sleeps and approvals: waits that no runner holds.

use super::*;

fn wait(id: &str, kind: StepKind, arguments: Vec<(&str, Expr)>) -> Step {
    Step { kind, ..step(id, arguments) }
}

fn sleeping(duration: serde_json::Value) -> RunState {
    let slept = wait("sleep", StepKind::Sleep, vec![("duration", Expr::Literal(duration))]);
    run(vec![node("a", |_| ())], vec![slept, Step { after: vec![StepIx(0)], ..step("a", vec![]) }], vec![], |_| ())
}

fn asking(timeout_ms: Option<u64>) -> RunState {
    let kind = StepKind::Approval { name: "finance".into(), timeout_ms };
    let guard = |holds| vec![Guard { branch: BranchIx(0), holds }];
    let steps = vec![
        wait("approval", kind, vec![]),
        Step { guards: guard(true), ..step("a", vec![]) },
        Step { guards: guard(false), ..step("b", vec![]) },
    ];
    let branch = Branch { condition: Condition::Truth(of(0)), guards: vec![], place: Place::default() };
    run(["a", "b"].map(|n| node(n, |_| ())).into(), steps, vec![branch], |w| w.result = of(0))
}

const ASKED: NodeKey = NodeKey::root(StepIx(0), None);

fn answer(state: RunState, approved: bool) -> Result<(RunState, Vec<Effect>), Refused> {
    let input = Input::Approve { node: ASKED, approved, by: "ada".into(), comment: "fine".into() };
    state.step(input, NOW).map_err(|(_, refused)| refused)
}

fn restored(state: &RunState) -> RunState {
    let rows = state.nodes().map(|(key, run)| (key, run.clone())).collect();
    RunState::restore(state.spec.clone(), state.plan.clone(), state.head.clone(), rows)
}

#[test]
fn a_sleep_ends_at_its_time_and_survives_a_restart() {
    let state = restored(&sleeping(json!("10m")));
    let until = NOW.plus_ms(600_000);
    assert_eq!((state.next_wake(), ids(&state).len()), (Some(until), 0));
    let (state, _) = state.step(Input::Tick, NOW.plus_ms(599_999)).unwrap();
    assert_eq!(state.node(ASKED).unwrap().status, NodeStatus::Running);
    let (state, _) = state.step(Input::Tick, until).unwrap();
    assert_eq!(ids(&state), ["a"]);
}

#[test]
fn a_sleep_until_a_time_that_has_passed_ends_at_once() {
    assert_eq!(ids(&sleeping(json!("1969-12-31T23:00:00+00:00"))), ["a"]);
    assert_eq!(ids(&sleeping(json!(0))), ["a"]);
}

#[test]
fn a_sleep_that_does_not_read_fails_as_python_would() {
    for (duration, told) in [(json!(-5), "must be non-negative"), (json!("soon"), "'10m'"), (json!(null), "None")] {
        let error = sleeping(duration).head.error.unwrap();
        assert_eq!((error.node_id.as_deref(), error.failure.error_type.as_str()), (Some("sleep"), "ValueError"));
        assert!(error.failure.message.contains(told), "{}", error.failure.message);
    }
}

#[test]
fn a_cancelled_sleep_ends() {
    let (state, _) = sleeping(json!(60)).step(Input::Cancel { by: "u".into() }, NOW).unwrap();
    assert_eq!((state.node(ASKED).unwrap().status, state.next_wake()), (NodeStatus::Cancelled, None));
}

#[test]
fn an_approval_waits_visibly_and_its_answer_decides() {
    let state = restored(&asking(None));
    let asked = Asked { node_id: "approval".into(), name: "finance".into(), count: 1 };
    assert_eq!((state.head.asked.clone(), state.next_wake(), ids(&state).len()), (Some(asked), None, 0));
    for (approved, taken) in [(true, "a"), (false, "b")] {
        let (state, effects) = answer(asking(None), approved).unwrap();
        assert_eq!((ids(&state), &state.head.asked), (vec![taken.to_owned()], &None));
        let answered = Answered { approved, by: Some("ada".into()), comment: "fine".into(), at: NOW };
        assert!(
            effects
                .contains(&Effect::Record(Happening::Approved { node: ASKED, answered: Box::new(answered.clone()) }))
        );
        assert_eq!(restored(&state).node(ASKED).unwrap().detail.as_ref().unwrap().answered.as_deref(), Some(&answered));
    }
}

#[test]
fn an_answer_may_come_again_but_not_another() {
    let (state, _) = answer(asking(None), true).unwrap();
    let (state, effects) = answer(state, true).unwrap();
    assert!(effects.is_empty(), "{effects:?}");
    assert_eq!(answer(state, false).unwrap_err(), Refused::Answered { approved: true });
    let wrong =
        Input::Approve { node: NodeKey::root(StepIx(1), None), approved: true, by: "u".into(), comment: String::new() };
    assert_eq!(asking(None).step(wrong, NOW).unwrap_err().1, Refused::Unknown);
}

#[test]
fn an_approval_that_nobody_answers_in_time_is_a_no_that_says_so() {
    let state = restored(&asking(Some(1000)));
    let (state, _) = state.step(Input::Tick, NOW.plus_ms(1000)).unwrap();
    assert_eq!(ids(&state), ["b"]);
    let detail = state.node(ASKED).unwrap().detail.clone().unwrap();
    assert_eq!(detail.warnings, ["nobody answered `finance` in time: that counts as no"]);
    assert_eq!(detail.answered.unwrap().by, None);
    assert_eq!(answer(state, false).unwrap_err(), Refused::Answered { approved: false });
}

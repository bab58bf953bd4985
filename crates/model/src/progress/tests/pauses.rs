//! Runs that stand still: asked to, broken, or with a node that must not run twice and is gone.

use super::*;

fn once(name: &str) -> NodeDef {
    node(name, |node| node.idempotent = false)
}

fn steps(nodes: Vec<NodeDef>) -> RunState {
    run(nodes, vec![step("a", vec![]), step("b", vec![("x", of(0))])], vec![], |_| ())
}

pub(super) fn resume(retry: &[NodeKey], fail: &[NodeKey]) -> Input {
    Input::Resume { retry: retry.to_vec(), fail: fail.to_vec(), by: "u".into() }
}

/// A mapped step whose elements must not run twice.
pub(super) fn mapped_once() -> RunState {
    let map =
        Step { kind: StepKind::Node { function: "b".into() }, over: vec!["x".into()], ..step("b", vec![("x", of(0))]) };
    let nodes = vec![node("a", |_| ()), once("b"), node("c", |_| ())];
    run(nodes, vec![step("a", vec![]), map, step("c", vec![("xs", of(1))])], vec![], |_| ())
}

fn began(state: RunState) -> (RunState, AttemptKey) {
    let (state, key) = lease(state);
    (state.step(Input::Started { key, container_id: "c".into() }, NOW).unwrap().0, key)
}

fn lose(state: RunState, key: AttemptKey) -> RunState {
    state.step(Input::Lost { key, reason: "runner_lost".into() }, NOW).unwrap().0
}

/// A run of one node that must not run twice, began, and is gone.
pub(super) fn lost_for_good() -> RunState {
    let (state, key) = began(run(vec![once("a")], vec![step("a", vec![])], vec![], |_| ()));
    lose(state, key)
}

#[test]
fn what_runs_while_paused_goes_on_and_nothing_new_begins() {
    let (state, key) = lease(chain());
    let (state, _) = state.step(Input::Pause { reason: "paused by u".into() }, NOW).unwrap();
    let (state, _) = end(state, key, value("1", vec![]));
    assert_eq!((state.head.status, ids(&state)), (RunStatus::Paused, vec![]));
    let (state, effects) = state.step(resume(&[], &[]), NOW).unwrap();
    assert!(effects.contains(&Effect::Ready));
    assert_eq!((state.head.status, ids(&state)), (RunStatus::Running, vec!["b".to_owned()]));
    let (state, key) = lease(state);
    assert_eq!(end(state, key, value("2", vec![])).0.head.status, RunStatus::Completed);
}

#[test]
fn a_paused_run_says_since_when_and_one_that_goes_on_no_more() {
    let (later, latest) = (NOW.plus_ms(5), NOW.plus_ms(9));
    let pause = || Input::Pause { reason: "paused by u".into() };
    let (state, _) = chain().step(pause(), later).unwrap();
    assert_eq!(state.head.paused_at, Some(later));
    let (state, _) = state.step(pause(), latest).unwrap();
    assert_eq!(state.head.paused_at, Some(later), "a pause of a pause changes nothing");
    let (state, _) = state.step(resume(&[], &[]), latest).unwrap();
    assert_eq!(state.head.paused_at, None);
    let (state, _) = state.step(pause(), latest).unwrap();
    let (state, _) = state.step(Input::Cancel { by: "u".into() }, latest).unwrap();
    assert_eq!(state.head.paused_at, None, "it has ended");
}

#[test]
fn a_paused_run_with_nothing_left_to_begin_ends() {
    let (state, key) = lease(run(vec![node("a", |_| ())], vec![step("a", vec![])], vec![], |_| ()));
    let (state, _) = state.step(Input::Pause { reason: "paused by u".into() }, NOW).unwrap();
    let (state, _) = end(state, key, value("1", vec![]));
    assert_eq!((state.head.status, state.head.reason), (RunStatus::Completed, None));
}

#[test]
fn the_time_of_a_paused_run_goes_on() {
    let state = run(vec![node("a", |_| ())], vec![step("a", vec![])], vec![], |w| w.timeout_ms = Some(1000));
    let (state, _) = state.step(Input::Pause { reason: "paused by u".into() }, NOW).unwrap();
    let (state, _) = state.step(Input::Tick, NOW.plus_ms(1000)).unwrap();
    assert_eq!(state.head.status, RunStatus::TimedOut);
}

#[test]
fn a_pause_keeps_its_first_reason_and_a_resumed_run_may_be_resumed_again() {
    let (state, _) = chain().step(Input::Pause { reason: "first".into() }, NOW).unwrap();
    let (state, effects) = state.step(Input::Pause { reason: "second".into() }, NOW).unwrap();
    assert_eq!((state.head.reason.as_deref(), effects.len()), (Some("first"), 0));
    let (state, _) = state.step(resume(&[], &[]), NOW).unwrap();
    let (state, effects) = state.step(resume(&[], &[]), NOW).unwrap();
    assert_eq!(state.head.status, RunStatus::Running);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Record(_))), "{effects:?}");
}

#[test]
fn a_run_that_crashes_the_orchestrator_three_times_stands_still_until_it_is_resumed_and_counts_anew() {
    let mut state = chain();
    for (count, status) in [(1, RunStatus::Running), (2, RunStatus::Running), (3, RunStatus::Paused)] {
        state = state.step(Input::Crashed, NOW).unwrap().0;
        assert_eq!((state.head.crashes, state.head.status), (count, status));
    }
    assert!(state.head.reason.as_deref().unwrap().contains("crashed the orchestrator 3 times"));
    let (state, _) = state.step(resume(&[], &[]), NOW).unwrap();
    let (state, _) = state.step(Input::Crashed, NOW).unwrap();
    assert_eq!((state.head.crashes, state.head.status), (1, RunStatus::Running));
}

#[test]
fn a_node_that_must_not_run_twice_is_not_tried_again_once_it_began() {
    let (state, key) = began(steps(vec![once("a"), node("b", |_| ())]));
    let state = lose(state, key);
    assert_eq!((state.head.status, ids(&state)), (RunStatus::Paused, vec![]));
    assert_eq!(state.head.needs_attention, Some(Attention { node_id: "a".into(), count: 1 }));
    assert_eq!(state.step(resume(&[], &[]), NOW).unwrap_err().1, Refused::Undecided);
}

#[test]
fn a_node_that_must_not_run_twice_is_tried_again_where_it_had_not_begun() {
    let (state, key) = lease(steps(vec![once("a"), node("b", |_| ())]));
    let state = lose(state, key);
    assert_eq!((state.head.status, ids(&state)), (RunStatus::Running, vec!["a".to_owned()]));
}

#[test]
fn whoever_decides_has_it_tried_again_or_fail() {
    let state = lost_for_good();
    let node = state.attention().next().unwrap();
    let (again, _) = state.clone().step(resume(&[node], &[]), NOW).unwrap();
    assert_eq!((again.head.status, ids(&again)), (RunStatus::Running, vec!["a".to_owned()]));
    let (again, key) = lease(again);
    assert_eq!(key.attempt, 2);
    assert_eq!(end(again, key, value("1", vec![])).0.head.status, RunStatus::Completed);
    let (failed, _) = state.step(resume(&[], &[node]), NOW).unwrap();
    assert_eq!(failed.head.status, RunStatus::Failed);
    assert_eq!(failed.head.error.unwrap().failure.error_type, "runner_lost");
}

#[test]
fn an_outcome_that_comes_after_all_decides_by_itself() {
    let (state, key) = began(steps(vec![once("a"), node("b", |_| ())]));
    let state = lose(state, key);
    let (gone, effects) = end(state, key, Ending::Lost { reason: "fenced".into(), message: String::new() });
    assert_eq!(effects, [Effect::Record(Happening::Superseded { node: key.node, attempt: 1 })]);
    let (state, _) = end(gone, key, value("1", vec![]));
    assert_eq!((state.head.status, ids(&state)), (RunStatus::Running, vec!["b".to_owned()]));
    assert_eq!(state.head.needs_attention, None);
}

#[test]
fn a_pause_that_somebody_asked_for_outlives_a_decision_that_comes_by_itself() {
    let (state, key) = began(steps(vec![once("a"), node("b", |_| ())]));
    let (state, _) = state.step(Input::Pause { reason: "paused by u".into() }, NOW).unwrap();
    let state = lose(state, key);
    let (state, _) = end(state, key, value("1", vec![]));
    assert_eq!((state.head.status, state.head.reason.as_deref()), (RunStatus::Paused, Some("paused by u")));
}

#[test]
fn a_run_that_needs_a_decision_may_be_cancelled() {
    let (state, _) = lost_for_good().step(Input::Cancel { by: "u".into() }, NOW).unwrap();
    assert_eq!((state.head.status, state.head.needs_attention.as_ref()), (RunStatus::Cancelled, None));
    let (state, _) = RunState::restore(state.spec, state.plan, state.head, vec![])
        .step(Input::RetryFailed { by: "u".into() }, NOW)
        .unwrap();
    assert_eq!(state.head.status, RunStatus::Running);
}

#[test]
fn each_lost_element_of_a_map_is_decided_about() {
    let state = opened(mapped_once(), 3);
    let (state, first) = began(state);
    let (state, second) = began(state);
    let state = lose(lose(state, first), second);
    assert_eq!(state.head.needs_attention, Some(Attention { node_id: "b[0]".into(), count: 2 }));
    let (state, _) = state.step(resume(&[first.node], &[]), NOW).unwrap();
    assert_eq!((state.head.status, ids(&state).len()), (RunStatus::Paused, 0));
    let (state, _) = state.step(resume(&[second.node], &[]), NOW).unwrap();
    // Whoever became ready first stays first.
    assert_eq!(
        (state.head.status, ids(&state)),
        (RunStatus::Running, vec!["b[2]".into(), "b[0]".into(), "b[1]".into()])
    );
}

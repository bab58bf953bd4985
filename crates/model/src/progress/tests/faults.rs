//! What goes wrong, and what becomes of it.

use super::*;

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
    assert_eq!(state.node(NodeKey::root(StepIx(1), None)).unwrap().status, NodeStatus::UpstreamFailed);
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

#[test]
fn trouble_of_the_platform_is_given_time_between_attempts() {
    let (mut state, mut now, mut pauses) = (chain(), NOW, vec![]);
    for _ in 1..=3 {
        let (leased, key) = lease(state);
        state = leased.step(Input::Lost { key, reason: "blob_unwritable".into() }, now).unwrap().0;
        assert_eq!(state.node(key.node).unwrap().status, NodeStatus::Retrying);
        let at = state.next_wake().unwrap();
        pauses.push(at.ms_since(now) / 1000);
        now = at;
        state = state.step(Input::Tick, now).unwrap().0;
    }
    assert_eq!(pauses, [1, 2, 4], "whole seconds");
    let (state, key) = lease(state);
    let (state, _) = state.step(Input::Lost { key, reason: "blob_unwritable".into() }, now).unwrap();
    assert_eq!(state.head.status, RunStatus::Failed);
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
    assert_eq!(state.next_wake(), None, "making the environment does not count");
    let (state, _) = state.step(Input::Started { key, container_id: "c".into() }, NOW).unwrap();
    let at = NOW.plus_ms(1000 + crate::limits::TIMEOUT_GRACE_MS);
    assert_eq!(state.next_wake(), Some(at));
    let (state, effects) = state.step(Input::Tick, at).unwrap();
    assert!(
        effects.iter().any(|e| matches!(e, Effect::Kill { key: k, reason: KillReason::TimedOut, .. } if *k == key))
    );
    assert_eq!(state.head.status, RunStatus::TimedOut);
}

#[test]
fn a_time_out_is_tried_again_where_a_class_of_it_is_named() {
    for (named, again) in [("TimeoutError", true), ("OSError", true), ("Exception", true), ("ConnectionError", false)] {
        let slow = node("a", |n| {
            n.timeout_ms = Some(1000);
            n.retry = Retry { retries: 1, on: vec![named.into()], ..Retry::default() };
        });
        let (state, key) = lease(run(vec![slow], vec![step("a", vec![])], vec![], |_| ()));
        let failure = Failure { error_type: "timeout".into(), ..Failure::default() };
        let (state, _) = end(state, key, Ending::TimedOut(Box::new(failure)));
        let retried = state.node(key.node).unwrap().status == NodeStatus::Retrying;
        assert_eq!(retried, again, "{named}");
    }
}

#[test]
fn an_environment_that_cannot_be_locked_fails_its_nodes() {
    let failure = Failure { class: Some(FailureClass::User), error_type: "environment".into(), ..Failure::default() };
    let answer = Input::Locked { environment: 0, result: Err(Box::new(failure)) };
    let (state, _) = chain().step(answer.clone(), NOW).unwrap();
    assert_eq!(ids(&state), ["a"], "the lock that is known stays");
    let fresh = RunState::new(state.spec, state.plan);
    let (state, effects) = fresh.step(Input::Start { locks: vec![None] }, NOW).unwrap();
    assert!(effects.contains(&Effect::Lock { environment: 0 }) && ids(&state).is_empty());
    let (state, _) = state.step(answer, NOW).unwrap();
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

#[test]
fn an_attempt_that_a_runner_gave_up_unasked_is_given_anew() {
    let (state, key) = lease(chain());
    let (state, _) = end(state, key, Ending::Cancelled);
    assert_eq!(state.head.status, RunStatus::Running);
    assert_eq!(ids(&state), ["a"]);
}

#[test]
fn a_failure_at_the_head_of_a_thousand_steps_ends_them_all_on_a_small_stack() {
    let thread = std::thread::Builder::new().stack_size(256 * 1024);
    let ended = thread.spawn(|| {
        let steps = (0..1000)
            .map(|ix: u32| Step {
                id: format!("a-{ix}"),
                after: ix.checked_sub(1).map(StepIx).into_iter().collect(),
                ..step("a", vec![])
            })
            .collect();
        let (state, key) = lease(run(vec![node("a", |_| ())], steps, vec![], |_| ()));
        end(state, key, failure("E")).0.head.status
    });
    assert_eq!(ended.unwrap().join().unwrap(), RunStatus::Failed);
}

#[test]
fn a_late_outcome_is_kept_in_history_and_changes_nothing() {
    let (state, key) = lease(chain());
    let (state, _) = state.step(Input::Lost { key, reason: "runner_lost".into() }, NOW).unwrap();
    let superseded = [Effect::Record(Happening::Superseded { node: key.node, attempt: 1 })];
    let (state, effects) = end(state, key, value("1", vec![]));
    assert_eq!(effects, superseded, "before the next lease");
    let (state, _) = lease(state);
    let (state, effects) = end(state, key, value("1", vec![]));
    assert_eq!(effects, superseded, "after it");
    assert_eq!(state.node(key.node).unwrap().status, NodeStatus::Leased);
}

/// Says again how an attempt ended: nothing happens, not even in history. Whether it counts as taken.
fn told_again(state: RunState, key: AttemptKey, how: Ending) -> (RunState, bool) {
    let told = Input::Ended { key, outcome: ending(how) };
    let (state, _) = state.step(told, NOW).expect_err("it changes nothing");
    let taken = state.node(key.node).unwrap().has_taken(key.attempt);
    (state, taken)
}

#[test]
fn an_outcome_that_was_taken_stays_taken_whatever_follows_it() {
    let flaky = node("a", |n| n.retry = Retry { retries: 1, backoff_ms: 100, ..Retry::default() });
    let (state, first) = lease(run(vec![flaky], vec![step("a", vec![])], vec![], |_| ()));
    let (state, _) = end(state, first, failure("E"));
    let (state, taken) = told_again(state, first, failure("E"));
    assert!(taken && state.node(first.node).unwrap().status == NodeStatus::Retrying);
    let at = state.next_wake().unwrap();
    let (state, second) = lease(state.step(Input::Tick, at).unwrap().0);
    let (state, taken) = told_again(state, first, failure("E"));
    assert!(taken && !state.node(first.node).unwrap().has_taken(second.attempt));
    let (state, _) = end(state, second, failure("E"));
    assert_eq!(state.head.status, RunStatus::Failed);
    let (state, third) = lease(state.step(Input::RetryFailed { by: "u".into() }, NOW).unwrap().0);
    let (state, _) = end(state, third, value("1", vec![]));
    let run = state.node(first.node).unwrap();
    let answers = [first, second, third, AttemptKey { attempt: 4, ..first }].map(|key| run.has_taken(key.attempt));
    assert_eq!(answers, [true, true, true, false]);
}

#[test]
fn an_attempt_whose_time_was_up_is_never_taken_though_another_follows() {
    let slow = node("a", |n| {
        n.timeout_ms = Some(1000);
        n.retry = Retry { retries: 1, backoff_ms: 0, ..Retry::default() };
    });
    let (state, key) = lease(run(vec![slow], vec![step("a", vec![])], vec![], |_| ()));
    let (state, _) = state.step(Input::Started { key, container_id: "c".into() }, NOW).unwrap();
    let at = state.next_wake().unwrap();
    let (mut state, _) = state.step(Input::Tick, at).unwrap();
    for _ in 0..2 {
        state = end(state, key, value("1", vec![])).0;
        assert!(!state.node(key.node).unwrap().has_taken(key.attempt));
    }
}

#[test]
fn a_run_that_failed_in_its_result_ends_again_when_it_is_retried() {
    let state = run(vec![node("a", |_| ())], vec![step("a", vec![])], vec![], |w| {
        let (left, right) = (Expr::Literal(json!("a")), Expr::Literal(json!(1)));
        w.result = Expr::Condition(Box::new(Condition::Compare { left, operator: Operator::Lt, right }));
    });
    let (state, key) = lease(state);
    let (state, _) = end(state, key, value("1", vec![]));
    assert_eq!(state.head.status, RunStatus::Failed);
    let (state, _) = state.step(Input::RetryFailed { by: "u".into() }, NOW).unwrap();
    assert_eq!(state.head.status, RunStatus::Failed);
}

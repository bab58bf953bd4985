//! Runs that are taken up from a back-up.

use super::*;

/// The run from its rows, as a restored system reads them.
fn restored(state: &RunState) -> RunState {
    restored_as(state, Ahead::drawn(0))
}

fn restored_as(state: &RunState, ahead: Ahead) -> RunState {
    let keys = (0..2).map(|step| NodeKey::root(StepIx(step), None));
    let rows = keys.map(|key| (key, state.node(key).unwrap().clone().restored(ahead))).collect();
    RunState::restore(state.spec.clone(), state.plan.clone(), state.head.clone().restored(ahead), rows)
}

#[test]
fn what_an_earlier_systems_runner_says_of_a_restored_run_is_late() {
    let (before, key) = lease(chain());
    let state = restored(&before);
    let (state, refused) = state.step(Input::Started { key, container_id: "c".into() }, NOW).unwrap_err();
    assert!(matches!(refused, Refused::Stale { given: 1, .. }), "{refused}");
    let attempt = state.node(key.node).unwrap().attempt;
    let (state, _) =
        state.step(Input::Lost { key: AttemptKey { attempt, ..key }, reason: "runner_lost".into() }, NOW).unwrap();
    let (state, new) = lease(state);
    assert!(new.attempt > attempt, "the attempt is tried again by the platform");
    assert_eq!(state.node(new.node).unwrap().infra_retries, 1);
    // The earlier system went on meanwhile: its attempts have other numbers than ours, of node runs that it began later too.
    let (earlier, _) = end(before, key, value("1", vec![]));
    let (_, later) = lease(earlier);
    let (state, _) = end(state, new, value("1", vec![]));
    let (_, ours) = lease(state);
    assert_eq!(later.node, ours.node);
    assert_ne!(later.attempt, ours.attempt);
}

#[test]
fn what_another_restore_of_the_same_back_up_says_is_late() {
    let (before, key) = lease(chain());
    // Both lost the attempt that was under way, and gave another.
    let [(_, theirs), (ours_state, ours)] = [7, 8].map(|drawn| {
        let state = restored_as(&before, Ahead::drawn(drawn));
        let attempt = state.node(key.node).unwrap().attempt;
        let lost = Input::Lost { key: AttemptKey { attempt, ..key }, reason: "runner_lost".into() };
        lease(state.step(lost, NOW).unwrap().0)
    });
    assert_eq!(theirs.node, ours.node);
    let (_, refused) = ours_state.step(Input::Started { key: theirs, container_id: "c".into() }, NOW).unwrap_err();
    assert!(matches!(refused, Refused::Stale { .. }), "{refused}");
    assert!(theirs.attempt != ours.attempt && Ahead::drawn(7).epochs() != Ahead::drawn(8).epochs());
}

#[test]
fn what_had_completed_stays_as_it_was() {
    let (state, key) = lease(chain());
    let (state, _) = end(state, key, value("1", vec![]));
    let again = restored(&state);
    assert_eq!(again.node(key.node), state.node(key.node));
    assert_eq!(ids(&again), ids(&state));
}

#[test]
fn a_row_names_the_blobs_that_it_stands_in() {
    let stored = |text: &str| ValueRef {
        digest: Digest::of(text.as_bytes()),
        size: 1,
        inline: None,
        items: None,
        attachments: vec![crate::value::Attachment { digest: Digest::of(b"part"), size: 1, kind: "bytes".into() }],
    };
    let (state, key) = lease(chain());
    let (state, _) = end(state, key, Ending::Completed(Box::new(Produced { value: stored("a"), answers: vec![] })));
    let mut named = BTreeSet::new();
    state.node(key.node).unwrap().blobs(&mut named);
    assert_eq!(named, BTreeSet::from([Digest::of(b"a"), Digest::of(b"part")]));
    let value = || Argument::Value { value: stored("b"), element: None, path: vec![] };
    let result = Argument::Dict(vec![("k".into(), Argument::List(vec![value(), Argument::Literal(json!(1))]))]);
    let mut named = BTreeSet::new();
    RunHead { result: Some(result), ..state.head.clone() }.blobs(&mut named);
    assert_eq!(named, BTreeSet::from([Digest::of(b"b"), Digest::of(b"part")]));
}

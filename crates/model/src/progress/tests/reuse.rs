//! Values that were made before: what is ready completes with them, and nothing else does.

use super::*;

fn known(text: &str) -> Produced {
    let Ending::Completed(produced) = value(text, vec![]) else { unreachable!("a value") };
    *produced
}

fn from() -> ReusedFrom {
    ReusedFrom { run_id: RunId(uuid::Uuid::from_u128(9)), node_id: "a".into(), attempt: 3 }
}

fn reuse(state: RunState, node: NodeKey) -> (RunState, Vec<Effect>) {
    state.step(Input::Reuse { node, produced: Box::new(known("1")), from: from() }, NOW).unwrap()
}

#[test]
fn a_reused_value_completes_its_node_without_an_attempt_and_the_run_goes_on() {
    let state = chain();
    let node = state.reusable().next().unwrap();
    let (state, effects) = reuse(state, node);
    let run = state.node(node).unwrap();
    assert_eq!((run.status, run.attempt), (NodeStatus::Completed, 0));
    assert_eq!(run.detail.as_ref().unwrap().reused.as_deref(), Some(&from()));
    let told = |e: &Effect| matches!(e, Effect::Record(Happening::NodeReused { .. } | Happening::NodeEnded { .. }));
    assert_eq!(effects.iter().filter(|e| told(e)).count(), 2);
    assert!(!effects.iter().any(|e| matches!(e, Effect::Dispatch(_))));
    assert!(state.ready().next().is_some_and(|next| next != node), "what needed it is ready");
}

#[test]
fn only_what_is_ready_is_reused() {
    let (state, key) = lease(chain());
    let input = Input::Reuse { node: key.node, produced: Box::new(known("1")), from: from() };
    let (state, refused) = state.step(input, NOW).unwrap_err();
    assert_eq!(refused, Refused::Node(NodeStatus::Leased));
    assert_eq!(state.node(key.node).unwrap().status, NodeStatus::Leased);
}

#[test]
fn reuse_needs_no_room() {
    let two = vec![step("a", vec![]), step("b", vec![])];
    let state = run(vec![node("a", |_| {}), node("b", |_| {})], two, vec![], |w| w.max_parallel = Some(1));
    let (state, _) = lease(state);
    assert!(state.ready().next().is_none());
    let node = state.reusable().next().expect("it waits for room alone");
    let (state, _) = reuse(state, node);
    assert_eq!(state.node(node).unwrap().status, NodeStatus::Completed);
}

proptest! {
    /// Whichever elements of a map are reused and whichever run, the map has all its values in order.
    #[test]
    fn a_map_completes_whichever_elements_are_reused(reused in prop::collection::vec(any::<bool>(), 1..12)) {
        let items: Vec<serde_json::Value> = (0..reused.len()).map(|i| json!(i)).collect();
        let mut map = step("a", vec![("x", Expr::Literal(json!(items)))]);
        map.over = vec!["x".into()];
        let mut state = run(vec![node("a", |_| {})], vec![map], vec![], |_| {});
        for (index, reused) in reused.iter().enumerate() {
            let node = state.reusable().next().expect("an element is left");
            prop_assert_eq!(node.index, Some(index as u32));
            state = if *reused {
                reuse(state, node).0
            } else {
                let (state, key) = lease(state);
                end(state, key, value("2", vec![])).0
            };
        }
        prop_assert_eq!(state.head.status, RunStatus::Completed);
        let values: Vec<bool> = state
            .nodes()
            .filter(|(key, _)| key.index.is_some())
            .map(|(_, run)| run.detail.as_ref().is_some_and(|detail| detail.reused.is_some()))
            .collect();
        prop_assert_eq!(values, reused);
    }
}

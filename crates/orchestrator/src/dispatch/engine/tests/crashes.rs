//! Calls of workflows and waits, crash after crash.

use super::*;

/// `map(child, [1, 2])`, where `child` is a chain of two; then an approval, a sleep, and one node more.
fn plan_of_calls(sleep: &str) -> Arc<Plan> {
    let mut definition = definition(2, &json!({}));
    let place = json!({"file": "w.py", "line": 9, "column": 1});
    let step = |id: &str, kind: serde_json::Value, more: serde_json::Value| {
        let mut step = json!({"id": id, "kind": kind, "arguments": [], "guards": [], "place": place});
        more.as_object().unwrap().iter().for_each(|(key, value)| step[key] = value.clone());
        step
    };
    definition["workflows"]["child"] = definition["workflows"]["w"].clone();
    definition["workflows"]["child"]["name"] = json!("child");
    definition["workflows"]["child"]["params"] = json!([{"name": "x", "type": "int", "place": place}]);
    definition["workflows"]["w"]["steps"] = json!([
        step(
            "child",
            json!({"workflow": {"workflow": "child"}}),
            json!({"over": ["x"], "arguments": [["x", {"literal": [1, 2]}]]})
        ),
        step("approval", json!({"approval": {"name": "finance"}}), json!({"after": [0]})),
        step("sleep", json!("sleep"), json!({"after": [1], "arguments": [["duration", {"literal": sleep}]]})),
        step("a", json!({"node": {"function": "a"}}), json!({"after": [2]})),
    ]);
    definition["workflows"]["w"]["result"] = json!({"result": {"step": 0}});
    let python = ["3.11".parse().unwrap()];
    let definition = serde_json::from_value(definition).unwrap();
    Arc::new(qflow_model::plan::plan(&definition, "w", source().digest(), &python).unwrap())
}

/// Ends what is ordered, with a crash of the engine after each; what was ordered.
async fn crash_by_crash(mut house: House, count: u32, stream: &mut u64) -> (House, Vec<String>) {
    let mut ordered = Vec::new();
    for _ in 0..count {
        *stream += 1;
        let mut runner = Player::connect(&house, *stream, vec![]).await;
        let order = runner.order().await;
        assert!(runner.ends(order.key, done()).await);
        ordered.push(format!("{}@{}", order.node_id, order.key.attempt));
        house = house.restarted().await;
    }
    (house, ordered)
}

async fn calls_and_waits_survive_crashes(store: Box<dyn Store>, sleep: &str) {
    let house = House::over(store).await;
    let run = house.submit_plan(1, plan_of_calls(sleep), false).await;
    let mut stream = 0;
    let (house, ordered) = crash_by_crash(house, 4, &mut stream).await;
    assert_eq!(
        ordered.iter().map(|id| &id[..id.len() - 2]).collect::<BTreeSet<_>>().len(),
        4,
        "each once: {ordered:?}"
    );
    assert!(ordered.iter().any(|id| id.starts_with("child[1]/a-2@")), "{ordered:?}");
    let state = async |house: &House| {
        let loaded = house.store.load(run).await.unwrap().unwrap();
        qflow_model::progress::RunState::restore(loaded.spec, loaded.plan, loaded.head, loaded.nodes)
    };
    let waiting = state(&house).await;
    assert_eq!(waiting.head.asked.as_ref().map(|asked| asked.name.as_str()), Some("finance"));
    let node = waiting.find("approval").unwrap();
    let answer = Command::Approve { node, approved: true, by: "ada".into(), comment: String::new() };
    house.store.post(run, answer, None).await.unwrap();
    house.engine.work_off().await;
    let house = house.restarted().await;
    let slept = state(&house).await;
    let detail = |id: &str| slept.node(slept.find(id).unwrap()).unwrap().detail.clone().unwrap();
    assert_eq!(detail("approval").answered.unwrap().by.as_deref(), Some("ada"));
    assert!(detail("sleep").until.is_some(), "the timer is in the rows");
    let (house, ordered) = crash_by_crash(house, 1, &mut stream).await;
    assert!(ordered[0].starts_with("a@"), "{ordered:?}");
    assert_eq!(house.status(run).await, RunStatus::Completed);
    let history = house.store.history(run).await.unwrap();
    let mut completed = BTreeSet::new();
    for (_, happening) in history {
        if let Happening::NodeEnded { node, status: NodeStatus::Completed, .. } = happening {
            assert!(completed.insert(node), "{node:?} completed twice");
        }
    }
    assert_eq!(completed.len(), 10, "four nodes in two calls, the calls and their map, two waits, one node");
}

#[tokio::test(start_paused = true)]
async fn calls_and_waits_survive_crashes_in_memory() {
    calls_and_waits_survive_crashes(Box::new(Memory::new(Arc::new(ManualClock::at(Timestamp(1))))), "2m").await;
}

/// In real time: a database on its own thread looks idle to a clock that stands.
#[tokio::test]
async fn calls_and_waits_survive_crashes_in_sqlite() {
    let clock = Arc::new(ManualClock::at(Timestamp(1)));
    calls_and_waits_survive_crashes(Box::new(crate::record::Sqlite::in_memory(clock).unwrap()), "1s").await;
}

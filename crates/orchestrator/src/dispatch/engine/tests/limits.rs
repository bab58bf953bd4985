//! Pools, reuse, and locks that are asked for before there is a run.

use super::*;

fn pooled(length: u32) -> Arc<Plan> {
    plan_of(length, &json!({"pool": "database"}))
}

async fn set_pool(house: &House, slots: u32) {
    let pool = Pool { tenant: "t".into(), user: "u".into(), name: "database".into(), slots, per_minute: None };
    house.store.set_pool(pool).await.unwrap();
}

async fn holders(house: &House) -> Vec<AttemptKey> {
    let pools = house.store.pools("t".into()).await.unwrap();
    pools[0].holders.iter().map(|holder| holder.attempt).collect()
}

/// Whether nothing more is ordered: the engine has worked off all that it was told, and said no order. Locks what is asked for.
async fn is_quiet(house: &House, runner: &mut Player) -> bool {
    let mut asked = true;
    while std::mem::take(&mut asked) {
        house.engine.work_off().await;
        while let Ok(say) = runner.told.try_recv() {
            match say {
                Say::Attempt(order) => runner.orders.push_back(*order),
                Say::Lock(spec, _) => {
                    runner.say(Said::Locked(spec.digest(), Ok(lock(&spec)))).await;
                    asked = true;
                }
                _ => {}
            }
        }
    }
    runner.orders.is_empty()
}

#[tokio::test(start_paused = true)]
async fn a_pool_limits_runs_together_and_passes_its_slot_on_in_one_transaction() {
    let house = House::new().await;
    set_pool(&house, 1).await;
    let mut runner = Player::connect(&house, 1, vec![]).await;
    let (first, second) = (house.submit_plan(1, pooled(1), false).await, house.submit_plan(2, pooled(1), false).await);
    let held = runner.order().await.key;
    assert_eq!(held.run, first, "the oldest first");
    assert!(is_quiet(&house, &mut runner).await);
    assert_eq!(holders(&house).await, [held]);
    assert!(runner.ends(held, done()).await);
    let next = runner.order().await.key;
    assert_eq!((next.run, holders(&house).await), (second, vec![next]));
    assert!(runner.ends(next, done()).await);
    assert!(holders(&house).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn slots_outlive_a_restart_and_a_cancelled_run_gives_its_back() {
    let house = House::new().await;
    set_pool(&house, 1).await;
    let mut runner = Player::connect(&house, 1, vec![]).await;
    let first = house.submit_plan(1, pooled(1), false).await;
    let held = runner.order().await.key;
    let house = house.restarted().await;
    let mut runner = Player::connect(&house, 1, vec![held]).await;
    house.submit_plan(2, pooled(1), false).await;
    assert!(is_quiet(&house, &mut runner).await);
    assert_eq!(holders(&house).await, [held]);
    house.store.post(first, Command::Cancel { by: "u".into() }, None).await.unwrap();
    house.engine.work_off().await;
    loop {
        match runner.hears().await {
            Say::Attempt(order) => break assert_eq!(holders(&house).await, [order.key]),
            Say::Lock(spec, _) => runner.say(Said::Locked(spec.digest(), Ok(lock(&spec)))).await,
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_not_there_is_waited_for() {
    let house = House::new().await;
    let mut runner = Player::connect(&house, 1, vec![]).await;
    let run = house.submit_plan(1, pooled(1), false).await;
    assert!(is_quiet(&house, &mut runner).await);
    set_pool(&house, 1).await;
    assert_eq!(runner.order().await.key.run, run);
}

#[tokio::test(start_paused = true)]
async fn an_output_that_is_kept_completes_the_next_run_without_an_attempt() {
    let house = House::new().await;
    let plan = plan_of(2, &json!({"cache_ms": 1000, "code": Digest::of(b"code")}));
    let mut runner = Player::connect(&house, 1, vec![]).await;
    let first = house.submit_plan(1, Arc::clone(&plan), false).await;
    let made = runner.order().await.key;
    assert!(runner.ends(made, done()).await);
    // Both steps call the same code with the same arguments: the second finds what the first made.
    assert_eq!(house.status(first).await, RunStatus::Completed);
    let second = house.submit_plan(2, Arc::clone(&plan), false).await;
    assert!(is_quiet(&house, &mut runner).await);
    assert_eq!(house.status(second).await, RunStatus::Completed);
    let node = house.node(second, 0).await;
    let from = node.detail.unwrap().reused.unwrap();
    assert_eq!((node.attempt, from.run_id, from.node_id.as_str(), from.attempt), (0, first, "a", 1));
    let anew = house.submit_plan(3, plan, true).await;
    for _ in 0..2 {
        let again = runner.order().await.key;
        assert_eq!(again.run, anew, "a run that ignores what is kept runs its nodes");
        assert!(runner.ends(again, done()).await);
    }
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_not_kept() {
    let house = House::new().await;
    let plan = plan_of(1, &json!({"cache_ms": 1000, "code": Digest::of(b"code")}));
    let mut runner = Player::connect(&house, 1, vec![]).await;
    house.submit_plan(1, Arc::clone(&plan), false).await;
    let first = runner.order().await.key;
    let failure = Failure { error_type: "ValueError".into(), ..Failure::default() };
    assert!(runner.ends(first, outcome(Ending::Failed(Box::new(failure)))).await);
    let second = house.submit_plan(2, plan, false).await;
    assert_eq!(runner.order().await.key.run, second);
}

#[tokio::test(start_paused = true)]
async fn an_output_is_kept_with_the_outcome_or_not_at_all() {
    let house = House::new().await;
    let plan = plan_of(1, &json!({"cache_ms": u64::MAX, "code": Digest::of(b"code")}));
    let mut runner = Player::connect(&house, 1, vec![]).await;
    house.submit_plan(1, Arc::clone(&plan), false).await;
    let first = runner.order().await.key;
    house.store.failing.store(3, Ordering::SeqCst);
    assert!(runner.ends(first, done()).await, "heard again once the store is back");
    let second = house.submit_plan(2, plan, false).await;
    assert!(is_quiet(&house, &mut runner).await);
    assert_eq!(house.status(second).await, RunStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_asked_for_without_a_run_is_recorded_and_serves_the_run() {
    let house = House::new().await;
    let mut runner = Player::connect(&house, 1, vec![]).await;
    let spec = EnvSpec { python: "3.11".parse().unwrap(), requirements: vec![] };
    let (answer, answered) = tokio::sync::oneshot::channel();
    let somebody = Scope { tenant: "t".into(), user: "u".into() };
    assert!(house.engine.say(Word::Lock(spec.clone(), somebody, answer)).await);
    assert!(matches!(runner.hears().await, Say::Lock(asked, None) if asked == spec));
    runner.say(Said::Locked(spec.digest(), Ok(lock(&spec)))).await;
    assert_eq!(*answered.await.unwrap().unwrap(), lock(&spec));
    house.submit(1, 1).await;
    assert!(matches!(runner.hears().await, Say::Attempt(_)), "nothing is left to lock");
}

#[tokio::test(start_paused = true)]
async fn max_parallel_of_a_node_limits_it_within_a_run() {
    let house = House::new().await;
    let node = json!({"max_parallel": 1});
    let mut definition = serde_json::to_value(&*plan_of(2, &node)).unwrap();
    // Two calls beside each other: neither waits for the other's end.
    for step in definition["workflows"][0]["steps"].as_array_mut().unwrap() {
        (step["needs"], step["enables"]) = (json!([]), json!([]));
    }
    let mut runner = Player::connect(&house, 1, vec![]).await;
    house.submit_plan(1, Arc::new(serde_json::from_value(definition).unwrap()), false).await;
    let first = runner.order().await.key;
    assert!(is_quiet(&house, &mut runner).await, "a slot of the runner is free, and stays so");
    assert!(runner.ends(first, done()).await);
    assert_ne!(runner.order().await.key.node, first.node);
}

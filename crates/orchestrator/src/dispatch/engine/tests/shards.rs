//! Two replicas on one store: who writes what, and what happens when one of them dies, stalls or leaves.

use qflow_model::limits;
use qflow_service::Clock as _;

use super::*;
use crate::record::Server;

/// The shard that a run of this id is in is the id itself, as long as it is below 64; a first replica keeps the lower half.
const OF_THE_FIRST: u128 = 1;
const OF_THE_SECOND: u128 = 40;

/// Two replicas, once each has its half.
async fn two() -> (House, House, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(Timestamp(1)));
    let store = Arc::new(Flaky::over(Box::new(Memory::new(clock.clone()))));
    let first = House::replica(Arc::clone(&store), "a").await;
    assert_eq!(first.engine.sight().shards.len(), 64, "alone it has all");
    let second = House::replica(store, "b").await;
    until(&clock, || first.engine.sight().shards.len() == 32 && second.engine.sight().shards.len() == 32).await;
    (first, second, clock)
}

/// Lets time pass, here and in the store, until something is so.
async fn until(clock: &ManualClock, is_so: impl Fn() -> bool) {
    for _ in 0..200 {
        if is_so() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        clock.advance_ms(100);
    }
    panic!("it has not come about within 20 s");
}

impl House {
    /// Ends as a crash would: without a word to anybody.
    fn dies(&self) {
        self.ended.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn replicas_share_the_shards_and_name_each_other() {
    let (first, second, clock) = two().await;
    let (one, other) = (first.engine.sight(), second.engine.sight());
    assert!(one.shards.is_disjoint(&other.shards));
    assert_eq!(one.peers, ["http://a", "http://b"]);
    assert_eq!(other.peers, one.peers);
    first.shutdown.trigger();
    until(&clock, || second.engine.sight().shards.len() == 64).await;
    assert_eq!(second.engine.sight().peers, ["http://b"]);
}

/// The last word of one that dies may be as old as it dies; whoever looks next looks between two renewals, at its next tick. What is left
/// of the bound is for the database.
#[test]
fn the_defaults_move_a_dead_replicas_shards_in_time() {
    let tick = super::super::TICK.as_millis() as u64;
    let worst = limits::SHARD_LEASE_MS + limits::SHARD_RENEW_MS + tick;
    assert!(worst + 1_000 <= limits::SHARD_MOVES_MS, "{worst} ms");
    assert!(2 * (limits::SHARD_RENEW_MS + tick) <= limits::SHARD_LEASE_MS, "one renewal may fail");
    assert!(crate::submit::PATIENCE.as_millis() as u64 > limits::SHARD_MOVES_MS, "callers wait for that long");
}

#[tokio::test(start_paused = true)]
async fn a_dead_replicas_shards_have_moved_in_time_whenever_it_dies() {
    for later in (0..=2_000).step_by(500) {
        let (first, second, clock) = two().await;
        // At any moment between two of its words.
        for _ in 0..later / 100 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            clock.advance_ms(100);
        }
        first.dies();
        let died = clock.now();
        until(&clock, || second.engine.sight().shards.len() == 64).await;
        let took = clock.now().ms_since(died);
        assert!(took <= limits::SHARD_MOVES_MS, "{took} ms after it died {later} ms after a word");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_another_replica_takes_reaches_the_runs_writer() {
    let (first, second, _) = two().await;
    let mut runner = Player::connect(&first, 1, vec![]).await;
    let run = second.submit(OF_THE_FIRST, 1).await;
    let key = runner.order().await.key;
    assert_eq!(key.run, run);
    assert!(runner.ends(key, done()).await);
    assert_eq!(second.status(run).await, RunStatus::Completed);
    let other = second.submit(OF_THE_SECOND, 1).await;
    let mut at_second = Player::connect(&second, 1, vec![]).await;
    assert_eq!(at_second.order().await.key.run, other);
}

#[tokio::test(start_paused = true)]
async fn runs_of_a_dead_replica_go_on_elsewhere_with_their_attempts() {
    let (first, second, clock) = two().await;
    let mut runner = Player::connect(&first, 1, vec![]).await;
    let run = first.submit(OF_THE_FIRST, 2).await;
    let key = runner.order().await.key;
    runner.say(Said::Started(key, "c".into())).await;
    let mut there = Player::connect(&second, 1, vec![key]).await;
    first.dies();
    until(&clock, || second.engine.sight().shards.len() == 64).await;
    assert!(there.ends(key, done()).await, "the attempt went on while nobody wrote its run");
    let next = there.order().await.key;
    assert_eq!((next.run, next.node.step, next.attempt), (run, StepIx(1), 1));
    assert!(there.ends(next, done()).await);
    assert_eq!(second.status(run).await, RunStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_died_with_its_replica_is_given_again_at_the_runners_next_word() {
    let (first, second, clock) = two().await;
    let mut runner = Player::connect(&first, 1, vec![]).await;
    first.submit(OF_THE_FIRST, 1).await;
    let key = runner.order().await.key;
    let mut there = Player::connect(&second, 1, vec![]).await;
    first.dies();
    until(&clock, || second.engine.sight().shards.len() == 64).await;
    let beat = Said::Heartbeat {
        attempts: vec![],
        containers: 0,
        shown: Vec::new(),
        warm: BTreeSet::new(),
        secrets: None,
        sequence: 0,
        blobs_away: false,
        condition: Box::default(),
    };
    there.say(beat).await;
    assert_eq!(there.order().await.key, key, "it is no infrastructure retry: it never began");
    assert!(there.ends(key, done()).await);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_is_acknowledged_only_by_the_runs_writer() {
    let (first, second, _) = two().await;
    let mut runner = Player::connect(&first, 1, vec![]).await;
    let run = first.submit(OF_THE_FIRST, 1).await;
    let key = runner.order().await.key;
    let mut elsewhere = Player::connect(&second, 1, vec![key]).await;
    elsewhere.say(Said::Ended(key, done())).await;
    // What is heard after it has been answered: the outcome was not, and the attempt not killed either.
    let mine = second.submit(OF_THE_SECOND, 1).await;
    assert_eq!(elsewhere.order().await.key.run, mine);
    assert_eq!(first.status(run).await, RunStatus::Running);
    assert!(runner.ends(key, done()).await);
    assert_eq!(first.status(run).await, RunStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_was_thought_dead_writes_nothing_more() {
    let (first, second, clock) = two().await;
    let mut runner = Player::connect(&first, 1, vec![]).await;
    let run = first.submit(OF_THE_FIRST, 1).await;
    let key = runner.order().await.key;
    // To the store the first is dead, and it has not looked since.
    first.store.leave("a").await.unwrap();
    let taken = second.store.take_shards("b", 64).await.unwrap();
    assert!(taken.contains_key(&run.shard()));
    runner.say(Said::Ended(key, done())).await;
    until(&clock, || !first.engine.owns(run) || first.engine.sight().shards.is_empty()).await;
    assert_ne!(first.status(run).await, RunStatus::Completed, "what it would have written was refused");
    while let Ok(said) = runner.told.try_recv() {
        assert!(!matches!(said, Say::Ack(..)), "an outcome that was not recorded is not acknowledged");
    }
}

#[tokio::test(start_paused = true)]
async fn idle_credits_are_given_back_where_another_may_need_them() {
    let (first, _second, _) = two().await;
    let mut runner = Player::connect(&first, 1, vec![]).await;
    loop {
        if let Say::CreditsBack(count) = runner.hears().await {
            break assert_eq!(count, 2);
        }
    }
    first.submit(OF_THE_FIRST, 1).await;
    loop {
        match runner.hears().await {
            Say::Backlog => break,
            Say::Lock(spec, _) => runner.say(Said::Locked(spec.digest(), Ok(lock(&spec)))).await,
            Say::Attempt(_) => panic!("there is no credit"),
            _ => {}
        }
    }
    runner.say(Said::Credits(1)).await;
    runner.order().await;
}

#[tokio::test(start_paused = true)]
async fn credits_that_were_given_back_are_wanted_again_by_who_is_alone_since() {
    let (first, second, clock) = two().await;
    let mut runner = Player::connect(&first, 1, vec![]).await;
    while !matches!(runner.hears().await, Say::CreditsBack(_)) {}
    second.dies();
    until(&clock, || first.engine.sight().shards.len() == 64).await;
    first.submit(OF_THE_SECOND, 1).await;
    loop {
        match runner.hears().await {
            Say::Backlog => break,
            Say::Lock(spec, _) => runner.say(Said::Locked(spec.digest(), Ok(lock(&spec)))).await,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_run_goes_to_its_end_on_postgres() {
    let Some(server) = Server::get() else { return };
    let house = House::over(Box::new(server.store().await)).await;
    let mut player = Player::connect(&house, 1, vec![]).await;
    let run = house.submit(1, 2).await;
    for _ in 0..2 {
        let order = player.order().await;
        player.say(Said::Ended(order.key, done())).await;
    }
    while house.status(run).await != RunStatus::Completed {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn replicas_on_postgres_share_the_shards_and_take_over_what_one_leaves() {
    let Some(server) = Server::get() else { return };
    let settings = server.database().await;
    let open = async || {
        let inner = Box::new(crate::record::Postgres::open(&settings).await.unwrap());
        Arc::new(Flaky::over(inner))
    };
    let first = House::replica(open().await, "a").await;
    let second = House::replica(open().await, "b").await;
    let halves = async {
        while first.engine.sight().shards.len() != 32 || second.engine.sight().shards.len() != 32 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), halves).await.expect("each has its half");
    let run = second.submit(OF_THE_FIRST, 1).await;
    let mut runner = Player::connect(&first, 1, vec![]).await;
    let key = runner.order().await.key;
    assert_eq!(key.run, run, "what one took, the other orders");
    first.shutdown.trigger();
    first.ended.await.unwrap();
    let mut there = Player::connect(&second, 1, vec![key]).await;
    let all = async {
        while second.engine.sight().shards.len() != 64 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), all).await.expect("it takes over");
    assert!(there.ends(key, done()).await);
    assert_eq!(second.status(run).await, RunStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_attempts_wait_with_and_no_runner_comes_to_is_named_by_the_others() {
    let (first, second, clock) = two().await;
    let mut runner = Player::connect(&first, 1, vec![]).await;
    let elsewhere = first.submit(OF_THE_FIRST, 1).await;
    let key = runner.order().await.key;
    assert!(runner.ends(key, done()).await);
    assert_eq!(first.status(elsewhere).await, RunStatus::Completed);
    assert_eq!(first.engine.sight().stranded, Vec::<String>::new());
    second.submit(OF_THE_SECOND, 1).await;
    until(&clock, || first.engine.sight().stranded == ["http://b"]).await;
    let mut late = Player::connect(&second, 2, vec![]).await;
    late.order().await;
    until(&clock, || first.engine.sight().stranded.is_empty()).await;
}

//! Which runs are under way, as the engine tells it.

use std::time::Duration;

use tokio::sync::broadcast;

use super::*;
use crate::{
    active::{Version, What, Word as Told, Words},
    bus::Bus as _,
};

/// The next word that is wanted.
async fn hears(heard: &mut broadcast::Receiver<Words>, wanted: impl Fn(&What) -> bool) -> Told {
    let found = async {
        loop {
            let words = heard.recv().await.expect("the engine tells");
            if let Some(word) = words.iter().find(|word| wanted(&word.what)) {
                return word.clone();
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await.expect("it is told")
}

fn is_run(counts: (u32, u32)) -> impl Fn(&What) -> bool {
    move |what| matches!(what, What::Run(run) if run.counts == counts)
}

/// Of a shard: its version, and the runs in it.
fn whole(words: &Words, shard: Shard) -> (Version, Vec<RunId>) {
    let wanted = |word: &&Told| matches!(&word.what, What::Shard(of, _) if *of == shard);
    let word = words.iter().find(wanted).expect("every shard that is held is told");
    let What::Shard(_, runs) = &word.what else { unreachable!("it was chosen so") };
    (word.version, runs.iter().map(|run| run.run).collect())
}

#[tokio::test(start_paused = true)]
async fn a_run_is_told_as_it_goes_on_and_leaves_as_it_ends() {
    let house = House::new().await;
    let mut heard = house.bus.watch_active();
    let run = house.submit(1, 2).await;
    let pending = hears(&mut heard, is_run((0, 2))).await;
    assert_eq!(whole(&house.engine.active().await.unwrap(), run.shard()).1, [run]);
    let mut runner = Player::connect(&house, 1, vec![]).await;
    let first = runner.order().await.key;
    assert!(runner.ends(first, done()).await);
    let on = hears(&mut heard, is_run((1, 2))).await;
    assert!(on.version > pending.version);
    let What::Run(active) = &on.what else { unreachable!("it was chosen so") };
    assert_eq!((active.user.as_str(), active.status), ("u", RunStatus::Running));
    let second = runner.order().await.key;
    assert!(runner.ends(second, done()).await);
    let ended = hears(&mut heard, |what| *what == What::Ended(run)).await;
    assert!(ended.version > on.version);
    let (version, runs) = whole(&house.engine.active().await.unwrap(), run.shard());
    assert!(version > ended.version && runs.is_empty(), "{runs:?}");
}

/// How many node runs wait for a runner, as the whole says of one run and as the sight says of all.
async fn queued(house: &House) -> (u32, bool, u32, bool) {
    let words = house.engine.active().await.unwrap();
    let mut runs =
        words.iter().filter_map(|word| if let What::Shard(_, runs) = &word.what { runs.first() } else { None });
    let run = runs.next().expect("one is under way");
    let sight = house.engine.sight();
    (run.queued, run.queued_since.is_some(), sight.queue_depth, sight.oldest_queued_seconds > 0.0)
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_for_an_environment_which_nobody_makes_waits_for_a_runner() {
    const WAITS: (u32, bool, u32, bool) = (1, true, 1, true);
    const IS_SERVED: (u32, bool, u32, bool) = (0, false, 0, false);
    let house = House::new().await;
    let mut heard = house.bus.watch_active();
    house.submit(1, 2).await;
    tokio::time::sleep(3 * super::super::TICK).await;
    assert_eq!(queued(&house).await, WAITS);

    // Who makes it serves the run: what that takes is no waiting for a runner. Whoever listens hears of it though no step was made.
    let mut runner = Player::connect(&house, 1, vec![]).await;
    while !matches!(runner.hears().await, Say::Lock(..)) {}
    hears(&mut heard, |what| matches!(what, What::Run(run) if run.queued == 0)).await;
    tokio::time::sleep(2 * super::super::TICK).await;
    assert_eq!(queued(&house).await, IS_SERVED);

    // It goes, and the run waits again, for the next.
    runner.say(Said::Gone).await;
    hears(&mut heard, |what| matches!(what, What::Run(run) if run.queued == 1)).await;
    tokio::time::sleep(2 * super::super::TICK).await;
    assert_eq!(queued(&house).await, WAITS);
    let mut next = Player::connect(&house, 2, vec![]).await;
    next.order().await;
    tokio::time::sleep(2 * super::super::TICK).await;
    assert_eq!(queued(&house).await, IS_SERVED);
}

#[tokio::test(start_paused = true)]
async fn what_an_engine_saw_that_hangs_grows_old() {
    let house = House::new().await;
    let mut runner = Player::connect(&house, 1, vec![]).await;
    tokio::time::sleep(60 * super::super::TICK).await;
    assert!(house.engine.sight().age_seconds() < 2.0, "it looks around though nothing happens");
    house.store.hangs.send_replace(true);
    house.submit_unheard(1, plan(1), false).await;
    tokio::time::sleep(30 * super::super::TICK).await;
    let sight = house.engine.sight();
    assert!((28.0..=30.0).contains(&sight.age_seconds()), "{}", sight.age_seconds());
    assert_eq!(sight.runners.len(), 1, "what it saw last is there, and how old it is");
    house.store.hangs.send_replace(false);
    runner.order().await;
    tokio::time::sleep(2 * super::super::TICK).await;
    assert!(house.engine.sight().age_seconds() < 2.0);
}

#[tokio::test(start_paused = true)]
async fn every_shard_is_told_as_a_whole_again_and_again() {
    let house = House::new().await;
    let run = house.submit(1, 2).await;
    let mut heard = house.bus.watch_active();
    let mine = |what: &What| matches!(what, What::Shard(shard, runs) if *shard == run.shard() && runs.len() == 1);
    let first = hears(&mut heard, mine).await;
    let second = hears(&mut heard, mine).await;
    assert!(second.version > first.version);
}

#[tokio::test(start_paused = true)]
async fn who_takes_a_shard_over_speaks_under_a_greater_epoch() {
    let house = House::new().await;
    let run = house.submit(1, 2).await;
    let before = whole(&house.engine.active().await.unwrap(), run.shard());
    let house = house.restarted().await;
    let after = whole(&house.engine.active().await.unwrap(), run.shard());
    assert_eq!((before.1, after.1), (vec![run], vec![run]));
    assert!(after.0.epoch > before.0.epoch, "{:?} after {:?}", after.0, before.0);
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_commit_took_from_memory_has_not_ended() {
    let house = House::new().await;
    let run = house.submit(1, 2).await;
    let mut runner = Player::connect(&house, 1, vec![]).await;
    let key = runner.order().await.key;
    house.store.failing.store(3, Ordering::SeqCst);
    let mut heard = house.bus.watch_active();
    assert!(runner.ends(key, done()).await);
    hears(&mut heard, |what| {
        assert_ne!(*what, What::Ended(run));
        assert!(!matches!(what, What::Shard(shard, runs) if *shard == run.shard() && runs.is_empty()));
        is_run((1, 2))(what)
    })
    .await;
}

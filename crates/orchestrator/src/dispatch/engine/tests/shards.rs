//! Engines that share a store: one has the runs, and whoever is to have them next gets them.

use qflow_model::limits;

use super::*;
use crate::record::{Hand as _, Server};

fn flaky(inner: impl Store) -> Arc<Flaky> {
    Arc::new(Flaky { inner: Box::new(inner), failing: AtomicU32::new(0) })
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
async fn a_command_that_another_replica_took_is_worked_off() {
    let Some(server) = Server::get() else { return };
    let settings = server.database().await;
    let house = House::over(Box::new(crate::record::Postgres::open(&settings).await.unwrap())).await;
    let run = house.submit(1, 1).await;
    let other = crate::record::Postgres::open(&settings).await.unwrap();
    other.post(run, Command::Cancel { by: "u".into() }).await.unwrap();
    while house.status(run).await != RunStatus::Cancelled {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_replica_stands_by_until_the_one_before_has_stopped() {
    let Some(server) = Server::get() else { return };
    let store = flaky(server.store().await);
    let house = House::owned_by("first", Arc::clone(&store)).await;
    let next = tokio::spawn(House::owned_by("next", Arc::clone(&store)));
    house.submit(1, 1).await;
    assert!(store.take_shards("third").await.unwrap().is_empty() && !next.is_finished());
    house.shutdown.trigger();
    house.ended.await.unwrap();
    let next = next.await.unwrap();
    let run = next.submit(2, 1).await;
    assert_eq!(next.status(run).await, RunStatus::Running);
}

#[tokio::test]
async fn an_engine_that_has_nothing_to_do_renews_its_leases() {
    let Some(server) = Server::get() else { return };
    let (store, hand) = server.store_in_time().await;
    let store = flaky(store);
    let house = House::owned_by("first", Arc::clone(&store)).await;
    for _ in 0..3 {
        hand.advance_ms(limits::SHARD_LEASE_MS - 1).await;
        let now = store.now().await.unwrap();
        while hand.first_lease_end().await < now.plus_ms(limits::SHARD_LEASE_MS) {
            tokio::task::yield_now().await;
        }
    }
    assert!(store.take_shards("next").await.unwrap().is_empty() && !house.ended.is_finished());
}

#[tokio::test]
async fn an_engine_whose_shards_were_taken_works_nothing_off_and_ends() {
    let Some(server) = Server::get() else { return };
    let (store, hand) = server.store_in_time().await;
    let store = flaky(store);
    let house = House::owned_by("first", Arc::clone(&store)).await;
    let run = house.submit(1, 1).await;
    hand.take_all_for("next").await;
    // Refused by a run that has not ended: all that a commit has to do is to say so.
    store.post(run, Command::RetryFailed { by: "u".into() }).await.unwrap();
    house.ended.await.unwrap();
    assert_eq!(store.inbox().await.unwrap().len(), 1, "whoever has the run now answers");
    assert_eq!(store.take_shards("next").await.unwrap().len(), 64, "the other keeps its shards");
}

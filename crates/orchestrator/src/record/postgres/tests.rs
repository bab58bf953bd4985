//! What is Postgres' own: replicas that share it, plans of its statements, restarts, encryption.

mod faults;
mod migrations;
mod owners;
mod plans;
pub(crate) mod server;
pub(crate) mod tls;

use std::time::Duration;

use qflow_model::{
    ids::{RunId, SHARDS},
    limits,
};

use super::{
    super::{
        Batch, Command, Error, Store, all_shards,
        conformance::{Hand as _, ended},
    },
    *,
};
use server::Server;

#[tokio::test]
async fn replicas_that_start_at_once_make_the_tables_once() {
    let Some(server) = Server::get() else { return };
    let settings = server.database().await;
    let opened = futures_util::future::join_all((0..4).map(|_| Postgres::open(&settings))).await;
    for store in &opened {
        assert!(store.as_ref().unwrap().unfinished(&all_shards()).await.unwrap().is_empty());
    }
    let again = Postgres::open(&settings).await.unwrap();
    assert_eq!(again.take_shards("a", 64).await.unwrap().len(), usize::from(SHARDS), "each shard is there once");
}

#[tokio::test]
async fn a_commit_renews_the_lease_of_what_it_writes_to() {
    let Some(server) = Server::get() else { return };
    let (store, hand) = server.store_in_time().await;
    let own = store.take_shards("a", 64).await.unwrap();
    hand.advance_ms(limits::SHARD_LEASE_MS - 1).await;
    let kept =
        Batch { fences: own.iter().take(1).map(|(shard, epoch)| (*shard, *epoch)).collect(), ..Batch::default() };
    store.commit(kept).await.unwrap();
    hand.advance_ms(2).await;
    let taken = store.take_shards("b", 64).await.unwrap();
    assert_eq!(taken.len(), usize::from(SHARDS) - 1);
    assert!(matches!(store.commit(Batch { fences: own, ..Batch::default() }).await, Err(Error::Fenced(_))));
    store.leave("a").await.unwrap();
    assert_eq!(store.take_shards("c", 64).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_shard_that_somebody_writes_to_is_not_taken() {
    let Some(server) = Server::get() else { return };
    let (store, hand) = server.store_in_time().await;
    let own = store.take_shards("a", 64).await.unwrap();
    hand.advance_ms(2 * limits::SHARD_LEASE_MS).await;
    let tx = store.transaction("write").await.unwrap();
    batch::write(&tx, &Batch { fences: own, ..Batch::default() }).await.unwrap();
    assert!(store.take_shards("b", 64).await.unwrap().is_empty());
    tx.end(Ok(())).await.unwrap();
    assert!(store.take_shards("b", 64).await.unwrap().is_empty(), "the write has renewed the lease");
}

#[tokio::test]
async fn a_command_wakes_the_other_replicas() {
    let Some(server) = Server::get() else { return };
    let settings = server.database().await;
    let (one, two) = (Postgres::open(&settings).await.unwrap(), Postgres::open(&settings).await.unwrap());
    ended(&two, 1).await;
    two.wake.told().await;
    one.post(RunId(uuid::Uuid::from_u128(1)), Command::Cancel { by: "u".into() }, None).await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), two.wake.told()).await.expect("it is told");
    assert_eq!(two.inbox(&all_shards()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_database_that_is_away_is_an_error_at_once() {
    let settings = Settings { url: "postgres://q@127.0.0.1:1/q".into(), ..Settings::default() };
    let away = Postgres::open(&settings).await.err().map(|error| format!("{:#}", anyhow::Error::from(error)));
    let away = away.unwrap_or_default();
    assert!(away.starts_with("connect to the database: 127.0.0.1:1/q: "), "{away}");
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_an_error() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://q@{}/q", silent.local_addr().unwrap());
    let away = Postgres::open(&Settings { url, ..Settings::default() }).await.err();
    let away = away.map(|error| format!("{:#}", anyhow::Error::from(error))).unwrap_or_default();
    assert!(away.ends_with("/q does not answer"), "{away}");
}

#[tokio::test]
async fn submissions_of_one_key_at_once_are_one_run() {
    let Some(server) = Server::get() else { return };
    let store = server.store().await;
    let submit = |id| store.submit(super::super::conformance::submission(id, Some("k\0")));
    let done = futures_util::future::join_all((1..=8).map(submit)).await;
    let created = done.iter().filter(|done| matches!(done, Ok(Submitted::Created(_)))).count();
    let existing = done.iter().filter(|done| matches!(done, Ok(Submitted::Existing(_)))).count();
    assert_eq!((created, existing), (1, 7));
    assert_eq!(store.unfinished(&all_shards()).await.unwrap().len(), 1);
}
